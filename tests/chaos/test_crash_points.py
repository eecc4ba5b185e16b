"""A process dies just before one of its writes, another takes its place: every job ends, once. Each write in turn."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from codestory import cancelling
from codestory.bus import encoded
from codestory.contracts.schedules import Schedule
from codestory.testing_world import Process, World, Worlds, plan
from codestory_orchestrator.scheduling.timers import Timers

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

#: Tells what happens, calls its argument when the victim is to be armed, and ends when all is well again.
Story = Callable[[Callable[[], None]], Awaitable[None]]
#: Written by the clock, so not at a place of the story: only the first is tried.
BY_THE_CLOCK = "lease"


@dataclass
class Victim:
    """One of a world's processes, with a successor whenever it has died. The others live on, and are warm."""

    world: World
    start: Callable[[], Process]

    def __post_init__(self) -> None:
        self.process = self.start()

    async def dies_everywhere(self, story: Story, *certain: str) -> None:
        """Hear the story once to learn its writes, then again with a death before each of them.

        A retelling may batch its writes otherwise, or repair other things, and miss a point. `certain`: the kinds of
        writes that no telling is without, before each of which it must have died at least once."""
        await self.dies_at("nowhere", story)
        points = distinct(self.world.writes(self.process))
        assert points
        reached = [point for point in points if await self.dies_at(point, story)]
        assert set(certain) <= {kind(point) for point in reached}, (points, reached)

    async def dies_at(self, point: str, story: Story) -> bool:
        if self.process.poll() is not None:  # it died when the last story had just ended
            self.process = self.start()
        process = self.process
        watching = asyncio.create_task(self._succeed(process))
        try:
            await story(lambda: self.world.arm(process, point))
        except AssertionError as error:
            raise AssertionError(f"death before {point}: {error}") from error
        finally:
            if process.poll() is None:
                await cancelling.end(watching)
            await asyncio.gather(watching, return_exceptions=True)
        return process.poll() is not None

    async def _succeed(self, process: Process) -> None:
        await self.world.dead(process, limit=300)
        self.process = self.start()


def kind(point: str) -> str:
    return point.partition("#")[0]


def distinct(writes: list[str]) -> list[str]:
    return [write for write in dict.fromkeys(writes) if kind(write) != BY_THE_CLOCK or write == f"{BY_THE_CLOCK}#1"]


async def test_an_orchestrator_may_die_anywhere_in_a_chain_with_a_retry(worlds: Worlds) -> None:
    """With one token, which another job holds at first: so the command waits before it is admitted. A submission that
    was not answered is sent again, and may make two jobs, one after the other on their repository."""
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS="1") as world:
        world.worker("a")
        world.worker("b")
        victim = Victim(world, world.orchestrator)
        await world.ready("a", "b")

        async def chain(arm: Callable[[], None]) -> None:
            gate, repository = world.gate(), world.repository()
            holder = await world.submit(plan("b", gate=gate.path))
            await world.event(holder, "b", "started")
            arm()
            await world.submit(plan("a", fail_until=1), plan("b"), repository=repository, back_off=0.1)
            gate.open()
            await world.state(holder, "COMPLETED")
            jobs = await world.jobs_on(repository)
            for job in jobs:
                await world.state(job, "COMPLETED")
            await world.sound(holder, *jobs)

        certain = ("queue", "record", "ready", "run", "ack-ready", "sched", "ack-event", "job-ended")
        await victim.dies_everywhere(chain, *certain)


async def test_an_orchestrator_may_die_anywhere_in_a_cancel(worlds: Worlds) -> None:
    async with worlds() as world:
        world.worker("a")
        victim = Victim(world, world.orchestrator)
        await world.ready("a")
        await world.register("b")

        async def cancelled(arm: Callable[[], None]) -> None:
            job = await world.submit(plan("a", seconds=600), plan("b"))
            await world.event(job, "a", "started")
            await world.step_state(job, "a", "RUNNING")
            arm()
            await world.cancel(job)
            await world.state(job, "CANCELLED")
            await world.sound(job)

        await victim.dies_everywhere(cancelled, "record", "tombstone", "purge", "job-ended", "queue", "ack-event")


async def test_an_orchestrator_may_die_anywhere_when_it_ends_the_step_of_a_dead_worker(worlds: Worlds) -> None:
    async with worlds() as world:
        victim = Victim(world, world.orchestrator)
        await world.ready()
        await world.register("a")
        await world.register("b")

        async def forced(arm: Callable[[], None]) -> None:
            job = await world.submit(plan("a", seconds=600), plan("b"))
            await world.begun_by_the_dead(job, "a")
            await world.step_state(job, "a", "RUNNING")
            arm()
            await world.cancel(job)
            await world.state(job, "CANCELLED")
            await world.sound(job)

        certain = ("record", "tombstone", "purge", "cancelled", "delete", "job-ended", "queue", "ack-event")
        await victim.dies_everywhere(forced, *certain)


async def test_an_orchestrator_may_die_anywhere_when_a_job_is_put_off_and_becomes_due(worlds: Worlds) -> None:
    """A submission that was not answered is sent again, and may make two jobs."""
    async with worlds() as world:
        world.worker("a")
        victim = Victim(world, world.orchestrator)
        await world.ready("a")

        async def later(arm: Callable[[], None]) -> None:
            repository = world.repository()
            body = {"repository": repository, "pipeline": {"steps": [plan("a")]}, "countdown": 0.5}
            arm()
            assert (await world.ask("POST", "/v1/ingest", json=body)).is_success
            jobs = await world.jobs_on(repository)
            for job in jobs:
                await world.state(job, "COMPLETED")
            await world.sound(*jobs)

        certain = ("queue", "record", "timer", "ack-due", "purge", "ack-event", "job-ended")
        await victim.dies_everywhere(later, *certain)


async def test_an_orchestrator_may_die_anywhere_when_a_schedule_occurs_and_is_deleted(worlds: Worlds) -> None:
    async with worlds() as world:
        world.worker("a")
        victim = Victim(world, world.orchestrator)
        await world.ready("a")

        async def occurrence(arm: Callable[[], None]) -> None:
            repository = world.repository()
            job = {"repository": repository, "pipeline": {"steps": [plan("a")]}}
            answer = await world.ask("POST", "/v1/ingest/schedules", json={"job": job, "cron": "0 0 1 1 *"})
            arm()
            schedule = await brought_forward(world, Schedule.model_validate(answer.json()))

            async def once() -> bool:
                seen = Schedule.model_validate((await world.ask("GET", f"/v1/ingest/schedules/{schedule.id}")).json())
                return (seen.made, seen.last_at) == (1, schedule.next_at)

            await world.until(once, "the occurrence is behind it")
            answer = await world.ask("DELETE", f"/v1/ingest/schedules/{schedule.id}")
            assert answer.status_code in {204, 404}  # 404: deleted already, only the answer was lost
            (made,) = await world.jobs_on(repository)
            await world.state(made, "COMPLETED")
            await world.sound(made)
            assert await world.jobs_on(repository) == [made]

        certain = ("queue", "record", "schedule", "timer", "ack-due", "schedule-gone", "purge", "job-ended")
        await victim.dies_everywhere(occurrence, *certain)


async def brought_forward(world: World, schedule: Schedule) -> Schedule:
    """It occurs in half a second, and then as its cron says."""
    at = datetime.now(UTC) + timedelta(seconds=0.5)
    schedule = schedule.model_copy(update={"next_at": at})
    await world.bus.publish(world.bus.key("jobs", f"schedule.{schedule.id}"), encoded(schedule))
    await Timers(world.bus).set(schedule.id, at, at.isoformat().encode())
    return schedule


async def test_a_worker_may_die_anywhere(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        victim = Victim(world, lambda: world.worker("a"))
        await world.ready("a")

        async def chain(arm: Callable[[], None]) -> None:
            arm()
            job = await world.submit(plan("a", fail_until=1), back_off=0.1)
            await world.state(job, "COMPLETED")
            await world.sound(job)

        await victim.dies_everywhere(chain, "started", "failed", "completed", "ack")
