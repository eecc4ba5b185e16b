"""In which order summaries are made: what something depends on before it, what depends on each other as one.

A cycle that is too big to be one is loosened: its weakest dependencies are left out of account until it falls into
smaller ones. What is left out so is met by whoever depends on it before its turn, as the others of a cycle are.

Pure. Things are numbers, positions in a list that whoever calls has sorted, so that the order is the same every time.
"""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


def components(dependencies: Sequence[Collection[int]]) -> list[list[int]]:
    """The strongly connected components, each sorted, every one behind those it depends on.

    Tarjan's algorithm with a stack of its own: a chain of calls may be as long as the repository is big."""
    search = _Search(dependencies)
    for root in range(len(dependencies)):
        if search.low[root] == _NEW:
            search.visit(root)
    return search.found


def loosened(dependencies: Sequence[Mapping[int, int]], limit: int) -> list[list[int]]:
    """As `components`, of no more than `limit` members where that is possible. `dependencies`: how strong each is; the
    strongest are never left out."""
    strengths = sorted({strength for below in dependencies for strength in below.values()})
    return [
        part for members in components(dependencies) for part in _parts(members, dependencies, strengths[1:], limit)
    ]


def _parts(
    members: list[int], dependencies: Sequence[Mapping[int, int]], strengths: Sequence[int], limit: int
) -> Iterator[list[int]]:
    if len(members) <= limit or not strengths:
        yield members
        return
    place = {member: number for number, member in enumerate(members)}
    inside = [
        {place[other]: 0 for other, how in dependencies[member].items() if other in place and how >= strengths[0]}
        for member in members
    ]
    for part in components(inside):
        yield from _parts([members[number] for number in part], dependencies, strengths[1:], limit)


def only_seen(dependencies: Sequence[Collection[int]], order: Sequence[Sequence[int]]) -> dict[int, frozenset[int]]:
    """Of each, what it depends on that does not come before it; nothing for those of which all does."""
    component = _numbers(order)
    found = (
        (item, frozenset(other for other in below if component[other] >= component[item]))
        for item, below in enumerate(dependencies)
    )
    return {item: others for item, others in found if others}


def _numbers(order: Sequence[Sequence[int]]) -> dict[int, int]:
    return {item: number for number, members in enumerate(order) for item in members}


class Plan:
    """Hands out what is wanted, as soon as everything wanted is done that it depends on and that comes before it."""

    def __init__(
        self, dependencies: Sequence[Collection[int]], order: Sequence[Sequence[int]], wanted: Iterable[int]
    ) -> None:
        """`order`: as `components` or `loosened` gives it."""
        wanted = set(wanted)
        component = _numbers(order)
        self._turn = {item: turn for turn, item in enumerate(item for members in order for item in members)}
        self._waiting = dict.fromkeys(wanted, 0)
        self._above: dict[int, list[int]] = {}
        for item in wanted:
            for below in {*dependencies[item]} & wanted:
                if component[below] < component[item]:
                    self._waiting[item] += 1
                    self._above.setdefault(below, []).append(item)
        self._ready = [(self._turn[item], item) for item, count in self._waiting.items() if not count]
        heapq.heapify(self._ready)

    def __len__(self) -> int:
        """How many are not done yet."""
        return len(self._waiting)

    def take(self) -> int | None:
        """The next that is ready; None: nothing is until something taken before is done, or nothing is left."""
        return heapq.heappop(self._ready)[1] if self._ready else None

    def done(self, item: int) -> int:
        """Something taken has been made. Returns how many have become ready by that."""
        del self._waiting[item]
        freed = 0
        for above in self._above.pop(item, ()):
            self._waiting[above] -= 1
            if not self._waiting[above]:
                heapq.heappush(self._ready, (self._turn[above], above))
                freed += 1
        return freed


_NEW, _FOUND = -1, -2


@dataclass
class _Search:
    dependencies: Sequence[Collection[int]]
    found: list[list[int]] = field(default_factory=list[list[int]])

    def __post_init__(self) -> None:
        #: The lowest number reached from here; _FOUND once the component is complete.
        self.low = [_NEW] * len(self.dependencies)
        self._open: list[int] = []
        self._count = 0

    def visit(self, root: int) -> None:
        way = [(root, self._enter(root), iter(sorted(self.dependencies[root])))]
        while way:
            item, number, below = way[-1]
            for other in below:
                if self.low[other] == _NEW:
                    way.append((other, self._enter(other), iter(sorted(self.dependencies[other]))))
                    break
                if self.low[other] != _FOUND:
                    self.low[item] = min(self.low[item], self.low[other])
            else:
                way.pop()
                low = self.low[item]
                if low == number:
                    self._close(item)
                elif way:
                    above = way[-1][0]
                    self.low[above] = min(self.low[above], low)

    def _enter(self, item: int) -> int:
        number = self.low[item] = self._count
        self._count += 1
        self._open.append(item)
        return number

    def _close(self, first: int) -> None:
        """Everything opened since `first` reaches it, and it reaches them."""
        at = len(self._open) - 1
        while self._open[at] != first:
            at -= 1
        members = sorted(self._open[at:])
        del self._open[at:]
        for member in members:
            self.low[member] = _FOUND
        self.found.append(members)
