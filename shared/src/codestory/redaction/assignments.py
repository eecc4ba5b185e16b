"""Secrets that are known by the name they are given, and passwords in addresses."""

import re
from collections.abc import Callable

from codestory.redaction.literals import given
from codestory.redaction.names import ABOUT, MEDIUM, STRONG, WEAK, tail, whole
from codestory.redaction.rules import Detector, Span
from codestory.redaction.values import machine_made, mixed, names_itself, placeholder

#: Judges a value, and whether it is assigned outright.
Convincing = Callable[[str, bool], bool]

_DATABASES = re.compile(
    r"(?i)postgres|mysql|mariadb|mongodb|redis|amqp|mssql|sqlserver|oracle|cockroach|clickhouse|jdbc|cassandra|couchdb|db2"
    r"|snowflake|redshift|valkey|nats|kafka|memcached"
)
_URL = re.compile(r"""://(?:[^\s:/?#@'"`<>\[\]()\\|,]{0,120}+):([^\s/?#'"`<>]{2,400})@(?=[\w\[{$%.<-])""")
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]{1,24}\Z", re.IGNORECASE)


def named(word: str, kind: str, convincing: Convincing) -> Detector:
    """A value behind a name with this word in it."""

    def look(text: str, start: int, end: int) -> Span | None:
        rest = tail(text, end)
        value = given(text, start, end + len(rest)) if rest is not None else None
        if rest is None or value is None:
            return None
        said = text[value.start : value.end]
        if placeholder(said) or said.lower() == whole(text, start, end + len(rest)):
            return None
        if not (machine_made(said) if ABOUT.search(rest) else convincing(said, value.outright)):
            return None
        return Span(value.start, value.end, kind, 2)

    return Detector((word,), look)


def strong(value: str, outright: bool) -> bool:
    if len(value) < 4 or _address(value):
        return False
    if any(char.isspace() for char in value):
        return passphrase(value)
    return outright or (mixed(value) and not names_itself(value))


def passphrase(value: str) -> bool:
    """With blanks, and yet no sentence."""
    words = value.split()
    prose = value.rstrip()[-1:] in ".:?!…," or any(names_itself(word.strip("'\",.")) for word in words)
    return not prose and len(words) <= 5 and any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def medium(value: str, _outright: bool) -> bool:
    return len(value) >= 8 and mixed(value) and not names_itself(value) and not _address(value)


def weak(value: str, _outright: bool) -> bool:
    return machine_made(value) and not _address(value)


def _address(value: str) -> bool:
    """Of a file or a site; a password in it is found by itself."""
    return "://" in value or (value.startswith(("/", "./", "~/")) and not machine_made(value))


def url_password(text: str, start: int, _end: int) -> Span | None:
    match = _URL.match(text, start)
    scheme = _SCHEME.search(text[max(0, start - 25) : start]) if match else None
    if match is None or scheme is None or placeholder(match[1]):
        return None
    kind = "database_url_password" if _DATABASES.search(scheme[0]) else "url_password"
    return Span(*match.span(1), kind, 1)


DETECTORS = (
    *(named(word, "secret" if "secret" in word else "password", strong) for word in STRONG.split()),
    *(named(word, "token" if "token" in word else "key", medium) for word in MEDIUM.split()),
    *(named(word, "token", weak) for word in WEAK.split()),
    Detector(("://",), url_password),
)
