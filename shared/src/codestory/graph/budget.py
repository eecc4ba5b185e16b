"""A rate that all processes which use one graph keep together: so many requests, so many tokens a minute.

Each amount is a bucket that leaks at its rate. Whoever reserves fills it at once and waits until what was in it before
has leaked, but for a burst. The server's clock is the only one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from neo4j import AsyncDriver, AsyncManagedTransaction

from codestory.graph import schema
from codestory.graph.driver import Row, reaching, rows
from codestory.graph.fence import insist
from codestory.graph.model import checked_amount
from codestory.graph.settings import GraphSettings

#: What may be taken at once after a pause, in seconds of the rate.
BURST_SECONDS = 3
#: Lock first, then read: see presence.py.
TAKE = f"""
MERGE (b:{schema.BUDGET_LABEL} {{key: $key}}) SET b.lock = $key
WITH b RETURN properties(b) AS state, timestamp() AS now"""
KEEP = f"MATCH (b:{schema.BUDGET_LABEL} {{key: $key}}) SET b += $changes"


@dataclass(frozen=True)
class Rate:
    """An amount that is asked for, and how much of it may pass in a millisecond."""

    name: str
    amount: float
    per_ms: float


class Budget:
    """Of one name, the same in every process. No fence: an attempt that is overtaken has spent what it reserved."""

    def __init__(self, driver: AsyncDriver, settings: GraphSettings, name: str) -> None:
        self._driver, self._settings, self._name = driver, settings, name
        self._has_schema = False

    async def reserve(self, amounts: Mapping[str, float], per_minute: Mapping[str, float]) -> float:
        """Take these amounts now; how many seconds to wait before they are used. What has no rate is not limited."""
        rates = [
            Rate(checked_amount(name), amount, per_minute[name] / 60_000)
            for name, amount in sorted(amounts.items())
            if amount > 0 and per_minute.get(name, 0) > 0
        ]

        async def work(tx: AsyncManagedTransaction) -> float:
            [row] = await rows(tx, TAKE, key=self._name)
            start, changes = reserved(row["state"], row["now"], rates)
            if changes:
                await rows(tx, KEEP, key=self._name, changes=changes)
            return (start - row["now"]) / 1000

        return await self._write(work)

    async def hold_off(self, seconds: float) -> None:
        """Whoever reserves from now on waits at least until then."""

        async def work(tx: AsyncManagedTransaction) -> float:
            [row] = await rows(tx, TAKE, key=self._name)
            until = max(row["state"].get("held_until", 0.0), row["now"] + seconds * 1000)
            await rows(tx, KEEP, key=self._name, changes={"held_until": until})
            return seconds

        await self._write(work)

    async def _write(self, work: Callable[[AsyncManagedTransaction], Awaitable[float]]) -> float:
        with reaching():
            if not self._has_schema:
                await schema.ensure(self._driver, self._settings)
                self._has_schema = True
            async with self._driver.session(database=self._settings.neo4j_database) as session:

                async def once(_attempt: int) -> float:
                    return await session.execute_write(work)

                return await insist(once, self._name)


def reserved(state: Row, now: float, rates: Sequence[Rate]) -> tuple[float, Row]:
    """When what is reserved may start, and how full the buckets are then. Times are milliseconds.

    A bucket may be fuller than its burst: that is how the later ones queue. A clock that was set back drains nothing.
    """
    full = {rate: _drained(state, rate, now) for rate in rates}
    waits = [(full[rate] - BURST_SECONDS * 1000 * rate.per_ms) / rate.per_ms for rate in rates]
    start = max(now, state.get("held_until", 0.0), *(now + wait for wait in waits))
    changes: Row = {}
    for rate in rates:
        # All start together, so a bucket that would let it start earlier leaks until then.
        at_start = max(full[rate], (start - now) * rate.per_ms)
        changes |= {f"in_{rate.name}": at_start + rate.amount, f"at_{rate.name}": now}
    return start, changes


def _drained(state: Row, rate: Rate, now: float) -> float:
    passed = max(0.0, now - state.get(f"at_{rate.name}", now))
    return max(0.0, state.get(f"in_{rate.name}", 0.0) - passed * rate.per_ms)
