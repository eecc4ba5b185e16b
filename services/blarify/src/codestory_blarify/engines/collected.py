"""References as they are found: each once, by the better of those that found it."""

from collections.abc import Sequence

from codestory_blarify.references import End, External, Reference

#: How a reference was found by names and scopes alone.
SYNTAX = "syntax"


class Collected:
    """An edge at one line is held once. One that the types tell stands before one that only names tell."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int | str, End, int, str], str] = {}

    def add(self, type_: str, source: int | str, target: End, line: int, *, name: str = "", by: str = "") -> None:
        key = (type_, source, target, line, name)
        if not by or key not in self._found:
            self._found[key] = by

    def references(self) -> Sequence[Reference]:
        """In an order that is the same for the same repository."""
        return [Reference(*key, by) for key, by in sorted(self._found.items(), key=lambda item: _order(item[0]))]

    def __len__(self) -> int:
        return len(self._found)


def _order(key: tuple[str, int | str, End, int, str]) -> tuple[str, str, str, int, str]:
    type_, source, target, line, name = key
    said = f"{target.name} {target.distribution}" if isinstance(target, External) else str(target)
    return type_, str(source), said, line, name
