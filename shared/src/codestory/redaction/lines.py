"""Redaction of a stream that comes line by line, where a private key fills many."""

import re
from collections.abc import Callable

from codestory.redaction.scan import redact

_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----\s*$")
_BODY = re.compile(r"\s*(?:[A-Za-z0-9+/=]{1,80}|[A-Za-z-]{4,20}: .{0,80})?\s*")
#: A key of RSA with 16,384 bits has 200.
MOST_LINES = 1000


class Lines:
    """One stream. After the first line of a private key, those that can be more of it are taken for it.

    `known`: takes out of a line what is known to be secret."""

    def __init__(self, known: Callable[[str], str] = str) -> None:
        self._known = known
        self._left = 0

    def redact(self, line: str) -> str:
        if self._left and _BODY.fullmatch(line):
            self._left -= 1
            return "[REDACTED:private_key]" if line.strip() else line
        self._left = MOST_LINES if _BEGIN.search(line) else 0
        return redact(self._known(line)).text
