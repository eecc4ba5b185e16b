"""One put: what is given is written now, before the whole is known. Reads only what it may have to change."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from neo4j import AsyncSession

from codestory.graph import completion
from codestory.graph.batches import by_label
from codestory.graph.difference import Present, difference
from codestory.graph.driver import read
from codestory.graph.fence import FencedTransaction, Transactions, Work
from codestory.graph.model import Label
from codestory.graph.writing import Step, Writing


@dataclass(frozen=True)
class Addition:
    """The owner must hold the fence already: then no older attempt can change what is read, and a later one is heard of
    in the first transaction."""

    session: AsyncSession
    transaction: Transactions
    owned: Sequence[str]
    writing: Writing
    later: tuple[str, ...]

    async def run(self, *, entered: bool) -> bool:
        """False: all of it was there. `entered`: the owner is among the writing steps."""
        content, repository = self.writing.content, self.writing.repository
        present = await self._present()
        change = difference(content, present, (str(Label.REPOSITORY), repository))
        if change:
            begin = partial(completion.begin, repository=repository, owner=self.writing.owner, later=self.later)
            before = [] if entered else [Step(begin, 0, 0)]
            async for works in self._packed(before, self.writing.steps(change, present.marks)):
                await self.transaction(partial(_all, works=works))
        return bool(change)

    async def _present(self) -> Present:
        present, content = Present({}, {}), self.writing.content
        keys = sorted(content.nodes.keys() | content.sources.keys())
        labels = dict(by_label(keys))
        queries = [
            f"UNWIND $ids_{label} AS id MATCH (n:{label} {{id: id}}) WHERE n.repo = $repo"
            f" RETURN '{label}' AS label, collect([n.id, n._hash, n._out_{self.writing.owner}]) AS part"
            for label in labels
        ]
        if not queries:
            return present
        ids = {f"ids_{label}": ids for label, ids in labels.items()}
        for row in await read(self.session, " UNION ALL ".join(queries), repo=self.writing.repository, **ids):
            for id_, hash_, out in row["part"]:
                key = row["label"], id_
                if key in content.nodes:
                    present.nodes[key] = hash_
                if out and key in content.sources:
                    present.marks[key] = out
        return present

    async def _packed(self, before: Sequence[Step], steps: AsyncIterator[Step]) -> AsyncIterator[Sequence[Work]]:
        """As many in one transaction as there is room for."""
        part, room = [*before], self.writing.room
        rows = size = 0
        async for step in steps:
            if rows and (rows + step.rows > room.rows or size + step.bytes > room.bytes):
                yield [step.work for step in part]
                part, rows, size = [], 0, 0
            part.append(step)
            rows, size = rows + step.rows, size + step.bytes
        yield [step.work for step in part]


async def _all(tx: FencedTransaction, *, works: Iterable[Work]) -> None:
    for work in works:
        await work(tx)
