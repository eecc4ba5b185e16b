"""What the graph holds of a repository as things to summarize, each with what it depends on and who uses it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from codestory.files import paths
from codestory.graph import Label, RelationshipType
from codestory.steps import StepError

_SYMBOLS = (Label.CLASS, Label.FUNCTION, Label.METHOD)
_PROPERTIES = ("qualified_name", "path", "language", "signature", "docstring", "sha256", "start_line", "end_line")

#: The relations that a summary depends on, the most telling first: of two things only one is told.
RELATIONS = {
    RelationshipType.CONTAINS: "contains",
    RelationshipType.INHERITS_FROM: "inherits from",
    RelationshipType.OVERRIDES: "overrides",
    RelationshipType.INSTANTIATES: "instantiates",
    RelationshipType.CALLS: "calls",
    RelationshipType.USES: "uses",
}
CONTAINS = "contains"
#: How much one needs the other to be understood. The weakest are left out of account where a cycle gets too big.
STRENGTHS = {"uses": 0, "instantiates": 1, "overrides": 2, "inherits from": 3, "calls": 4, CONTAINS: 5}
_RANKS = {relation: rank for rank, relation in enumerate(RELATIONS.values())}
#: Of a docstring; what is longer is told by its beginning.
MAX_DOCSTRING_CHARS = 4_000

#: What leaves the nodes of one label, a thousand a row: the driver takes its time for each row.
_LEAVING = """
MATCH (n:{label} {{repo: $repo}})-[e]->(b)
WHERE type(e) IN $types AND n._missing IS NULL AND b._missing IS NULL AND any(l IN labels(b) WHERE l IN $ends)
WITH collect([n.id, type(e), b.id]) AS found UNWIND range(0, size(found) - 1, 1000) AS at
RETURN found[at..at + 1000] AS part
"""

Row = dict[str, Any]


class Reads(Protocol):
    """What is asked of the graph."""

    def nodes(self, label: str, *properties: str) -> AsyncIterator[Row]: ...

    async def read(self, query: str, **parameters: Any) -> list[Row]: ...


@dataclass(frozen=True, slots=True)
class Thing:
    """A symbol, file, directory, or the repository. `name` is qualified within the file; of files and directories it is
    the last part of the path, of the repository empty: nothing that is told depends on where something lies.

    `unread`: why the filesystem step did not read a file. `lines` is None for what is no text."""

    label: Label
    id: str
    path: str
    name: str = ""
    ordinal: int = 0
    language: str = ""
    signature: str = ""
    docstring: str = ""
    sha256: str = ""
    start_line: int = 0
    end_line: int = 0
    size: int = 0
    lines: int | None = None
    unread: str = ""

    @property
    def kind(self) -> str:
        return self.label.lower()

    @property
    def is_symbol(self) -> bool:
        return self.label in _SYMBOLS


class Dependency(NamedTuple):
    relation: str
    at: int  # position of what is meant


@dataclass(frozen=True)
class Structure:
    """All things of a repository, sorted by path and name, with their dependencies, which are sorted too.

    A thing holds what it `contains`, in the order of the source; it is never its own dependency."""

    things: list[Thing]
    dependencies: list[list[Dependency]]
    used_by: list[list[int]] = field(default_factory=list[list[int]])

    def held(self, at: int) -> list[Thing]:
        return [self.things[below] for relation, below in self.dependencies[at] if relation == CONTAINS]


async def read(graph: Reads) -> Structure:
    """StepError if the filesystem step has not written this repository."""
    things = [thing async for thing in _things(graph)]
    if not any(thing.label == Label.REPOSITORY for thing in things):
        raise StepError(
            "The graph holds no files of this repository yet. Run the filesystem step before summarizer, in the same "
            "job or in one of its own."
        )
    things = _numbered(sorted(things, key=_rank))
    at = {thing.id: position for position, thing in enumerate(things)}
    found: dict[int, dict[int, str]] = defaultdict(dict)
    async for source, target, relation in _relations(graph):
        if source in at and target in at and source != target:
            _add(found, at[source], at[target], relation)
    used_by = _used_by(found, things)
    contained = {below for uses in found.values() for below, relation in uses.items() if relation == CONTAINS}
    for above, below in _places(things, contained):
        _add(found, above, below, CONTAINS)
    return Structure(things, [_sorted(found.get(number, {}), things) for number in range(len(things))], used_by)


async def _things(graph: Reads) -> AsyncIterator[Thing]:
    for label in _SYMBOLS:
        async for row in graph.nodes(label, *_PROPERTIES):
            if row["qualified_name"] and row["path"]:
                yield _symbol(label, row)
    async for row in graph.nodes(Label.FILE, "path", "language", "sha256", "size", "lines", "reason"):
        yield Thing(
            Label.FILE,
            row["id"],
            row["path"],
            row["path"].rpartition("/")[2],
            language=row["language"] or "",
            sha256=row["sha256"] or "",
            size=row["size"] or 0,
            lines=row["lines"],
            unread=row["reason"] or "",
        )
    async for row in graph.nodes(Label.DIRECTORY, "path", "reason"):
        yield Thing(Label.DIRECTORY, row["id"], row["path"], row["path"].rpartition("/")[2], unread=row["reason"] or "")
    async for row in graph.nodes(Label.REPOSITORY):
        yield Thing(Label.REPOSITORY, row["id"], paths.ROOT)


def _symbol(label: Label, row: Row) -> Thing:
    return Thing(
        label,
        row["id"],
        row["path"],
        row["qualified_name"],
        language=row["language"] or "",
        signature=row["signature"] or "",
        docstring=(row["docstring"] or "")[:MAX_DOCSTRING_CHARS],
        sha256=row["sha256"] or "",
        start_line=row["start_line"] or 0,
        end_line=row["end_line"] or 0,
    )


def _rank(thing: Thing) -> tuple[str, str, str, int, str]:
    return thing.path, thing.label, thing.name, thing.start_line, thing.id


def _numbered(things: list[Thing]) -> list[Thing]:
    """Equals of one file are told apart by their order in it, as blarify does."""
    seen: dict[tuple[str, str, str], int] = {}
    numbered: list[Thing] = []
    for thing in things:
        key = (thing.path, thing.label, thing.name)
        ordinal = seen[key] = seen.get(key, -1) + 1
        numbered.append(replace(thing, ordinal=ordinal) if ordinal else thing)
    return numbered


async def _relations(graph: Reads) -> AsyncIterator[tuple[str, str, str]]:
    """Source, target, relation. One look at each source, whatever the type: to ask for each type, and for each label at
    its other end, made the server look at everything sixty times."""
    for label in (*_SYMBOLS, Label.FILE):
        for row in await graph.read(_LEAVING.format(label=label), types=[*RELATIONS], ends=[*_SYMBOLS]):
            for source, type_, target in row["part"]:
                yield source, target, RELATIONS[type_]


def _add(found: dict[int, dict[int, str]], source: int, target: int, relation: str) -> None:
    known = found[source].get(target)
    if known is None or _RANKS[relation] < _RANKS[known]:
        found[source][target] = relation


def _used_by(found: Mapping[int, Mapping[int, str]], things: list[Thing]) -> list[list[int]]:
    users: list[list[int]] = [[] for _ in things]
    for source, uses in sorted(found.items()):
        for target, relation in uses.items():
            if relation != CONTAINS:
                users[target].append(source)
    return users


def _places(things: list[Thing], contained: set[int]) -> Iterator[tuple[int, int]]:
    """A file holds the symbols that no other symbol holds, a directory its files and directories."""
    places = {thing.path: number for number, thing in enumerate(things) if not thing.is_symbol}
    for number, thing in enumerate(things):
        if thing.is_symbol:
            above = None if number in contained else places.get(thing.path)
        else:
            above = None if thing.path == paths.ROOT else places.get(paths.parent(thing.path))
        if above is not None:
            yield above, number


def _sorted(uses: Mapping[int, str], things: list[Thing]) -> list[Dependency]:
    """By relation; what is held in the order of the source, directories before files, all else by name."""

    def rank(item: tuple[int, str]) -> tuple[int, bool, int, str, str, int]:
        at, relation = item
        thing = things[at]
        line = thing.start_line if relation == CONTAINS else 0
        return _RANKS[relation], thing.label != Label.DIRECTORY, line, thing.name, thing.label, at

    return [Dependency(relation, at) for at, relation in sorted(uses.items(), key=rank)]
