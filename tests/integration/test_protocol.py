"""The protocol in a few minutes' worth: what `tests/chaos` does at length."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from codestory.bus import AFTER, ATTEMPT
from codestory.testing_world import World, Worlds, plan

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: How long an orchestrator stands still: longer than its lease and than ack_wait. A stimulus, nothing waits for it.
PAUSE_SECONDS = 2.5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncGenerator[World]:
    """One for all: two orchestrators, workers of a and b. A test that kills one starts another."""
    async with Worlds(Path(__file__).parents[1] / "chaos")() as shared:
        shared.orchestrator()
        shared.orchestrator()
        shared.worker("a")
        shared.worker("b")
        await shared.ready("a", "b")
        yield shared


async def test_a_chain_with_a_retry_runs_in_order_and_each_step_completes_once(world: World) -> None:
    job = await world.submit(plan("a", fail_until=1, say="hello"), plan("b"), back_off=0.1)

    await world.state(job, "COMPLETED")
    await world.sound(job)
    told = [(e.step, e.kind, e.body.get("attempt")) for e in await world.history(job)]
    assert told == [
        ("a", "started", 1),
        ("a", "failed", 1),
        ("a", "started", 2),
        ("a", "completed", 2),
        ("b", "started", 1),
        ("b", "completed", 1),
        ("job", "ended", None),
    ]
    lines = await world.logs(job, "a", "step.output", 2)
    assert [(line["line"], line["job_id"], line["step"], line["attempt"]) for line in lines] == [
        ("hello", job, "a", 1),
        ("hello", job, "a", 2),
    ]


async def test_two_jobs_on_one_repository_run_one_after_the_other(world: World) -> None:
    gate, repository = world.gate(), world.repository()
    first = await world.submit(plan("a", gate=gate.path), repository=repository)
    second = await world.submit(plan("a"), repository=repository)
    await world.event(first, "a", "started")

    waits_for = (await world.show(second))["waits_for"]
    gate.open()

    assert waits_for == [first]
    await world.state(second, "COMPLETED")
    await world.sound(first, second)
    told = [e.job for e in await world.history() if e.job in {first, second} and e.step == "a"]
    assert told == [first, first, second, second]


async def test_run_holds_what_runs_and_never_more_than_the_tokens(world: World) -> None:
    gate, holders = await world.hold_all_tokens()
    waiting = await world.submit(plan("a"))

    running = await world.running()
    tokens = (await world.ask("GET", "/v1/ingest/resource_status")).json()
    gate.open()

    assert {name.partition(".")[2] for name in running} == set(holders)
    assert tokens == {"available_tokens": 0, "max_tokens": 5}
    await world.state(waiting, "COMPLETED")
    await world.sound(waiting, *holders)


async def test_a_step_that_listens_to_nothing_is_cancelled_by_its_worker(world: World) -> None:
    job = await world.submit(plan("a", seconds=600, spin=True), plan("b"))
    await world.event(job, "a", "started")

    await world.cancel(job)

    await world.state(job, "CANCELLED")
    await world.sound(job)
    assert (await world.step_of(job, "b"))["state"] == "SKIPPED"
    [started, cancelled] = await world.events(job, "started", "cancelled")
    assert cancelled.body["worker"] == started.body["worker"]


async def test_an_unreadable_command_fails_its_attempt(world: World) -> None:
    gate, holders = await world.hold_all_tokens()
    job = await world.submit(plan("a"))

    await world.exchange_waiting("a", job, b"\xff\xfe", {ATTEMPT: "1", AFTER: "0"})
    gate.open()

    await world.state(job, "FAILED")
    await world.sound(job, *holders)
    [failed] = await world.events(job, "failed")
    assert failed.body["reason"] == "unreadable"


async def test_a_worker_killed_in_mid_step_is_replaced(world: World) -> None:
    gate = world.gate()
    killed = world.worker("c")
    await world.ready("c")
    job = await world.submit(plan("c", gate=gate.path))
    await world.event(job, "c", "started")

    killed.kill()
    world.worker("c")
    await world.event(job, "c", "started", 2)
    gate.open()

    await world.state(job, "COMPLETED")
    await world.sound(job)


async def test_a_zombie_says_and_acknowledges_nothing(world: World) -> None:
    """Stopped with its result ready, past its lease; the other worker's result is the one that counts."""
    zombie = world.worker("d", "stop completed#1")
    await world.ready("d")
    job = await world.submit(plan("d"))
    await world.paused(zombie)

    world.worker("d")
    await world.event(job, "d", "started", 2)
    world.resume(zombie)
    [refused] = await world.ended_attempts(zombie)

    assert refused["status"] == "fenced"
    await world.state(job, "COMPLETED")
    await world.sound(job)


async def test_one_orchestrator_stopped_and_the_other_killed_end_each_job_once(world: World) -> None:
    one, two = world.started[:2]
    jobs = [await world.submit(plan("a", seconds=0.02), plan("b", seconds=0.02)) for _ in range(20)]

    world.stop(one)
    await asyncio.sleep(PAUSE_SECONDS)
    world.resume(one)
    two.kill()

    for job in jobs:
        await world.state(job, "COMPLETED")
    await world.sound(*jobs)
