"""Names that say that what they are given is a secret, and how sure that is."""

import re
from typing import Final

#: Whatever literal these are given is taken for a secret.
STRONG: Final = """
    password passwd passphrase passcode passwort kennwort contrasena contraseña motdepasse mot_de_passe pwd secret
    client_secret client-secret clientsecret mnemonic seed_phrase seedphrase
    """

_KEYS = """
    api access private secret encryption encrypt signing sign master account storage subscription shared jwt hmac
    consumer admin license deploy webhook service session cookie crypto aes rsa host app auth db database
    """
_TOKENS = "access refresh auth"

#: A literal that is no word.
MEDIUM: Final = " ".join(
    (
        *(f"{what}{sign}key" for what in _KEYS.split() for sign in ("", "_", "-", ".")),
        *(f"{what}{sign}token" for what in _TOKENS.split() for sign in ("", "_", "-")),
    )
)

#: A literal that was made by a machine.
WEAK: Final = "token credential _pass -pass pass= pass: _auth _pat signature bearer authkey"

#: Ends of names of what is merely about a secret: `token_type`, `password1_field_name`, `secretName`.
ABOUT: Final = re.compile(
    r"(?:^|[_\-.0-9s]|(?<=[a-z])(?=[A-Z]))(?i:types?|names?|fields?|urls?|uris?|paths?|files?|filename|len|length|min|max|"
    r"size|formats?|class|labels?|help|helptext|hint|text|messages?|msg|errors?|placeholders?|headers?|prefix|suffix|"
    r"params?|parameters?|endpoints?|templates?|views?|forms?|regexp?|re|patterns?|attrs?|columns?|kinds?|version|scopes?|"
    r"expir\w{0,10}|ttl|timeout|lifetime|algorithms?|hashers?|validators?|policy|policies|rules?|title|desc|description|"
    r"providers?|stores?|manager|count|index|input|env|vars?|variables?|arn|refs?|reference|mode|options?|strategy|"
    r"backend|issuer|audience|required|enabled|ids?|usage|age|date|time|at|on|by|reset|changed?|done|complete|confirm|"
    r"confirmation|startswith|endswith|contains|mismatch|incorrect|invalid|missing)$"
)

_TAIL = re.compile(r"[\w\-]{0,40}+")
#: What may follow in one word: `secretkey`, `tokens`, `password1`.
_TAILS = ("key", "hash", "word", "phrase", "base", "env")


def tail(text: str, end: int) -> str | None:
    """The rest of the name behind its word. None when the word is but a part of another: `tokenize`, `secretary`."""
    match = _TAIL.match(text, end)
    rest = match[0] if match else ""
    within = rest[:1].islower() and text[end - 1].islower()
    if within and rest.rstrip("s0123456789_-") and not rest.lower().startswith(_TAILS):
        return None
    return rest


def whole(text: str, start: int, end: int) -> str:
    """The name that a word stands in, in lower case."""
    before = start
    while before > max(0, start - 40) and (text[before - 1].isalnum() or text[before - 1] in "_-"):
        before -= 1
    return text[before:end].lower()
