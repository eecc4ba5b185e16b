"""What a value looks like: made by a machine, a placeholder, or words."""

import math
import re
from collections import Counter

#: What stands where a secret was, of any kind.
MARKER = re.compile(r"\[REDACTED:[a-z0-9_]{1,40}\]")

#: Parts that are filled in later: format fields, variables, templates, metavariables.
FIELDS = re.compile(
    r"\$\{\{[^{}\n]{0,100}+\}\}|\{\{[^{}\n]{0,100}+\}\}|\$?\{[^{}\n]{0,100}+\}|\$\([^()\n]{0,100}+\)"
    r"|%\([^()\n]{0,40}+\)[a-z]|%[a-z](?![a-z0-9])|%[A-Z_]{3,40}+%|<[^<>\n]{0,100}+>|\$[A-Za-z_]\w{0,40}+|@[A-Z_]{3,40}+@"
    r"|\[[A-Za-z _-]{3,40}+\]"
)

#: Words by which people say that a value is none.
EXAMPLE_WORDS = re.compile(
    r"change[-_ ]?(?:me|this|it)|place[-_ ]?holder|example|sample|dummy|redacted|replace[-_ ]?(?:me|this|with)"
    r"|insert[-_ ]|(?:^|[-_ ])your?[-_ ]?|todo|fixme|\.\.\.|…|(?:^|[-_ ])fake|not[-_ ]?(?:a[-_ ]?)?(?:real|secret)"
    r"|x{4,}|\*{3,}"
    r"|my[-_]?(?:secret|pass|token|key|api)"
)

#: Values that are words of a language, or the name of what they would be.
_PLAIN_WORDS = """
    none null nil true false undefined empty default unset required optional string str text bytes int number bool
    boolean password passwd passphrase passcode pass pwd pw secret secrets token tokens key keys apikey api_key
    auth authorization credential credentials username user userpass username:password user:password login email
    basic bearer digest hidden visible private public test testing value name id yes no on off any env vault file
    prompt ask keyring
    """
PLAIN_WORDS = frozenset(_PLAIN_WORDS.split())

_SECRET_NAME = re.compile(
    r"[a-z_.\- ]{0,40}?(?:passw(?:or)?d|secret|token|api[-_ ]?key|credential)s?[a-z_.\- ]{0,20}\d?"
)
_RUNS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_NUMBERED = re.compile(r"[-_][0-9]{1,2}$")
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
_HEX = re.compile(r"[0-9a-fA-F]+(?:-[0-9a-fA-F]+)*")


def placeholder(value: str) -> bool:
    """Clearly no secret: empty, a word that says so, a field to be filled in, one character over and over."""
    rest = FIELDS.sub("", MARKER.sub("", value)).strip()
    lower = rest.lower()
    return (
        len(_SEPARATORS.sub("", rest)) < 3
        or len(set(lower)) < 3
        or lower in PLAIN_WORDS
        or EXAMPLE_WORDS.search(lower) is not None
    )


def names_itself(value: str) -> bool:
    """`client_secret`, `new password 2`: the name of a field, as in a list of names."""
    return _SECRET_NAME.fullmatch(value.lower()) is not None


def entropy(value: str) -> float:
    """Bits for each character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values()) if value else 0.0


def machine_made(value: str, least: int = 16) -> bool:
    """Made by a machine: no blanks, many different characters, kinds of characters that alternate as no words do."""
    bare = _SEPARATORS.sub("", value)
    if len(bare) < least or any(char.isspace() for char in value) or not any(char.isdigit() for char in bare):
        return False
    if _HEX.fullmatch(value):
        return entropy(bare) > 2.4
    return entropy(bare) > 2.9 and len(_RUNS.findall(bare)) - 1 >= 0.19 * len(bare)


def mixed(value: str) -> bool:
    """Letters beside digits or signs, without blanks: `hunter2`, not `password_field`."""
    bare = _NUMBERED.sub("", value.strip("-_.:/ "))
    letters = any(char.isalpha() for char in bare)
    return letters and not any(char.isspace() for char in bare) and re.search(r"[0-9!@#$%^&*+=?~]", bare) is not None
