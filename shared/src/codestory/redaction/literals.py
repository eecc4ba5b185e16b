"""What a name is given: finds the value behind it, in the syntaxes of code, configuration, shells and markup."""

import re
from typing import NamedTuple


class Given(NamedTuple):
    """Where a value stands. Not outright: it may as well be the next word of a list, or an expression."""

    start: int
    end: int
    outright: bool


#: A literal in quotes is read this far.
MOST = 16_384
#: As much of a line before a name is looked at.
BEFORE = 64

_QUOTE = r"""(?P<q>\\{0,3}(?:\"{3}|'{3}|["'`]))"""
_WRAPPED = (
    r"(?:(?:SecretStr|SecretString|Secret|String::from|Buffer\.from|new String|b64decode|base64\.b64decode"
    r"|bytes\.fromhex|fromhex|str|bytes|Some|Ok)\(\s{0,8}+)?+"
)
_PREFIX = rf"{_WRAPPED}(?:[bBrRuUfF]{{1,2}}|[@$]{{1,2}})?+"
#: The end of a name that is itself a key: `"name"`, `["NAME"]`, `name[25]`.
_CLOSE = r"""(?:\\{0,3}+["'`])?+(?:\[\w{0,5}\])?+[\])]{0,2}+"""
_DEFAULT = r",\s{0,8}+(?:default|fallback|value|defaultValue|default_value)\s{0,2}+="
_SIGN = rf"{_CLOSE}\s{{0,40}}+(?P<sep>=>|:=|={{1,3}}|!={{1,2}}|\?\?=?|\|\|=?|:|\bor\b|{_DEFAULT}|,|\()"
#: With its type between, or the braces of a property.
_TYPE = r"""&?(?:'static )?[A-Za-z][\w.<>\[\], |&*?]{0,40}?"""
_TYPED = (
    rf"(?:\[\w{{0,5}}\])?(?:[?!]?[ \t]{{0,4}}+:[ \t]{{0,4}}+{_TYPE}|[ \t]{{1,4}}+[A-Za-z*]\w{{0,20}}+)?[ \t]{{0,4}}+="
)
_PROPERTY = r"\s{0,8}+\{[^{}\n]{0,60}+\}\s{0,8}+="
_QUOTED = re.compile(rf"(?:{_SIGN}|{_TYPED}|{_PROPERTY})\s{{0,40}}+(?:\(\s{{0,40}}+)?+{_PREFIX}{_QUOTE}")
_NOT_OUTRIGHT = (",", "(", "or", "||", "??")
#: More of a literal that is written in parts.
_MORE = re.compile(r"""\s{0,40}+[+.\\]?\s{0,40}+[bBrRuUfF]{0,2}(["'])(?!\1)""")
_PARTS = 16
_END = {'"': re.compile(r'["\\\n]'), "'": re.compile(r"['\\\n]"), "`": re.compile(r"[`\\]")}
_KEY_AFTER = re.compile(r"\s{0,8}+[:=]")

#: `NAME=value` at the start of a line, as shells, Dockerfiles, properties and `.env` files write it; YAML's blocks.
_LINE = re.compile(
    r"""[ \t]{0,4}+(?P<sep>[=:]|[ \t])[ \t]{0,40}+(?P<v>[^\s"'`\\#][^\s"'`\\]{0,1023}+)"""
    r"""(?=[ \t]{0,8}+(?:[#;"'`\n\r\\]|$))"""
)
_BLOCK = re.compile(r"[ \t]{0,4}+:[ \t]{1,4}+[|>][+-]?[ \t]{0,4}+\r?\n[ \t]{1,40}+(\S{4,1023}+)")
_LINE_START = re.compile(
    r"""(?:\n|\\n|["'`])[ \t]{0,40}+"""
    r"""(?:(?:export|set|setx|env|ENV|ARG|SET)[ \t]{1,4}|- ?|\+ ?|--?|[$>] )?[\w.\-]{0,60}$"""
)
_CODE = re.compile(r"[()\[\]{}<>,]|^[A-Za-z_]+(?:\.[A-Za-z_]+)*;?$|^\$|->|::")
_QUERY = re.compile(r"=([^\s&;\"'`<>]{3,1024}+)")
_QUERY_START = re.compile(r"""[?&;"'][\w.\-]{0,40}$""")
_FLAG = re.compile(r"(?:[= ]|\", ?\"|', ?')([^\s\"'`]{3,1024}+)")
_FLAG_START = re.compile(r"""(?:^|[\s"'])--[\w\-]{0,40}$""")
_ELEMENT = re.compile(r">\s{0,8}+([^<>\s][^<>\n]{2,1023}?)\s{0,8}</")
_VALUE_OF = re.compile(
    r"""["']\s{1,20}+(?:value|content)\s{0,2}=\s{0,2}["']([^"'\n]{3,1024}+)["']"""
    r"""|["']\s{0,4}/?>\s{0,8}<(?:value|string)>([^<>\n]{3,1024}+)<"""
)


def given(text: str, start: int, end: int) -> Given | None:
    """What the name at (start, end) is given, in quotes or without."""
    return quoted(text, end) or bare(text, start, end)


def quoted(text: str, at: int) -> Given | None:
    match = _QUOTED.match(text, at)
    if match is None:
        return None
    begin, quote = match.end(), match["q"]
    end = _closing(text, begin, quote)
    outright = match["sep"] not in _NOT_OUTRIGHT
    if not outright and _KEY_AFTER.match(text, end + len(quote)):
        return None  # the next key of a mapping, where this name was a value
    if outright and len(quote) == 1:
        end = _last_part(text, end)
    return Given(begin, end, outright)


def _last_part(text: str, end: int) -> int:
    """`"one" "two"`, `'one' + 'two'`: where the last of them ends."""
    for _ in range(_PARTS):
        more = _MORE.match(text, end + 1)
        if more is None:
            break
        end = _closing(text, more.end(), more[1])
    return end


def _closing(text: str, begin: int, quote: str) -> int:
    """Where a literal ends: at its quote, or where its line, the text or our patience does."""
    limit = min(len(text), begin + MOST)
    if len(quote) > 1:
        end = text.find(quote, begin, limit)
        return end if end >= 0 else _line_end(text, begin, limit)
    at = begin
    while match := _END[quote].search(text, at, limit):
        if match[0] != "\\":
            return match.start()
        at = match.end() + 1
    return limit


def _line_end(text: str, begin: int, limit: int) -> int:
    end = text.find("\n", begin, limit)
    return end if end >= 0 else limit


def bare(text: str, start: int, at: int) -> Given | None:
    """A value without quotes, where the line can be nothing but configuration, a command, a query or markup."""
    before = text[max(0, start - BEFORE) : start] if start > BEFORE else "\n" + text[:start]
    if match := _ELEMENT.match(text, at) or (_QUERY.match(text, at) if _QUERY_START.search(before) else None):
        return Given(*match.span(1), outright=True)
    if match := _VALUE_OF.match(text, at):
        return Given(*match.span(match.lastindex or 0), outright=True)
    if match := _FLAG.match(text, at) if _FLAG_START.search(before) else None:
        return Given(*match.span(1), outright=False)
    if not _LINE_START.search(before):
        return None
    if match := _BLOCK.match(text, at):
        return Given(*match.span(1), outright=False)
    match = _LINE.match(text, at)
    return Given(*match.span("v"), outright=False) if match and not _code(match["sep"], match["v"]) else None


def _code(sep: str, value: str) -> bool:
    """An expression of a language, a call, an index, an attribute; or prose, where no sign stands between."""
    return _CODE.search(value) is not None or (sep.isspace() and not any(char.isdigit() for char in value[1:]))
