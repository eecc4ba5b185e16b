"""One run of the writer: claim the fence, read what is there, take the difference, write it, leave."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from neo4j import AsyncSession

from codestory.graph import completion, presence
from codestory.graph.batches import Room
from codestory.graph.content import Content
from codestory.graph.difference import Difference, Present, difference, refuse_shrink
from codestory.graph.driver import in_parts, read
from codestory.graph.fence import FencedTransaction, Transactions, Work
from codestory.graph.model import Label, Property
from codestory.graph.sweep import sweep
from codestory.graph.writing import Writing

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
    later: tuple[str, ...]
    report: ReportProgress
    done: int = field(default=0, init=False)
    total: int = field(default=0, init=False)

    async def run(self, shrink_limit: float) -> dict[str, int]:
        # The fence BEFORE reading: from here on no older attempt can change what is read.
        await self.transaction(nothing)
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
        writing = Writing(self.session, self.repository, self.owner, self.labels, self.room, self.content)
        self.total = writing.weight(change)
        later = self.later if change else ()
        await self._step(partial(completion.begin, repository=self.repository, owner=self.owner, later=later))
        async for step in writing.steps(change, present.marks):
            await self._step(step.work, step.rows)
        await self._sweep()
        await self._step(self._leave)

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


async def nothing(_tx: FencedTransaction) -> None:
    """Only the claim."""
