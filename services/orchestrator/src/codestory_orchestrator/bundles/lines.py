"""Reads a history page by page, and keeps of it what fits: its beginning and its end. Knows no server."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

#: Of a history that is too long, its beginning takes this part of the room; the rest its end.
BEGINNING = 0.25


class Page(Protocol):
    @property
    def next_seq(self) -> int: ...
    @property
    def more(self) -> bool: ...


Read = TypeVar("Read", bound=Page)


class Kept:
    """Lines of which the first and the last are kept, `most` bytes at most."""

    def __init__(self, most: int) -> None:
        self._first, self._last = list[bytes](), deque[bytes]()
        self._begin, self._left = int(most * BEGINNING), most
        self._full = False
        self._dropped = 0
        #: All of the history has been read.
        self.whole = False

    def add(self, line: bytes) -> None:
        self._full = self._full or len(line) > self._begin
        if self._full:
            self._last.append(line)
        else:
            self._first.append(line)
            self._begin -= len(line)
        self._left -= len(line)
        while self._left < 0 and self._last:
            self._left += len(self._last.popleft())
            self._dropped += 1

    def lines(self) -> list[bytes]:
        return [*self._first, *self._last]

    def cut(self) -> str:
        """What is missing, in words; empty: nothing."""
        dropped = f"{self._dropped:,} lines left out of its middle" if self._dropped else ""
        return "; ".join(filter(None, (dropped, "" if self.whole else "not all of it could be read")))


async def read(
    kept: Kept,
    page: Callable[[int], Awaitable[Read]],
    items: Callable[[Read], Sequence[BaseModel]],
    written: Callable[[Any], bytes],
) -> None:
    """All pages, from the beginning. Broken off, what has been read is kept. `written`: one item as it is kept."""
    start, more = 0, True
    while more:
        found = await page(start)
        for line in await asyncio.to_thread(_written, items(found), written):
            kept.add(line)
        start, more = found.next_seq, found.more
    kept.whole = True


def _written(items: Sequence[BaseModel], written: Callable[[Any], bytes]) -> list[bytes]:
    return [written(item) for item in items]
