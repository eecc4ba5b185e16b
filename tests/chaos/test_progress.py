"""Progress over real processes: it never falls, not over attempts nor over workers, and who stands still is named."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from websockets.asyncio.client import connect

from codestory.contracts.events import StepProgressed
from codestory.contracts.results import Progress
from codestory.contracts.values import now
from codestory.testing_world import World, Worlds, plan

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]

#: Long enough for a busy machine to say something in between, short enough to wait for.
STALLED = {"CODESTORY_STALLED_SECONDS": "3"}


async def watched(world: World, job: str) -> AsyncGenerator[dict[str, Any]]:
    """What the WebSocket says of the job, until it has ended."""
    async with connect(f"ws://127.0.0.1:{world.ports[-1]}/ws/status/{job}", proxy=None) as socket:
        async for frame in socket:
            yield json.loads(frame)


def fractions(message: dict[str, Any], step: str) -> tuple[float, float] | None:
    """Of the step and of the job, where a message tells them."""
    if message["kind"] == "progress" and message["step"] == step:
        return message["fraction"], message["job_fraction"]
    if message["job"]:
        [view] = [view for view in message["job"]["steps"] if view["name"] == step]
        assert message["job"]["fraction"] == message["job_fraction"]
        return view["fraction"], message["job_fraction"]
    return None


async def test_over_a_retry_the_fraction_stands_until_it_is_overtaken(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        world.worker("d")
        await world.ready("d")
        job = await world.submit(plan("d", seconds=2, fail_until=1))

        told = [message async for message in watched(world, job)]
        subject = world.bus.subject("progress", job, "d")
        kept = await world.bus.js.stream_info(world.bus.stream("EVENTS"), subjects_filter=subject)

    assert kept.state.subjects == {subject: 1}, "only the newest is kept"
    seen = [pair for message in told if (pair := fractions(message, "d"))]
    assert seen == sorted(seen)
    assert seen[-1] == (1.0, 1.0)
    assert told[-1]["job"]["state"] == "COMPLETED"
    first = next(m for m in told if m["job"] and m["job"]["steps"][0]["state"] == "RETRYING")
    assert 0 < first["job"]["steps"][0]["fraction"] <= 0.25, "one phase of two, with a fourth of the whole"
    running = [m for m in told if m["kind"] == "progress"]
    assert any(m["usage"]["cpu_seconds"] > 0 and m["usage"]["peak_memory_bytes"] > 0 for m in running)
    assert any(m["rate"] for m in running)


async def test_a_step_that_stands_still_is_named_by_phase_and_file(worlds: Worlds) -> None:
    async with worlds(**STALLED) as world:
        world.orchestrator()
        world.worker("d")
        await world.ready("d")
        gate = world.gate()
        job = await world.submit(plan("d", gate=gate.path))

        said = await first_stalled(world, job)
        shown = (await world.step_of(job, "d"))["stalled"]
        gate.open()
        await world.state(job, "COMPLETED")
        ended = await world.step_of(job, "d")

    for stalled in (said, shown):
        assert (stalled["phase"], stalled["message"]) == ("waiting", gate.path)
        assert stalled["seconds"] >= 3
    assert (ended["stalled"], ended["fraction"]) == (None, 1.0)


async def first_stalled(world: World, job: str) -> dict[str, Any]:
    """The first message of the feed that says so, without anybody having asked or the step having said anything.

    On a busy machine there may be one before it: of a process that takes its time to start."""
    async with aclosing(watched(world, job)) as messages:
        async for message in messages:
            if message["stalled"] and message["stalled"]["phase"]:
                return message["stalled"]
    raise AssertionError("nobody said that it stands still")


async def test_a_worker_that_says_nothing_any_more_is_named_too(worlds: Worlds) -> None:
    async with worlds(**STALLED) as world:
        world.orchestrator()
        worker = world.worker("d")
        await world.ready("d")
        gate = world.gate()
        job = await world.submit(plan("d", gate=gate.path))

        async def at_the_gate() -> bool:
            progress = (await world.step_of(job, "d"))["progress"]
            return bool(progress) and progress["phase"] == "waiting"

        await world.until(at_the_gate, "it waits at the gate")
        world.stop(worker, children=True)

        async def named() -> bool:
            stalled = (await world.step_of(job, "d"))["stalled"]
            return bool(stalled) and (stalled["phase"], stalled["message"]) == ("waiting", gate.path)

        await world.until(named, "it is named")
        world.resume(worker)
        gate.open()
        await world.state(job, "COMPLETED")


async def test_what_a_replaced_worker_says_of_its_progress_is_not_taken(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        world.worker("d")
        await world.ready("d")
        gate = world.gate()
        job = await world.submit(plan("d", gate=gate.path))

        async def has_said_something() -> bool:
            return (await world.step_of(job, "d"))["progress"] is not None

        await world.until(has_said_something, "it says how far it is")
        bus = world.bus
        subject, among = bus.subject("progress", job, "d"), bus.events_of(job, "d")
        last = await bus.last("EVENTS", among)
        assert last
        old = StepProgressed(attempt=1, at=now(), progress=Progress(message="old"), fraction=0.0)
        await bus.record(subject, old, after=last.sequence - 1, among=among)
        await bus.nc.flush()

        kept = await bus.last("EVENTS", subject)
        assert kept
        assert kept.body["progress"].get("message") != "old"
        gate.open()
        await world.state(job, "COMPLETED")
