"""What must change so that the graph holds what an owner says. Pure: what is wanted and what is there in, lists out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from codestory.graph.content import Content, End, Key, WantedSource
from codestory.graph.errors import Shrinks

#: The mark of a source whose relationships are half written. Never null: the next attempt must find it, also when its
#: content no longer names that source.
UNFINISHED = "?"
#: Below this many rows anything may vanish.
SHRINK_MATTERS_FROM = 20


@dataclass
class Present:
    """What is there of one owner: its nodes' hashes (None: a placeholder) and the marks of its sources."""

    nodes: dict[Key, str | None]
    marks: dict[Key, str]

    @property
    def node_count(self) -> int:
        return sum(hash_ is not None for hash_ in self.nodes.values())

    @property
    def relationship_count(self) -> int:
        return sum(int(mark.split(":")[0]) for mark in self.marks.values() if mark != UNFINISHED)


@dataclass(frozen=True)
class Difference:
    """Keys, sorted by label and id."""

    new: Sequence[Key]
    changed: Sequence[Key]
    sources: Sequence[Key]
    dropped: Sequence[Key]

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.sources or self.dropped)


@dataclass(frozen=True)
class Edit:
    """One relationship to create, change or delete."""

    what: str
    source: Key
    end: End
    properties: dict[str, Any]
    size: int = 0


def difference(content: Content, present: Present, root: Key) -> Difference:
    """`root` is the Repository: by the time nodes are written it is there, since every writer enters itself on it."""
    here = present.nodes.keys() | {root}
    marks = {source: wanted.mark for source, wanted in content.sources.items()}
    return Difference(
        new=sorted(content.nodes.keys() - here),
        changed=sorted(
            key for key, node in content.nodes.items() if key in here and present.nodes.get(key) != node.hash
        ),
        sources=sorted(
            source for source in marks.keys() | present.marks.keys() if marks.get(source) != present.marks.get(source)
        ),
        dropped=sorted(key for key, hash_ in present.nodes.items() if hash_ and key not in content.nodes),
    )


def refuse_shrink(content: Content, present: Present, limit: float, who: str) -> None:
    """Raise Shrinks when more than `limit` of the nodes, or of the relationships, would vanish."""
    for what, before, after in (
        ("nodes", present.node_count, len(content.nodes)),
        ("relationships", present.relationship_count, content.relationship_count),
    ):
        if before >= SHRINK_MATTERS_FROM and after < before * (1 - limit):
            raise Shrinks(
                f"{who} would leave {after} of {before} {what}, fewer than is believed (the limit is that {limit:.0%}"
                " may vanish). Nothing was written. If it is right, run it again with CODESTORY_GRAPH_SHRINK_LIMIT=1."
            )


def group_sources(sources: Iterable[Key], content: Content, size: int) -> Iterator[list[Key]]:
    """Groups of one label whose relationships fit a transaction; a bigger source is a group of its own."""
    group: list[Key] = []
    filled = 0
    for source in sources:
        more = 1 + len(content.sources.get(source, WantedSource()).edges)
        if group and (filled + more > size or source[0] != group[0][0]):
            yield group
            group, filled = [], 0
        group.append(source)
        filled += more
    if group:
        yield group


def edits(group: Iterable[Key], content: Content, there: dict[Key, dict[End, str]], owner: str) -> Iterator[Edit]:
    """How to get from `there`, the hashes of what leaves each source, to what is wanted."""
    for source in group:
        was = there.get(source, {})
        now = content.sources.get(source, WantedSource()).edges
        for end, at in now.items():
            properties, hash_, size = content.properties(at)
            if was.get(end) != hash_:
                stored = {**properties, "owner": owner, "_hash": hash_}
                yield Edit("change" if end in was else "create", source, end, stored, size)
        for end in was.keys() - now.keys():
            yield Edit("delete", source, end, {})
