"""One run of the writer: claim the fence, read what is there, take the difference, write it, leave."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from neo4j import AsyncSession

from codestory.graph import presence
from codestory.graph.batches import Room, by_label
from codestory.graph.content import Content, Key, WantedSource
from codestory.graph.difference import (
    UNFINISHED,
    Difference,
    Edit,
    Present,
    difference,
    edits,
    group_sources,
    refuse_shrink,
)
from codestory.graph.driver import Row, in_parts, read
from codestory.graph.fence import FencedTransaction, Transactions, Work
from codestory.graph.model import Label, Property
from codestory.graph.nodes import change_nodes, create_nodes, drop_nodes
from codestory.graph.relationships import relationships_leaving, write_relationships
from codestory.graph.sweep import sweep

#: Called with (done, total) rows.
ReportProgress = Callable[[int, int], None]


@dataclass
class Replacement:
    session: AsyncSession
    transaction: Transactions
    repository: str
    owner: str
    owned: Sequence[str]
    labels: Sequence[str]
    room: Room
    content: Content
    volatile: Mapping[str, Property]
    report: ReportProgress
    done: int = field(default=0, init=False)
    total: int = field(default=0, init=False)

    async def run(self, shrink_limit: float) -> dict[str, int]:
        # The fence BEFORE reading: from here on no older attempt can change what is read.
        await self.transaction(_nothing)
        present = await self._present()
        refuse_shrink(self.content, present, shrink_limit, self.owner)
        change = difference(self.content, present, (Label.REPOSITORY, self.repository))
        if change or await presence.entered(self.session, self.repository, self.owner):
            await self._write(change, present)
        else:
            await self._sweep()
            if self.volatile:
                await self._step(self._note)
        return dict(self.transaction.written)

    async def _present(self) -> Present:
        present = Present({}, {})
        mark = f"n._out_{self.owner}"
        queries = [
            f"MATCH (n:{label} {{repo: $repo}}) {'' if label in self.owned else f'WHERE {mark} IS NOT NULL'} "
            + in_parts("n", f"'{label}', n.id, n._hash, {mark}")
            for label in self.labels
        ]
        for row in await read(self.session, " UNION ALL ".join(queries), repo=self.repository):
            for label, id_, hash_, out in row["part"]:
                if label in self.owned:
                    present.nodes[label, id_] = hash_
                if out:
                    present.marks[label, id_] = out
        return present

    async def _write(self, change: Difference, present: Present) -> None:
        nodes = len(change.new) + len(change.changed) + len(change.dropped)
        self.total = nodes + sum(map(self._weight, change.sources))
        await self._step(partial(presence.enter, repository=self.repository, owner=self.owner))
        await self._write_nodes(create_nodes, change.new)
        await self._write_nodes(change_nodes, change.changed)
        for group in group_sources(change.sources, self.content, self.room.rows):
            await self._write_sources(group, present)
        for label, ids in by_label(change.dropped):
            for part in self.room.parts(ids, len):
                await self._step(partial(drop_nodes, repository=self.repository, label=label, ids=part), len(part))
        await self._sweep()
        await self._step(self._leave)

    async def _write_nodes(self, statement: Callable[..., Awaitable[None]], keys: Iterable[Key]) -> None:
        for label, ids in by_label(keys):
            for part in self.room.parts(self._node_rows(label, ids), lambda sized: sized[1]):
                nodes = [row for row, _ in part]
                await self._step(partial(statement, repository=self.repository, label=label, nodes=nodes), len(nodes))

    def _node_rows(self, label: str, ids: Iterable[str]) -> Iterator[tuple[Row, int]]:
        for id_ in ids:
            properties, hash_, size = self.content.properties(self.content.nodes[label, id_].at)
            yield {"id": id_, "props": {**properties, "_hash": hash_}}, size

    async def _write_sources(self, group: Sequence[Key], present: Present) -> None:
        """All parts but the last leave the sources marked as unfinished."""
        old = [source for source in group if source in present.marks]
        there = await relationships_leaving(self.session, self.owner, old, self.labels)
        wanted = self.content.sources
        finished = {source: wanted[source].mark if source in wanted else None for source in group}
        parts = self.room.parts(edits(group, self.content, there, self.owner), lambda edit: edit.size)
        part = next(parts, list[Edit]())
        for following in parts:
            await self._step(self._relationships(part, dict.fromkeys(group, UNFINISHED)))
            part = following
        await self._step(self._relationships(part, finished), sum(map(self._weight, group)))

    def _relationships(self, part: Sequence[Edit], marks: Mapping[Key, str | None]) -> Work:
        own = self.content.nodes.keys()
        return partial(
            write_relationships, repository=self.repository, owner=self.owner, edits=part, marks=marks, own=own
        )

    async def _sweep(self) -> None:
        async for _ in sweep(self.session, self.transaction, self.repository, self.labels, self.room.rows):
            self.report(self.done, self.total)

    async def _leave(self, tx: FencedTransaction) -> None:
        await self._note(tx)
        await presence.leave(tx, self.repository, self.owner)

    async def _note(self, tx: FencedTransaction) -> None:
        await presence.note(tx, self.repository, self.owner, self.volatile)

    async def _step(self, work: Work, rows: int = 0) -> None:
        await self.transaction(work)
        self.done += rows
        self.report(self.done, self.total)

    def _weight(self, source: Key) -> int:
        return 1 + len(self.content.sources.get(source, WantedSource()).edges)


async def _nothing(_tx: FencedTransaction) -> None:
    """Only the claim."""
