"""Takes one repository out of the graph: all that any step has written of it, batch by batch, and again after a break.

A relationship belongs to the repository of its source. So all that leaves the repository's nodes goes first, then the
nodes. One that another repository's node still names is emptied to a placeholder, as everywhere. At every moment what
is left is what a killed writer may leave: the next writer would mend it.

The fences stay, without content: they refuse whoever was stopped before and wakes up afterwards.
"""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from neo4j import AsyncDriver, AsyncManagedTransaction, AsyncSession, unit_of_work

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
#: Statements of one transaction; how many rows they took away.
Work = Callable[[AsyncManagedTransaction], Awaitable[int]]

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
                    async for ids in self._ids(session, label):
                        async for count in self._disconnect(session, label, ids):
                            took("relationships", count)
                for label in labels:
                    async for ids in self._ids(session, label):
                        took("nodes", await self._delete(session, label, ids))
        return dict(+gone)

    async def _claim(self, session: AsyncSession, owners: Iterable[str]) -> None:
        """From here on no attempt that began before can change anything."""
        keys = [f"{self._repository}+{owner}" for owner in owners if OWNER_PATTERN.fullmatch(owner)]

        async def claim(tx: AsyncManagedTransaction) -> int:
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
            return 0

        await self._once(session, claim)

    async def _lock(self, tx: AsyncManagedTransaction) -> list[str]:
        """The keys of the repository's fences, locked, none of which a later attempt holds."""
        found = await rows(tx, LOCK, prefix=self._prefix, mark=uuid.uuid4().hex)
        for row in found:
            holder = Fence(row["epoch"] or 0, row["sequence"] or 0)
            if holder > self._fence:
                kind = StaleBroker if holder.epoch > self._fence.epoch else Fenced
                raise kind(f"{row['key']}: an attempt that began after the removal writes here.")
        return [row["key"] for row in found]

    async def _ids(self, session: AsyncSession, label: str) -> AsyncIterator[list[str]]:
        """Of the repository's nodes of one label, a batch at a time."""
        query = f"MATCH (n:{label} {{repo: $repo}}) {in_parts('n', 'n.id')}"
        ids = [id_ for row in await read(session, query, repo=self._repository) for (id_,) in row["part"]]
        for at in range(0, len(ids), self._settings.graph_batch_rows):
            yield ids[at : at + self._settings.graph_batch_rows]

    async def _disconnect(self, session: AsyncSession, label: str, ids: Sequence[str]) -> AsyncIterator[int]:
        """All that leaves these nodes, at most a batch in one transaction. Their marks say at once that it goes."""
        here = f"UNWIND $ids AS id MATCH (n:{label} {{id: id}})"
        unfinished = ", ".join(
            f"n._out_{owner} = CASE WHEN n._out_{owner} IS NULL THEN null ELSE $unfinished END"
            for owner in self._owners
        )
        mark = f"{here} WHERE n.repo = $repo SET {unfinished}" if unfinished else ""
        cut = f"{here}-[e]->() WHERE n.repo = $repo WITH e LIMIT $batch DELETE e RETURN count(*) AS n"
        batch = self._settings.graph_batch_rows

        async def work(tx: AsyncManagedTransaction) -> int:
            if mark:
                await rows(tx, mark, ids=ids, repo=self._repository, unfinished=UNFINISHED)
            [row] = await rows(tx, cut, ids=ids, repo=self._repository, batch=batch)
            return row["n"]

        while (gone := await self._transaction(session, work)) == batch:
            yield gone
        yield gone

    async def _delete(self, session: AsyncSession, label: str, ids: Sequence[str]) -> int:
        """Never DETACH: a relationship that another repository has just made must stop it."""
        here = f"UNWIND $ids AS id MATCH (n:{label} {{id: id}}) WHERE n.repo = $repo"
        named = [{"id": id_, "repo": self._repository, "_missing": self._repository} for id_ in ids]

        async def work(tx: AsyncManagedTransaction) -> int:
            query = f"{here} AND NOT EXISTS {{ (n)--() }} DELETE n RETURN count(*) AS n"
            [row] = await rows(tx, query, ids=ids, repo=self._repository)
            query = f"UNWIND $rows AS r MATCH (n:{label} {{id: r.id}}) WHERE n.repo = r.repo SET n = r"
            await rows(tx, query, rows=named)
            return row["n"]

        return await self._transaction(session, work)

    async def _transaction(self, session: AsyncSession, work: Work) -> int:
        """Behind the fences, which `work` finds locked."""

        async def fenced(tx: AsyncManagedTransaction) -> int:
            await self._lock(tx)
            return await work(tx)

        return await self._once(session, fenced)

    async def _once(self, session: AsyncSession, work: Work) -> int:
        """Statements that may run twice: what has gone stays gone."""
        bounded = unit_of_work(timeout=self._settings.graph_transaction_seconds)(work)

        async def once(_attempt: int) -> int:
            return await session.execute_write(bounded)

        return await insist(once, self._prefix)
