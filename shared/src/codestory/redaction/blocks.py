"""Private keys that fill many lines, or one line with its breaks written out."""

import re

from codestory.redaction.rules import Detector, Span

#: The longest key that is looked for: RSA with 16,384 bits takes 13 KB, an OpenPGP key ring a few times that.
MOST = 131_072

_BEGIN = re.compile(r"-{4,5}\s?BEGIN (?:[A-Z0-9]{1,20}+ ){0,4}?PRIVATE KEY(?: BLOCK)?\s?-{4,5}")
_END = re.compile(r"-{4,5}\s?END [A-Z0-9 ]{0,60}?PRIVATE KEY(?: BLOCK)?\s?-{4,5}")
#: What stands between, where no end is to be found: a text that was cut off.
_BODY = re.compile(r"""(?:[A-Za-z0-9+/=\s\\"',]|: |-(?!-)){1,131072}+""")
_PUTTY = re.compile(r"Private-Lines: \d{1,3}\r?\n((?:[A-Za-z0-9+/=]{1,80}+\r?\n?){1,400}+)")


def private_key(text: str, start: int, _end: int) -> Span | None:
    """From BEGIN to END; to the next BEGIN, or as far as it looks like a key, where there is no end."""
    begin = _BEGIN.match(text, start)
    if begin is None:
        return None
    after = begin.end()
    limit = text.find("BEGIN ", after, after + MOST)
    limit = min(len(text), after + MOST) if limit < 0 else limit
    end = _END.search(text, after, limit)
    if end is not None:
        body = text[after : end.start()]
        return Span(start, end.end(), "private_key", 0) if _key_like(body) else None
    rest = _BODY.match(text, after, limit)
    return Span(start, rest.end(), "private_key", 0) if rest and _key_like(rest[0]) else None


def _key_like(body: str) -> bool:
    """Not an ellipsis, a field to be filled in or a line of prose between two quoted markers."""
    return re.search(r"[A-Za-z0-9+/=]{24}", body) is not None


def putty_key(text: str, start: int, _end: int) -> Span | None:
    match = _PUTTY.match(text, start)
    return Span(*match.span(1), "private_key", 0) if match else None


DETECTORS = (
    Detector(("-----begin ", "---- begin ", "----- begin "), private_key),
    Detector(("private-lines: ",), putty_key),
)
