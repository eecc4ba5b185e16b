"""Takes one repository out of the graph: all that any step has written of it, batch by batch, and again after a break.

A relationship belongs to the repository of its source. So all that leaves the repository's nodes goes first, then the
nodes. One that another repository's node still names is emptied to a placeholder, as everywhere. At every moment what
is left is what a killed writer may leave: the next writer would mend it.

The fences stay, without content: they refuse whoever was stopped before and wakes up afterwards.
"""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from neo4j import AsyncDriver, AsyncManagedTransaction, AsyncSession, AsyncTransaction, unit_of_work
from neo4j.exceptions import TransientError

from codestory.graph import schema
from codestory.graph.content import checked_id
from codestory.graph.difference import UNFINISHED
from codestory.graph.driver import in_parts, reaching, read, rows
from codestory.graph.errors import Fenced, StaleBroker
from codestory.graph.fence import insist
from codestory.graph.model import OWNER_PATTERN, Fence, Label
from codestory.graph.schema import FENCE_LABEL
from codestory.graph.settings import GraphSettings

#: Stands among the steps that write a repository, as long as it is being removed.
REMOVAL = "removal"

#: Told how many nodes and relationships have gone so far.
Report = Callable[[int], None]
Transaction = AsyncManagedTransaction | AsyncTransaction
T = TypeVar("T")
#: Statements of one transaction.
Work = Callable[[Transaction], Awaitable[T]]
#: The same for these nodes; how many rows they took away, and whether that was all.
Batch = Callable[[Sequence[str], Transaction], Awaitable[tuple[int, bool]]]
#: Rows of the smallest transaction, and what a transaction that was overtaken is divided by.
SMALLEST, SHRINKS = 20, 4

LOCK = f"""
MATCH (f:{FENCE_LABEL}) WHERE f.key STARTS WITH $prefix SET f.lock = $mark
WITH f RETURN f.key AS key, f.epoch AS epoch, f.sequence AS sequence"""
CLAIM = f"""
MATCH (f:{FENCE_LABEL}) WHERE f.key STARTS WITH $prefix
SET f.epoch = $epoch, f.sequence = $sequence, f.last = $mark, f.done = null"""


class Removal:
    """`fence`: later than every attempt that may still write, earlier than every attempt that is to come."""

    def __init__(self, driver: AsyncDriver, settings: GraphSettings, repository: str, fence: Fence) -> None:
        self._driver, self._settings = driver, settings
        self._repository, self._fence = checked_id(repository), fence
        self._prefix = f"{repository}+"
        self._owners: list[str] = []
        self._rows = settings.graph_batch_rows

    async def run(self, owners: Iterable[str], report: Report = lambda _: None) -> dict[str, int]:
        """What has gone, as counts; what a run before took away is not among it. `owners`: steps that may have been
        told to write and have not yet; those that have are known.

        Raises Fenced when an attempt has begun that is later than `fence`; GraphUnavailable.
        """
        gone: Counter[str] = Counter()

        def took(what: str, count: int) -> None:
            gone[what] += count
            report(gone.total())

        with reaching():
            async with self._driver.session(database=self._settings.neo4j_database) as session:
                if not await schema.labels(session):
                    return {}  # nobody has ever written to this graph
                await self._claim(session, owners)
                # The Repository last: as long as it is there, it says that it is being removed.
                labels = sorted(await schema.labels(session), key=lambda label: (label == Label.REPOSITORY, label))
                for label in labels:
                    async for count in self._in_batches(
                        session, await self._ids(session, label), self._disconnect(label)
                    ):
                        took("relationships", count)
                for label in labels:
                    async for count in self._in_batches(session, await self._ids(session, label), self._delete(label)):
                        took("nodes", count)
        return dict(+gone)

    async def _claim(self, session: AsyncSession, owners: Iterable[str]) -> None:
        """From here on no attempt that began before can change anything."""
        keys = [f"{self._repository}+{owner}" for owner in owners if OWNER_PATTERN.fullmatch(owner)]

        async def claim(tx: Transaction) -> None:
            await rows(tx, f"UNWIND $keys AS key MERGE (f:{FENCE_LABEL} {{key: key}})", keys=keys)
            there = await self._lock(tx)
            names = [key.removeprefix(self._prefix) for key in there]
            self._owners = sorted(filter(OWNER_PATTERN.fullmatch, names))
            fence = {"epoch": self._fence.epoch, "sequence": self._fence.sequence}
            await rows(tx, CLAIM, prefix=self._prefix, mark=uuid.uuid4().hex, **fence)
            await rows(
                tx,
                "MATCH (r:Repository {id: $repo}) SET r._lock = $owner WITH r SET r.writing_steps = [$owner]",
                repo=self._repository,
                owner=REMOVAL,
            )

        await self._once(session, claim)

    async def _lock(self, tx: Transaction) -> list[str]:
        """The keys of the repository's fences, locked, none of which a later attempt holds."""
        found = await rows(tx, LOCK, prefix=self._prefix, mark=uuid.uuid4().hex)
        for row in found:
            holder = Fence(row["epoch"] or 0, row["sequence"] or 0)
            if holder > self._fence:
                kind = StaleBroker if holder.epoch > self._fence.epoch else Fenced
                raise kind(f"{row['key']}: an attempt that began after the removal writes here.")
        return [row["key"] for row in found]

    async def _ids(self, session: AsyncSession, label: str) -> list[str]:
        """Of the repository's nodes of one label."""
        query = f"MATCH (n:{label} {{repo: $repo}}) {in_parts('n', 'n.id')}"
        return [id_ for row in await read(session, query, repo=self._repository) for (id_,) in row["part"]]

    async def _in_batches(self, session: AsyncSession, ids: Sequence[str], batch: Batch) -> AsyncIterator[int]:
        """What each took away. They shrink as others' transactions overtake them, and grow again: of two in one place
        ArcadeDB keeps the one that ends first, so that a large one may lose for ever."""
        at = 0
        while at < len(ids):
            part = ids[at : at + self._rows]
            try:
                # The smallest may wait for its turn; the driver then tries it again and again.
                gone, all_gone = await self._transaction(session, partial(batch, part), self._rows <= SMALLEST)
            except TransientError:
                if self._rows <= SMALLEST:
                    raise
                self._rows = max(self._rows // SHRINKS, SMALLEST)
                continue
            yield gone
            at += len(part) if all_gone else 0
            self._rows = min(self._rows * 2, self._settings.graph_batch_rows)

    def _disconnect(self, label: str) -> Batch:
        """All that leaves the nodes, so many of it in one transaction. Their marks say at once that it goes."""
        here = f"UNWIND $ids AS id MATCH (n:{label} {{id: id}})"
        unfinished = ", ".join(
            f"n._out_{owner} = CASE WHEN n._out_{owner} IS NULL THEN null ELSE $unfinished END"
            for owner in self._owners
        )
        mark = f"{here} WHERE n.repo = $repo SET {unfinished}" if unfinished else ""
        cut = f"{here}-[e]->() WHERE n.repo = $repo WITH e LIMIT $most DELETE e RETURN count(*) AS n"

        async def work(ids: Sequence[str], tx: Transaction) -> tuple[int, bool]:
            if mark:
                await rows(tx, mark, ids=ids, repo=self._repository, unfinished=UNFINISHED)
            [row] = await rows(tx, cut, ids=ids, repo=self._repository, most=self._rows)
            return row["n"], row["n"] < self._rows

        return work

    def _delete(self, label: str) -> Batch:
        """Never DETACH: a relationship that another repository has just made must stop it."""
        here = f"UNWIND $ids AS id MATCH (n:{label} {{id: id}}) WHERE n.repo = $repo"

        async def work(ids: Sequence[str], tx: Transaction) -> tuple[int, bool]:
            query = f"{here} AND NOT EXISTS {{ (n)--() }} DELETE n RETURN count(*) AS n"
            [row] = await rows(tx, query, ids=ids, repo=self._repository)
            named = [{"id": id_, "repo": self._repository, "_missing": self._repository} for id_ in ids]
            query = f"UNWIND $rows AS r MATCH (n:{label} {{id: r.id}}) WHERE n.repo = r.repo SET n = r"
            await rows(tx, query, rows=named)
            return row["n"], True

        return work

    async def _transaction(self, session: AsyncSession, work: Work[T], patient: bool) -> T:
        """Behind the fences, which `work` finds locked."""

        async def fenced(tx: Transaction) -> T:
            await self._lock(tx)
            return await work(tx)

        return await self._once(session, fenced, patient)

    async def _once(self, session: AsyncSession, work: Work[T], patient: bool = True) -> T:
        """Statements that may run twice: what has gone stays gone. Unless `patient`, whoever was overtaken hears it."""
        seconds = self._settings.graph_transaction_seconds
        bounded = unit_of_work(timeout=seconds)(work)

        async def once(_attempt: int) -> T:
            if patient:
                return await session.execute_write(bounded)
            async with await session.begin_transaction(timeout=seconds) as tx:
                done = await work(tx)
                await tx.commit()
                return done

        return await insist(once, self._prefix)
