"""Cancel, wherever the job is: one end, no token held, nothing runs on."""

import pytest

from codestory.testing_world import World, Worlds, plan

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]


async def test_a_running_step_that_listens_to_nothing_is_ended_by_its_worker(world: World) -> None:
    job = await world.submit(plan("a", seconds=600, spin=True), plan("b"))
    await world.event(job, "a", "started")

    answer = await world.cancel(job)

    assert answer.status_code == 202
    await world.state(job, "CANCELLED")
    await world.sound(job)
    [cancelled] = await world.events(job, "cancelled")
    [started] = await world.events(job, "started")
    assert cancelled.body["worker"] == started.body["worker"]
    assert (await world.step_of(job, "b"))["state"] == "SKIPPED"


async def test_a_job_that_waits_for_a_token_is_cancelled_without_having_run(world: World) -> None:
    gate, holders = await world.hold_all_tokens()
    job = await world.submit(plan("a"))

    await world.cancel(job)
    await world.state(job, "CANCELLED")
    gate.open()

    for holder in holders:
        await world.state(holder, "COMPLETED")
    await world.sound(job, *holders)
    assert not await world.events(job, "started")


async def test_a_job_that_waits_for_another_on_its_repository_is_cancelled_at_once(world: World) -> None:
    gate, repository = world.gate(), world.repository()
    first = await world.submit(plan("a", gate=gate.path), repository=repository)
    second = await world.submit(plan("a"), repository=repository)
    third = await world.submit(plan("a"), repository=repository)

    answer = await world.cancel(second)
    gate.open()

    assert answer.json()["state"] == "CANCELLED"
    await world.state(third, "COMPLETED")
    await world.sound(first, second, third)
    assert not await world.events(second, "started")


async def test_a_job_between_two_attempts_is_cancelled(world: World) -> None:
    job = await world.submit(plan("a", fail_until=1), back_off=600)
    await world.event(job, "a", "failed")
    await world.step_state(job, "a", "RETRYING")

    await world.cancel(job)

    await world.state(job, "CANCELLED")
    await world.sound(job)
    assert len(await world.events(job, "started")) == 1


async def test_a_finished_job_stays_as_it_is(world: World) -> None:
    job = await world.submit(plan("a"))
    await world.state(job, "COMPLETED")
    before = await world.show(job)

    answer = await world.cancel(job)

    assert answer.status_code == 409
    assert answer.json()["code"] == "job_conflict"
    assert await world.show(job) == before
    await world.sound(job)


async def test_a_cancelled_job_may_be_cancelled_again(world: World) -> None:
    job = await world.submit(plan("a", seconds=600))
    await world.event(job, "a", "started")
    await world.cancel(job)
    await world.state(job, "CANCELLED")

    answer = await world.cancel(job)

    assert answer.status_code == 200
    assert answer.json()["state"] == "CANCELLED"
    await world.sound(job)


async def test_a_job_whose_worker_is_dead_is_ended_by_the_orchestrator(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        dead = world.worker("a")
        await world.ready("a")
        job = await world.submit(plan("a", seconds=600))
        await world.event(job, "a", "started")
        dead.kill()

        await world.cancel(job)

        await world.state(job, "CANCELLED")
        await world.sound(job)


async def test_a_job_whose_last_step_completes_meanwhile_is_completed(worlds: Worlds) -> None:
    """The worker stops with its result ready, the job is cancelled, the worker says its result in time."""
    async with worlds(
        CODESTORY_ACK_WAIT_SECONDS="60", CODESTORY_CANCEL_GRACE_SECONDS="60", CODESTORY_PRESENCE_SECONDS="60"
    ) as world:
        world.orchestrator()
        worker = world.worker("a", "stop completed#1")
        await world.ready("a")
        job = await world.submit(plan("a"))
        await world.paused(worker)

        await world.cancel(job)
        await world.state(job, "CANCELLING")
        world.resume(worker)

        await world.state(job, "COMPLETED")
        await world.sound(job)
