"""The dispatchers admit the urgent first, and never more than there are tokens."""

import asyncio

import pytest

from codestory import cancelling
from codestory.contracts.values import Priority
from codestory.testing import wait_until
from codestory.testing_bus import out_of_order
from codestory.testing_world import World, Worlds, plan

pytestmark = pytest.mark.chaos

RANKS = list(Priority)  # the most urgent first
JOBS = 300
TOKENS = 5
#: Nobody dies here: a worker or a dispatcher that has to wait for a busy machine is to be taken for dead by nobody.
PATIENT = {
    "CODESTORY_DISPATCH_LEASE_SECONDS": "5",
    "CODESTORY_PRESENCE_SECONDS": "10",
    "CODESTORY_ACK_WAIT_SECONDS": "10",
}


@pytest.mark.timeout(600)
async def test_three_hundred_commands_are_admitted_in_order_of_priority_by_two_dispatchers(worlds: Worlds) -> None:
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS=str(TOKENS), **PATIENT) as world:
        world.configure(concurrency=TOKENS)
        world.orchestrator()
        for name in "abcd":
            world.worker(name)
        await world.ready("a", "b", "c", "d")
        gate = world.gate()
        holders = [await world.submit(plan("a", gate=gate.path)) for _ in range(TOKENS)]
        for holder in holders:
            await world.event(holder, "a", "started")
        ranks: dict[str, int] = {}
        for i in range(JOBS):
            rank = len(RANKS) - 1 - i % len(RANKS)
            job = await world.submit(plan("abcd"[i // 3 % 4], seconds=0.02), priority=RANKS[rank])
            ranks[job] = rank
        world.orchestrator()
        watching = asyncio.create_task(most_admitted(world))
        gate.open()

        await wait_until(lambda: ended(world, JOBS + TOKENS), "all have ended", 400)
        await cancelling.end(watching)
        starts = [e for e in await world.history() if e.kind == "started" and e.job in ranks]
        admitted = sorted((e.body["delivery"][0], ranks[e.job]) for e in starts)
        assert out_of_order([rank for _, rank in admitted]) == 0, "".join(str(rank) for _, rank in admitted)
        assert most["RUN"] <= TOKENS
        await world.sound(*ranks, *holders)


most = {"RUN": 0}


async def most_admitted(world: World) -> None:
    """Until cancelled. Read over and over: a moment with one too many would be the server's own mistake."""
    while True:
        info = await world.bus.js.stream_info(world.bus.stream("RUN"))
        most["RUN"] = max(most["RUN"], info.state.messages)


async def ended(world: World, jobs: int) -> bool:
    return len(await world.bus.subjects("EVENTS", world.bus.subject("evt.*.job.ended"))) == jobs


async def test_what_has_waited_long_comes_before_what_is_more_urgent_and_new(worlds: Worlds) -> None:
    """A low one rises twice while the only token is held; then high ones come."""
    settings = {"CODESTORY_RESOURCE_MAX_TOKENS": "1", "CODESTORY_PRIORITY_AGE_SECONDS": "0.5"}
    async with worlds(**settings) as world:
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        gate = world.gate()
        holder = await world.submit(plan("a", gate=gate.path))
        await world.event(holder, "a", "started")
        old = await world.submit(plan("a"), priority=Priority.LOW)

        async def risen() -> bool:
            return await world.bus.last("READY", world.bus.subject("ready", Priority.HIGH, "a", old)) is not None

        await world.until(risen, "the old one is as urgent as can be")
        new = [await world.submit(plan("a"), priority=Priority.HIGH) for _ in range(3)]
        gate.open()

        for job in (old, *new):
            await world.state(job, "COMPLETED")
        starts = [event.job for event in await world.history() if event.kind == "started"]
        assert starts == [holder, old, *new]
