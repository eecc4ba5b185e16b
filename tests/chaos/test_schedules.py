"""What is due at a time comes then, once: though nobody is there, the broker is away, or the clocks are an hour off."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import libfaketime
import pytest

from codestory.bus import encoded
from codestory.contracts.schedules import Schedule
from codestory.testing_world import Plan, World, Worlds, plan
from codestory_orchestrator.scheduling.timers import Timers

pytestmark = pytest.mark.chaos

YEARLY = "0 0 1 1 *"
SECONDS = 3
BACK_OFF = 1.0
#: However busy the machine is; and less than the hour that a clock is off.
SURELY = timedelta(minutes=30)


def request(world: World, *steps: Plan, **more: Any) -> dict[str, Any]:
    retry = {"max_retries": 3, "back_off_seconds": BACK_OFF}
    return {"repository": world.repository(), "pipeline": {"steps": steps, "retry": retry}, **more}


async def put_off(world: World, *steps: Plan, **more: Any) -> str:
    """A job that is due later, as `more` says."""
    answer = await world.ask("POST", "/v1/ingest", json=request(world, *steps, **more))
    assert answer.is_success, answer.text
    return answer.json()["id"]


async def scheduled(world: World, *steps: Plan, seconds: float = SECONDS) -> Schedule:
    """A yearly schedule, brought forward so that it occurs in a few seconds."""
    answer = await world.ask("POST", "/v1/ingest/schedules", json={"job": request(world, *steps), "cron": YEARLY})
    assert answer.status_code == 201, answer.text
    made = Schedule.model_validate(answer.json())
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    schedule = made.model_copy(update={"next_at": at})
    await world.bus.publish(world.bus.key("jobs", f"schedule.{made.id}"), encoded(schedule))
    await Timers(world.bus).set(made.id, at, at.isoformat().encode())
    return schedule


async def past(at: datetime | None) -> bool:
    return at is not None and datetime.now(UTC) > at


async def jobs_of(world: World, schedule: Schedule) -> list[str]:
    jobs = (await world.ask("GET", "/v1/ingest?limit=200")).json()["jobs"]
    return [job["id"] for job in jobs if job["schedule"] == schedule.id]


async def occurred_once(world: World, schedule: Schedule) -> str:
    """The job that came of it, which completes; nothing is left of the schedule once it is deleted."""

    async def made() -> bool:
        return bool(await jobs_of(world, schedule))

    await world.until(made, "the occurrence made a job")
    (job,) = await jobs_of(world, schedule)
    await world.state(job, "COMPLETED")

    async def known() -> bool:
        seen = Schedule.model_validate((await world.ask("GET", f"/v1/ingest/schedules/{schedule.id}")).json())
        return (seen.made, seen.last_job, seen.last_at) == (1, job, schedule.next_at)

    await world.until(known, "the schedule knows of its job")
    answer = await world.ask("DELETE", f"/v1/ingest/schedules/{schedule.id}")
    assert answer.status_code == 204
    await world.sound(job)
    assert await jobs_of(world, schedule) == [job]
    return job


async def test_what_was_due_while_every_orchestrator_was_dead_comes_once_when_they_are_back(worlds: Worlds) -> None:
    async with worlds() as world:
        orchestrators = [world.orchestrator(), world.orchestrator()]
        world.worker("a")
        await world.ready("a")
        job = await put_off(world, plan("a"), countdown=SECONDS)
        schedule = await scheduled(world, plan("a"))
        for orchestrator in orchestrators:
            orchestrator.kill()
            await world.dead(orchestrator)
        waiting = {world.bus.subject("due", key) for key in (job, schedule.id)}

        async def fired() -> bool:
            return await world.bus.subjects("READY", world.bus.subject("due.>")) == waiting

        await world.until(fired, "the server has brought both")
        world.orchestrator()
        world.orchestrator()

        await world.state(job, "COMPLETED")
        await occurred_once(world, schedule)
        await world.sound(job)


async def test_what_was_due_while_the_broker_was_down_comes_once_when_it_is_back(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        job = await put_off(world, plan("a"), countdown=SECONDS)
        schedule = await scheduled(world, plan("a"))
        world.server.kill()
        await world.until(lambda: past(schedule.next_at), "its time is past")
        world.server.start()

        await world.state(job, "COMPLETED")
        await occurred_once(world, schedule)
        await world.sound(job)


async def test_a_living_orchestrator_sets_the_timers_of_a_broker_that_lost_its_storage(worlds: Worlds) -> None:
    """Over the time at which they were due."""
    async with worlds() as world:
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        job = await put_off(world, plan("a"), countdown=SECONDS)
        schedule = await scheduled(world, plan("a"))
        later = await scheduled(world, plan("a"), seconds=86_400)
        world.server.kill()
        world.server.wipe()
        await world.until(lambda: past(schedule.next_at), "its time is past")
        world.server.start()

        await world.state(job, "COMPLETED")

        async def back() -> bool:
            return later.id in await Timers(world.bus).pending()

        await world.until(back, "the timer of the other one is set again")
        assert (await world.ask("DELETE", f"/v1/ingest/schedules/{later.id}")).status_code == 204
        await occurred_once(world, schedule)
        await world.sound(job)


@pytest.mark.parametrize("offset", ["+3600s", "-3600s"])
async def test_all_keep_the_servers_time_though_their_own_clocks_are_an_hour_off(worlds: Worlds, offset: str) -> None:
    library = next(Path(libfaketime.__file__).parent.rglob("libfaketime.so.1"))
    wrong = {"LD_PRELOAD": str(library), "FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    wrong |= {"CODESTORY_ACK_WAIT_SECONDS": "20", "CODESTORY_PRESENCE_SECONDS": "20"}  # a slow machine is not our theme
    async with worlds(**wrong) as world:
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        eta = datetime.now(UTC) + timedelta(seconds=SECONDS)
        job = await put_off(world, plan("a", fail_until=1), eta=eta.isoformat())
        counted = await put_off(world, plan("a"), countdown=SECONDS)
        schedule = await scheduled(world, plan("a"))

        for done in (job, counted):
            await world.state(done, "COMPLETED")
        made = await occurred_once(world, schedule)
        await world.sound(job, counted)

        counted_due = datetime.fromisoformat((await world.show(counted))["due_at"])
        for done, due in ((job, eta), (counted, counted_due), (made, schedule.next_at)):
            began = (await stored_at(world, done, "started"))[0]
            assert due is not None
            assert timedelta() <= began - due < SURELY
        failed, again = (await stored_at(world, job, "failed"))[0], (await stored_at(world, job, "started"))[1]
        assert timedelta(seconds=BACK_OFF) <= again - failed < SURELY

        every_minute = {"job": request(world, plan("a")), "cron": "* * * * *"}
        before = datetime.now(UTC)
        coming = Schedule.model_validate((await world.ask("POST", "/v1/ingest/schedules", json=every_minute)).json())
        assert coming.next_at is not None
        assert before < coming.next_at < before + SURELY


async def stored_at(world: World, job: str, kind: str) -> list[datetime]:
    """When the server stored these events, by its own clock."""
    found: list[datetime] = []
    for event in await world.events(job, kind):
        message = await world.bus.js.get_msg(world.bus.stream("EVENTS"), event.sequence)
        assert message.time
        found.append(message.time)
    return found
