"""Takes out secrets that are known, whatever they look like; then all that looks like one.

For what leaves the deployment, a support bundle say: rather too much than too little."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

from ahocorasick_rs import AhoCorasick, Implementation
from pydantic import JsonValue

from codestory.redaction import names
from codestory.redaction.scan import redact

#: What stands where a known secret was.
KNOWN = "[REDACTED:known_secret]"
#: What stands where a value was whose name says that it is a secret.
NAMED = "[REDACTED:named_secret]"
USERINFO = "[REDACTED:userinfo]"
#: What is told of a secret: whether there is one.
SET, NOT_SET = "[secret: set]", "[secret: not set]"
#: A shorter secret stands in half of all words.
LEAST_CHARS = 6
#: Texts up to this length that were cleaned are remembered, so many: names and ids come again in every line of a log.
SHORT_CHARS, REMEMBERED = 80, 8192
#: A known secret with more than this is looked for by its beginning.
MOST_CHARS = 4096

#: Before the host of an address. A password may hold what should have been escaped in it.
_USERINFO = re.compile(r"""(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?:[^\s/@"'<>]*:[^\s"'<>]*|[^\s/@"'<>]+)@""")
#: Of ssh: everybody's user.
_NOBODY = re.compile(r"(?:git\+)?ssh://git@[^@]*")
_SECRET_NAME = re.compile(
    "|".join(
        re.escape(word)
        for word in sorted({*names.STRONG.split(), *names.MEDIUM.split(), "token", "credential", "authorization"})
    ),
    re.IGNORECASE,
)
#: Names with such a word that are of none: of tokens that are counted, and of a secret's name.
_INNOCENT = re.compile(r"(?i)(?:^|[_-])(?:tokens|token[_-](?:limit|budget)|credential)$")


class Cleaner:
    """`secrets`: the known ones. Each is found as it is, in base64, and as an address writes it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = sorted({form for secret in secrets for form in forms_of(secret)})
        self._known = AhoCorasick(forms, implementation=Implementation.ContiguousNFA) if forms else None

        self._again = lru_cache(maxsize=REMEMBERED)(self._cleaned)

    def text(self, text: str) -> str:
        """Lines stay lines."""
        return self._again(text) if len(text) <= SHORT_CHARS else self._cleaned(text)

    def _cleaned(self, text: str) -> str:
        return redact(without_userinfo(self.without_known(text))).text

    def value(self, value: JsonValue, name: str = "") -> JsonValue:
        """All that is in it, names too. `name`: what it is called, which may say that it is a secret."""
        match value:
            case str():
                hidden = value and value not in {SET, NOT_SET} and secret_name(name)
                return NAMED if hidden else self.text(value)
            case list():
                return [self.value(each, name) for each in value]
            case dict():
                return {self.text(key): self.value(each, key) for key, each in value.items()}
            case _:
                return value

    def without_known(self, text: str) -> str:
        """Only the known ones are taken out."""
        if self._known is None:
            return text
        parts: list[str] = []
        at = 0
        for _, start, end in sorted(self._known.find_matches_as_indexes(text, overlapping=True), key=_by_place):
            if start >= at:
                parts += text[at:start], KNOWN
            at = max(at, end)
        return "".join((*parts, text[at:]))


def _by_place(match: tuple[int, int, int]) -> tuple[int, int]:
    return match[1], -match[2]


def forms_of(secret: str) -> Iterator[str]:
    """How it may be written. Nothing of one that is too short to be found."""
    secret = secret.strip()[:MOST_CHARS]
    if len(secret) < LEAST_CHARS:
        return
    yield secret
    yield from (quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1])
    for offset in range(3):
        yield from _encoded(secret, offset)


def _encoded(secret: str, offset: int) -> Iterator[str]:
    """In base64, behind so many bytes of something else: those signs that come of the secret alone."""
    data = b"\0" * offset + secret.encode("utf-8", "surrogateescape")
    begin, end = (offset * 8 + 5) // 6, len(data) * 8 // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        inner = encode(data).decode()[begin:end]
        if len(inner) >= LEAST_CHARS:
            yield inner


def without_userinfo(text: str) -> str:
    """Addresses without user and password; what git calls everybody stays."""
    if "://" not in text or "@" not in text:
        return text
    return _USERINFO.sub(
        lambda found: found[0] if _NOBODY.fullmatch(found[0]) else f"{found['scheme']}{USERINFO}@", text
    )


@lru_cache(maxsize=4096)
def secret_name(name: str) -> bool:
    """A field of this name holds a secret, by its name."""
    return bool(_SECRET_NAME.search(name)) and not names.ABOUT.search(name) and not _INNOCENT.search(name)
