"""Where a definition's name stands, to recognize in one reader's findings what another has found."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codestory_blarify.definitions import Definition


@dataclass(frozen=True, slots=True)
class Found:
    """A definition as some reader sees it. `line` from 1, `column` in UTF-8 bytes from 0, as in Definition."""

    line: int
    column: int
    qualified_name: str


class Places:
    """The definitions by the place of their name."""

    def __init__(self, definitions: Sequence[Definition]) -> None:
        self._by_place: dict[tuple[str, int, int], int] = {}
        self._by_name: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, definition in enumerate(definitions):
            self._by_place[definition.path, definition.name_line, definition.name_column] = index
            self._by_name[definition.path, definition.qualified_name].append(index)
        for equals in self._by_name.values():
            equals.sort(key=lambda index: (definitions[index].name_line, definitions[index].name_column))

    def match(self, path: str, found: Sequence[Found]) -> list[int | None]:
        """Which definition each of these is. Readers count columns differently behind a byte order mark, and lines
        behind a lone carriage return: what has no definition at its place is told by its name and order, if there are
        as many of that name."""
        matched = [self._by_place.get((path, one.line, one.column)) for one in found]
        equals: dict[str, list[int]] = defaultdict(list)
        for number, one in enumerate(found):
            equals[one.qualified_name].append(number)
        for name in {one.qualified_name for one, index in zip(found, matched, strict=True) if index is None}:
            known, numbers = self._by_name.get((path, name), []), equals[name]
            if len(known) == len(numbers):
                for index, number in zip(known, _in_order(numbers, found), strict=True):
                    matched[number] = index
        return matched


def _in_order(numbers: Iterable[int], found: Sequence[Found]) -> list[int]:
    return sorted(numbers, key=lambda number: (found[number].line, found[number].column))
