"""A rate that several processes keep together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import GraphUnderTest

#: So few that the moment at which a process is told its wait makes no difference. Seconds from one to the next.
PER_MINUTE, APART = {"requests": 0.01}, 6000


@pytest.fixture
async def name(graph: GraphUnderTest) -> AsyncIterator[str]:
    """Of a budget of its own, which is gone afterwards."""
    yield graph.repository
    await graph.execute("MATCH (b:_Budget) WHERE b.key = $repo DELETE b")


async def test_processes_at_once_never_start_closer_than_the_rate_allows(graph: GraphUnderTest, name: str) -> None:
    asks = {"name": name, "per_minute": PER_MINUTE}
    jobs = [graph.job("blarify", graph.says(), reserve=asks) for _ in range(4)]

    outcomes = graph.writers.run(*jobs)

    waits = sorted(wait for outcome in outcomes for wait in outcome["waits"])
    assert len(waits) == 40
    assert [round(wait / APART) for wait in waits] == list(range(40))


async def test_after_a_hold_off_nobody_starts_before(graph: GraphUnderTest, name: str) -> None:
    await graph.writer("blarify").budget(name).hold_off(3 * APART)
    await graph.writer("blarify").budget(name).hold_off(1)
    other = graph.writer("filesystem", repository=graph.repository + "-other").budget(name)

    waits = [await other.reserve({"requests": 1}, PER_MINUTE) for _ in range(3)]
    unlimited = await other.reserve({"requests": 1, "tokens": 10**9}, {})

    assert [round(wait / APART) for wait in (*waits, unlimited)] == [3, 4, 5, 3]


async def test_a_budget_is_part_of_no_repository(graph: GraphUnderTest, name: str) -> None:
    before = await graph.digest()
    writer = graph.writer("blarify")

    await writer.budget(name).reserve({"requests": 1}, PER_MINUTE)

    assert await graph.digest() == before
    assert await graph.actual() == ({}, {})
