"""What a detector is: words that call it, and a look at the place where one of them stands."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from codestory.redaction.values import placeholder


class Span(NamedTuple):
    """Where a secret stands, and of what kind it is. Of two that overlap the lower rank names the kind."""

    start: int
    end: int
    kind: str
    rank: int


#: Looks at a text where a word was found (start, end); whatever it reads beyond is bounded.
Look = Callable[[str, int, int], Span | None]

#: Whether what has the form is a secret after all.
Check = Callable[[str], bool]


@dataclass(frozen=True)
class Detector:
    """Called for each place where one of its words (lower case) stands."""

    words: tuple[str, ...]
    look: Look


def form(kind: str, words: str, pattern: str, *, back: range = range(1), check: Check | None = None) -> Detector:
    """A secret known by its form. The pattern begins as many characters before the word as `back` says; its group 1 is
    the secret, or all of it."""

    def look(text: str, start: int, end: int) -> Span | None:
        compiled = _compiled(pattern)
        which = min(1, compiled.groups)
        for begin in range(start - back.start, max(-1, start - back.stop), -1):
            match = compiled.match(text, begin) if begin >= 0 else None
            if match and match.end() >= end:
                secret = match[which]
                if placeholder(secret) or len(set(secret)) < 6 or (check and not check(secret)):
                    return None
                return Span(*match.span(which), kind, 0)
        return None

    return Detector(tuple(words.split()), look)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """When it is first needed: all of them together would take longer than everything else that a step imports."""
    return re.compile(pattern)
