"""The broker is killed, or loses its storage, under running jobs."""

import pytest

from codestory.testing_world import Worlds, plan

pytestmark = pytest.mark.chaos


async def test_forty_jobs_end_once_though_the_broker_is_killed_under_them(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        world.orchestrator()
        for name in "abcd":
            world.worker(name)
        await world.ready("a", "b", "c", "d")
        jobs = [await world.submit(*(plan(name, seconds=0.05) for name in "abcd")) for _ in range(40)]

        world.server.kill()
        world.server.start()
        after = await world.submit(plan("a"))

        await world.state(after, "COMPLETED")
        for job in jobs:
            await world.state(job, "COMPLETED", limit=120)
        await world.sound(after, *jobs)
        running = await world.submit(plan("a", seconds=600))  # control and tombstones work after it
        await world.event(running, "a", "started")
        await world.cancel(running)
        await world.state(running, "CANCELLED")
        await world.sound(running)


async def test_a_living_orchestrator_puts_its_jobs_into_an_empty_broker(worlds: Worlds) -> None:
    """The jobs that had ended too. Their history is lost, so that only what ends afterwards can be looked at."""
    async with worlds() as world:
        world.orchestrator()
        world.worker("a")
        world.worker("b")
        await world.ready("a", "b")
        gate, repository = world.gate(), world.repository()
        ended = await world.submit(plan("a"))
        await world.state(ended, "COMPLETED")
        running = await world.submit(plan("a", gate=gate.path), plan("b"), repository=repository)
        await world.event(running, "a", "started")
        waiting = await world.submit(plan("b"), repository=repository)

        world.server.kill()
        world.server.wipe()
        world.server.start()
        await world.state(ended, "COMPLETED")
        await world.event(running, "a", "started")
        gate.open()

        for job in (running, waiting):
            await world.state(job, "COMPLETED")
        await world.sound(running, waiting)
        cancelled = await world.submit(plan("a", seconds=600))  # heard, though revisions started again
        await world.event(cancelled, "a", "started")
        await world.cancel(cancelled)
        await world.state(cancelled, "CANCELLED")
        await world.sound(cancelled)


async def test_an_attempt_longer_than_its_lease_runs_on_the_broker_that_was_empty(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        first = await world.submit(plan("a"))
        await world.state(first, "COMPLETED")

        world.server.kill()
        world.server.wipe()
        world.server.start()
        await world.state(first, "COMPLETED")  # put back
        await world.ready("a")
        job = await world.submit(plan("a", seconds=5))  # ack_wait is 2 s: heartbeats must find the new broker's epoch

        await world.state(job, "COMPLETED")
        await world.sound(job)
        assert len(await world.events(job, "started")) == 1


async def test_a_result_of_the_broker_that_is_gone_is_not_said_to_its_successor(worlds: Worlds) -> None:
    """By chance the sequence of the old `started` may be that of the new one: here it is."""
    async with worlds() as world:
        world.orchestrator()
        old = world.worker("a", "stop completed#1")
        await world.ready("a")
        gate = world.gate()
        gate.open()
        job = await world.submit(plan("a", gate=gate.path))
        await world.paused(old)
        gate.close()
        [before] = await world.events(job, "started")

        world.server.kill()
        world.server.wipe()
        world.server.start()
        world.worker("a")
        await world.event(job, "a", "started")
        world.resume(old)
        [refused] = await world.ended_attempts(old)
        [after] = await world.events(job, "started")
        gate.open()

        assert before.sequence == after.sequence
        assert refused["status"] == "fenced"
        await world.state(job, "COMPLETED")
        await world.sound(job)


async def test_without_an_orchestrator_that_remembers_jobs_are_unknown_and_new_ones_run(worlds: Worlds) -> None:
    async with worlds() as world:
        forgetful = world.orchestrator()
        world.worker("a")
        await world.ready("a")
        lost = await world.submit(plan("a", seconds=600))
        await world.event(lost, "a", "started")
        forgetful.kill()

        world.server.kill()
        world.server.wipe()
        world.server.start()
        world.orchestrator()
        await world.ready("a")
        answer = await world.ask("GET", f"/v1/ingest/{lost}")
        job = await world.submit(plan("a"))

        assert answer.status_code == 404
        await world.state(job, "COMPLETED")
        await world.sound(job)
        assert not await world.history(lost)
