"""What a user asks of jobs, and what jobs wait for, over real processes."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from codestory.testing_world import World, Worlds, plan

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(worlds: Worlds) -> AsyncGenerator[World]:
    """Its tokens are enough for all, so that nothing waits but what a test makes wait."""
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS="50") as shared:
        shared.configure(concurrency=20)
        shared.orchestrator()
        shared.worker("a")
        shared.worker("b")
        await shared.ready("a", "b")
        yield shared


async def test_a_stopped_job_keeps_what_was_done_and_goes_on_from_there(world: World) -> None:
    gate = world.gate()
    job = await world.submit(plan("a"), plan("b", gate=gate.path))
    await world.event(job, "b", "started")

    asked = await world.verb(job, "stop")
    await world.state(job, "STOPPED")
    again = await world.verb(job, "stop")

    assert (asked.status_code, again.status_code) == (202, 200)
    receipt = (await world.show(job))["receipt"]
    assert (receipt["verb"], receipt["kept"], receipt["steps"]) == ("stop", ["a"], ["b"])
    assert receipt["tokens_released"] == 1
    assert receipt["ended_at"] > receipt["asked_at"]

    gate.open()
    resumed = await world.verb(job, "resume")
    await world.state(job, "COMPLETED")

    assert resumed.status_code == 202
    assert [step["attempt"] for step in (await world.show(job))["steps"]] == [1, 2]
    await world.sound(job)


async def test_a_loop_that_hears_nothing_is_stopped(world: World) -> None:
    job = await world.submit(plan("a", spin=True, seconds=600))
    await world.event(job, "a", "started")

    await world.verb(job, "stop")

    await world.state(job, "STOPPED", limit=10)
    await world.verb(job, "cancel")
    assert (await world.show(job))["state"] == "STOPPED"


async def test_a_retry_runs_what_failed_and_what_follows(world: World) -> None:
    job = await world.submit(plan("a"), plan("b", give_up=True))
    await world.state(job, "FAILED")

    refused = await world.verb(job, "retry", from_step="c")
    unknown = await world.verb(job, "retry", step_options={"b": {"nonsense": 1}})
    retried = await world.verb(job, "retry", step_options={"b": {"give_up": False}})
    await world.state(job, "COMPLETED")

    assert (refused.status_code, unknown.status_code, retried.status_code) == (422, 422, 202)
    shown = await world.show(job)
    assert [(step["name"], step["attempt"]) for step in shown["steps"]] == [("a", 1), ("b", 2)]
    assert (shown["run"], shown["receipt"]["kept"], shown["receipt"]["steps"]) == (2, ["a"], ["b"])
    step = (await world.ask("GET", f"/v1/ingest/{job}/steps/b")).json()
    assert [attempt["state"] for attempt in step["attempts"]] == ["FAILED", "COMPLETED"]
    assert step["attempts"][0]["reason"] == "gave_up"
    assert all(attempt["worker"] and attempt["started_at"] for attempt in step["attempts"])
    await world.sound(job)


async def test_a_retry_from_the_start_runs_everything(world: World) -> None:
    job = await world.submit(plan("a"), plan("b", give_up=True))
    await world.state(job, "FAILED")

    await world.verb(job, "retry", from_step="start", options={"give_up": False})
    await world.verb(job, "retry", from_step="start", options={"give_up": False})  # asked twice is asked once

    await world.state(job, "COMPLETED")
    assert (await world.show(job))["run"] == 2
    assert [step["attempt"] for step in (await world.show(job))["steps"]] == [2, 2]


async def test_a_job_that_is_put_off_waits_and_can_be_cancelled(world: World) -> None:
    job = await world.submit(plan("a"), countdown=600)

    assert (await world.show(job))["state"] == "SCHEDULED"
    assert (await world.verb(job, "cancel")).status_code == 200
    assert (await world.show(job))["state"] == "CANCELLED"
    assert (await world.verb(job, "resume")).status_code == 409


async def test_a_stopped_job_that_was_put_off_is_put_off_again(world: World) -> None:
    job = await world.submit(plan("a"), countdown=2)
    await world.verb(job, "stop")
    assert (await world.show(job))["state"] == "STOPPED"

    await world.verb(job, "resume")

    assert (await world.show(job))["state"] == "SCHEDULED"
    await world.state(job, "COMPLETED")


async def test_a_job_comes_after_another(world: World) -> None:
    gate = world.gate()
    first = await world.submit(plan("a", gate=gate.path))
    second = await world.submit(plan("b"), after=[first])
    await world.event(first, "a", "started")
    assert (await world.show(second))["state"] == "PENDING"

    gate.open()

    await world.state(second, "COMPLETED")
    ended = (await world.show(first))["ended_at"]
    assert (await world.show(second))["started_at"] >= ended


async def test_what_comes_after_a_failed_job_is_skipped_with_the_reason(world: World) -> None:
    gate = world.gate()
    failing = await world.submit(plan("a", gate=gate.path, give_up=True))
    skipped = await world.submit(plan("b"), after=[failing])
    always = await world.submit(plan("b"), after=[failing], when="always")
    chained = await world.submit(plan("b"), after=[skipped])
    gate.open()

    await world.state(always, "COMPLETED")
    await world.state(chained, "FAILED")

    shown = await world.show(skipped)
    assert (shown["state"], shown["steps"][0]["state"]) == ("FAILED", "SKIPPED")
    assert failing in shown["message"]
    assert skipped in (await world.show(chained))["message"]


async def test_what_comes_after_a_stopped_job_waits_until_it_is_resumed(world: World) -> None:
    gate = world.gate()
    first = await world.submit(plan("a", gate=gate.path))
    second = await world.submit(plan("b"), after=[first])
    await world.event(first, "a", "started")
    await world.verb(first, "stop")
    await world.state(first, "STOPPED")
    assert (await world.show(second))["state"] == "PENDING"

    gate.open()
    await world.verb(first, "resume")

    await world.state(second, "COMPLETED")


async def test_a_job_after_one_that_is_not_known_is_refused(world: World) -> None:
    body = {"repository": world.repository(), "pipeline": {"steps": [plan("a")]}, "after": ["nobody"]}

    answer = await world.ask("POST", "/v1/ingest", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_job")


async def test_independent_steps_run_side_by_side(world: World) -> None:
    gate = world.gate()
    job = await world.submit(plan("a", gate=gate.path), plan("b", gate=gate.path), dependencies={"b": []})

    await world.event(job, "a", "started")
    await world.event(job, "b", "started")
    gate.open()

    await world.state(job, "COMPLETED")


async def test_dependencies_in_a_circle_are_refused_with_the_circle(world: World) -> None:
    body = {
        "repository": world.repository(),
        "pipeline": {"steps": [plan("a"), plan("b")]},
        "dependencies": {"a": ["b"], "b": ["a"]},
    }

    answer = await world.ask("POST", "/v1/ingest", json=body)

    assert answer.status_code == 422
    assert "'a' depends on 'b', 'b' depends on 'a'" in answer.json()["detail"]


async def test_a_step_that_runs_always_runs_after_a_failed_one(world: World) -> None:
    job = await world.submit(plan("a", give_up=True), plan("b", of_step={"when": "always"}))

    await world.state(job, "FAILED")

    assert [step["state"] for step in (await world.show(job))["steps"]] == ["FAILED", "COMPLETED"]


async def test_on_one_repository_the_urgent_overtake_who_has_not_begun(world: World) -> None:
    gate, repository = world.gate(), world.repository()
    first = await world.submit(plan("a", gate=gate.path), repository=repository)
    low = await world.submit(plan("a"), repository=repository, priority="low")
    default = await world.submit(plan("a"), repository=repository)
    raised = await world.submit(plan("a"), repository=repository, priority="low")
    await world.ask("PATCH", f"/v1/ingest/{raised}", json={"priority": "high"})
    gate.open()

    for job in (first, low, default, raised):
        await world.state(job, "COMPLETED")

    started = {job: (await world.show(job))["started_at"] for job in (first, low, default, raised)}
    assert sorted(started, key=lambda job: started[job]) == [first, raised, default, low]


async def test_a_job_that_ended_long_ago_is_forgotten_and_what_another_waits_for_is_not(worlds: Worlds) -> None:
    settings = {"CODESTORY_JOBS_MAX_AGE_SECONDS": "1", "CODESTORY_RETENTION_SECONDS": "0.2"}
    async with worlds(**settings) as world:
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        old = await world.submit(plan("a", say="hello"))
        stopped = await world.submit(plan("a", seconds=600))
        waiting = await world.submit(plan("a"), after=[stopped])
        await world.event(stopped, "a", "started")
        await world.verb(stopped, "stop")

        async def forgotten() -> bool:
            return (await world.ask("GET", f"/v1/ingest/{old}")).status_code == 404

        await world.until(forgotten, "the old one is not known any more")
        await world.state(stopped, "STOPPED")

        assert not [event for event in await world.history() if event.job == old]
        assert not await world.bus.subjects("LOGS", world.bus.subject("log", old, ">"))
        assert (await world.show(waiting))["state"] == "PENDING"
