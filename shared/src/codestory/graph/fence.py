"""Transactions that only the latest attempt may make, each of them exactly once.

Each first takes the write lock of its owner's `_Fence` node and compares. The node keeps the mark of its last
transaction: one whose commit went through, but whose answer was lost, is repeated, finds its mark and does nothing.
"""

import asyncio
import logging
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from neo4j import AsyncManagedTransaction, AsyncSession, unit_of_work
from neo4j.exceptions import ConstraintError, DatabaseError, IncompleteCommit, Neo4jError

from codestory.graph.driver import Row, rows
from codestory.graph.errors import Fenced, Miscount, StaleBroker
from codestory.graph.model import Fence
from codestory.graph.schema import FENCE_LABEL

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Tries of one transaction before the last, besides those that the driver makes. Each means that another owner was in
#: the same place.
ATTEMPTS = 20
#: What a matched node that is gone by now is called, and a transaction that took too long, most often for a lock.
PASSING = ("Statement.EntityNotFound", "Transaction.TransactionTimedOutClientConfiguration")
#: Two owners that met once wait different times, longer each time.
PAUSE_SECONDS = (0.005, 0.05)

CLAIM = f"""
MERGE (f:{FENCE_LABEL} {{key: $key}}) SET f.lock = $mark
WITH f, f.last AS last,
     coalesce(f.epoch < $epoch OR (f.epoch = $epoch AND f.sequence <= $sequence), true) AS open
SET f.epoch = CASE WHEN open THEN $epoch ELSE f.epoch END,
    f.sequence = CASE WHEN open THEN $sequence ELSE f.sequence END,
    f.last = CASE WHEN open THEN $mark ELSE f.last END
RETURN open, last, f.epoch AS epoch, f.sequence AS sequence"""


class FencedTransaction:
    """One transaction behind the fence, as the statements see it."""

    def __init__(self, tx: AsyncManagedTransaction, key: str, *, again: bool) -> None:
        self._tx = tx
        #: Of its owner's fence.
        self.key = key
        #: Not the first try: another owner may have put a placeholder where this one creates, or swept one it changes.
        self.again = again
        self.written: Counter[str] = Counter()

    async def rows(self, query: str, **parameters: Any) -> list[Row]:
        return await rows(self._tx, query, **parameters)

    async def send(self, what: str, query: str, sent: Sequence[Row], **parameters: Any) -> None:
        """One statement over rows, each of which must be written; counted under `what`."""
        await self.check(what, query, sent, **parameters)
        self.written[what] += len(sent)

    async def check(self, what: str, query: str, sent: Sequence[Row], **parameters: Any) -> None:
        """One statement over rows, each of which must match once."""
        if not sent:
            return
        [row] = await self.rows(f"UNWIND $rows AS r {query} RETURN count(*) AS n", rows=sent, **parameters)
        if row["n"] != len(sent):
            raise Miscount(f"{what}: {len(sent)} rows sent, {row['n']} found. Something else changes the graph.")


Work = Callable[[FencedTransaction], Awaitable[None]]


class Transactions:
    """Runs work behind the fence, one transaction after the other, and adds up what was written."""

    def __init__(self, session: AsyncSession, key: str, fence: Fence, seconds: float) -> None:
        self._session, self._key, self._fence = session, key, fence
        # Neo4j ends a transaction that takes longer, and frees its locks. ArcadeDB does not hear it, and holds none.
        self._bounded = unit_of_work(timeout=seconds)(self._fenced)
        self._token, self._count = uuid.uuid4().hex, 0
        self.written: Counter[str] = Counter()

    async def __call__(self, work: Work) -> None:
        self._count += 1
        mark = f"{self._token}:{self._count}"

        async def once(attempt: int) -> Counter[str]:
            return await self._session.execute_write(self._bounded, mark, work, attempt > 0)

        self.written += await insist(once, self._key)

    async def _fenced(self, tx: AsyncManagedTransaction, mark: str, work: Work, again: bool) -> Counter[str]:
        transaction = FencedTransaction(tx, self._key, again=again)
        [row] = await transaction.rows(
            CLAIM, key=self._key, epoch=self._fence.epoch, sequence=self._fence.sequence, mark=mark
        )
        if not row["open"]:
            self._refuse(Fence(row["epoch"], row["sequence"]))
        if row["last"] != mark:
            await work(transaction)
        return transaction.written

    def _refuse(self, holder: Fence) -> None:
        if holder.epoch > self._fence.epoch:
            raise StaleBroker(
                f"{self._key} was last written through a message broker set up later than this one, which is given up"
                " or was restored from an old state. Connect to the new one."
            )
        raise Fenced(f"{self._key}: attempt {self._fence.sequence} is older than {holder.sequence}, which writes now.")


async def insist(once: Callable[[int], Awaitable[T]], key: str) -> T:
    """Try one transaction until nobody else is in the same place. `once` is told how often it was tried before."""
    for attempt in range(ATTEMPTS):
        try:
            return await once(attempt)
        except (Neo4jError, IncompleteCommit, Miscount) as error:
            if not _may_pass(error):
                raise
            log.debug("graph.transaction.retry", extra={"key": key, "error": repr(error)})
        await asyncio.sleep(random.uniform(*PAUSE_SECONDS) * (attempt + 1))  # noqa: S311 - a pause, not a secret
    return await once(ATTEMPTS)


def _may_pass(error: Exception) -> bool:
    """Another owner was in the same place, or an answer was lost. The driver repeats what is transient by itself."""
    if isinstance(error, ConstraintError | DatabaseError | IncompleteCommit | Miscount):
        return True  # DatabaseError: ArcadeDB deletes no node that has just been connected
    return isinstance(error, Neo4jError) and (error.code or "").endswith(PASSING)
