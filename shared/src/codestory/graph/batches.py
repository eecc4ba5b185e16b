"""Rows cut into parts that fit one transaction."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from codestory.graph.content import Key

T = TypeVar("T")


@dataclass(frozen=True)
class Room:
    """What fits one transaction: so many rows, of so many bytes. A row bigger than that goes alone."""

    rows: int
    bytes: int

    def parts(self, rows: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
        part: list[T] = []
        filled = 0
        for row in rows:
            more = size(row)
            if part and (len(part) >= self.rows or filled + more > self.bytes):
                yield part
                part, filled = [], 0
            part.append(row)
            filled += more
        if part:
            yield part


def by_label(keys: Iterable[Key]) -> Iterator[tuple[str, list[str]]]:
    """Of keys sorted by label: each label with its ids."""
    for label, group in groupby(keys, key=lambda key: key[0]):
        yield label, [id_ for _, id_ in group]
