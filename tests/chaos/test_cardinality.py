"""A thousand jobs, and not one series more than a few of them made: in orchestrator and steps' services."""

import asyncio
import itertools
import os

import pytest

from codestory.testing import free_port
from codestory.testing_world import World, Worlds, plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

JOBS = int(os.environ.get("CODESTORY_CARDINALITY_JOBS", "1000"))
#: Submitted at a time.
AT_ONCE = 20


async def ended(world: World, count: int) -> None:
    """So many jobs of all kinds of ends have ended."""
    kinds = itertools.cycle(
        [
            ((plan("a"), plan("b")), "COMPLETED"),
            ((plan("a", fail_until=1), plan("b")), "COMPLETED"),
            ((plan("a", give_up=True),), "FAILED"),
            ((plan("b", bug=True),), "FAILED"),
        ]
    )
    for _ in range(0, count, AT_ONCE):
        some = list(itertools.islice(kinds, AT_ONCE))
        jobs = await asyncio.gather(*(world.submit(*steps, retries=1, back_off=0.05) for steps, _ in some))
        for job, (_, state) in zip(jobs, some, strict=True):
            await world.state(job, state)


async def test_jobs_add_no_series(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        for step in "ab":
            world.worker(step, CODESTORY_PROBE_PORT=str(free_port()))
        await world.ready("a", "b")

        await ended(world, 2 * AT_ONCE)
        before = await world.series()
        await ended(world, JOBS)
        after = await world.series()

    assert len(before) > 100
    assert after - before == set()
    assert len(world.submitted) >= JOBS
    assert not any(job in name for name in after for job in world.submitted)
