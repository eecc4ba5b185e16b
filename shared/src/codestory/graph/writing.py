"""Carries out a difference: the works, in order, each of which fits a transaction."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from neo4j import AsyncSession

from codestory.graph.batches import Room, by_label
from codestory.graph.content import Content, Key, WantedSource
from codestory.graph.difference import UNFINISHED, Difference, Edit, edits, group_sources
from codestory.graph.driver import Row
from codestory.graph.fence import Work
from codestory.graph.nodes import change_nodes, create_nodes, drop_nodes
from codestory.graph.relationships import relationships_leaving, write_relationships

#: A statement that writes nodes of one label.
WriteNodes = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Step:
    """`rows`: how much of the difference is done with it."""

    work: Work
    rows: int
    bytes: int


@dataclass(frozen=True)
class Writing:
    session: AsyncSession
    repository: str
    owner: str
    labels: Sequence[str]
    room: Room
    content: Content

    def weight(self, change: Difference) -> int:
        nodes = len(change.new) + len(change.changed) + len(change.dropped)
        return nodes + sum(map(self._weight, change.sources))

    async def steps(self, change: Difference, marks: Mapping[Key, str]) -> AsyncIterator[Step]:
        """`marks`: of the sources that are there. What a step must know of the graph is read when it is asked for."""
        for step in self._nodes(create_nodes, change.new):
            yield step
        for step in self._nodes(change_nodes, change.changed):
            yield step
        for group in group_sources(change.sources, self.content, self.room.rows):
            async for step in self._sources(group, marks):
                yield step
        for step in self._drops(change.dropped):
            yield step

    def _nodes(self, statement: WriteNodes, keys: Iterable[Key]) -> Iterator[Step]:
        for label, ids in by_label(keys):
            for part in self.room.parts(self._node_rows(label, ids), lambda sized: sized[1]):
                nodes = [row for row, _ in part]
                work = partial(statement, repository=self.repository, label=label, nodes=nodes)
                yield Step(work, len(nodes), sum(size for _, size in part))

    def _node_rows(self, label: str, ids: Iterable[str]) -> Iterator[tuple[Row, int]]:
        for id_ in ids:
            properties, hash_, size = self.content.properties(self.content.nodes[label, id_].at)
            yield {"id": id_, "props": {**properties, "_hash": hash_}}, size

    def _drops(self, keys: Iterable[Key]) -> Iterator[Step]:
        for label, ids in by_label(keys):
            for part in self.room.parts(ids, len):
                yield Step(partial(drop_nodes, repository=self.repository, label=label, ids=part), len(part), 0)

    async def _sources(self, group: Sequence[Key], marks: Mapping[Key, str]) -> AsyncIterator[Step]:
        """All parts but the last leave the sources marked as unfinished."""
        there = await relationships_leaving(
            self.session, self.owner, [source for source in group if source in marks], self.labels
        )
        wanted = self.content.sources
        finished = {source: wanted[source].mark if source in wanted else None for source in group}
        parts = self.room.parts(edits(group, self.content, there, self.owner), lambda edit: edit.size)
        part = next(parts, list[Edit]())
        for following in parts:
            yield self._relationships(part, dict.fromkeys(group, UNFINISHED))
            part = following
        yield self._relationships(part, finished, sum(map(self._weight, group)))

    def _relationships(self, part: Sequence[Edit], marks: Mapping[Key, str | None], rows: int = 0) -> Step:
        work = partial(
            write_relationships,
            repository=self.repository,
            owner=self.owner,
            edits=part,
            marks=marks,
            own=self.content.nodes.keys(),
        )
        return Step(work, rows, sum(edit.size for edit in part))

    def _weight(self, source: Key) -> int:
        return 1 + len(self.content.sources.get(source, WantedSource()).edges)
