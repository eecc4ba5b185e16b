"""Each reason why a job waits, really produced, and told by the API."""

import re
from typing import Any

import pytest

from codestory.contracts.api import Cause, Wait, Why
from codestory.testing_world import Gate, World, Worlds, plan

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]

TOKENS = 5


async def why(world: World, job: str) -> Why:
    answer = await world.ask("GET", f"/v1/ingest/{job}/why")
    assert answer.status_code == 200, answer.text
    return Why.model_validate_json(answer.content)


async def waits(world: World, job: str, *causes: Cause) -> list[Wait]:
    """Its links, once they are of these causes."""
    seen: list[Wait] = []

    async def there() -> bool:
        seen[:] = (await why(world, job)).waits
        return [wait.cause for wait in seen] == list(causes)

    try:
        await world.until(there, f"{job} waits for {causes}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{seen}") from error
    return seen


async def submit(world: World, *steps: dict[str, Any], **more: Any) -> str:
    """With what `World.submit` does not know."""
    retry = {"max_retries": 3, "back_off_seconds": more.pop("back_off", 0.5)}
    body = {"repository": world.repository(), "pipeline": {"steps": steps, "retry": retry}} | more
    answer = await world.ask("POST", "/v1/ingest", json=body)
    assert answer.is_success, answer.text
    return answer.json()["id"]


async def at_the_gate(world: World, step: str = "a", **more: Any) -> tuple[Gate, str]:
    """A job whose step runs until the gate opens."""
    gate = world.gate()
    job = await submit(world, plan(step, gate=gate.path), **more)
    await world.step_state(job, step, "RUNNING")
    return gate, job


async def let_go(world: World, gate: Gate, *jobs: str) -> None:
    gate.open()
    for job in jobs:
        await world.state(job, "COMPLETED")
    await world.settled()


async def test_a_job_that_is_put_off_waits_for_its_time(world: World) -> None:
    job = await submit(world, plan("a"), countdown=3600)

    [wait] = await waits(world, job, Cause.DUE)
    assert wait.until is not None
    assert re.fullmatch(r"due at 20\S+Z \(in (1 h|59 min)\)", wait.text)
    await world.cancel(job)
    await world.settled()


async def test_a_job_that_comes_after_others_says_how_far_they_are_and_the_whole_chain(world: World) -> None:
    gate, first = await at_the_gate(world)
    second = await submit(world, plan("a"), after=[first])
    third = await submit(world, plan("a"), after=[second])

    [wait] = await waits(world, third, Cause.AFTER)
    assert wait.jobs == (second,)
    assert [(link.cause, link.jobs) for link in wait.waits] == [(Cause.AFTER, (first,))]
    assert f"the job {first}, which it comes after, is RUNNING" in wait.text
    await let_go(world, gate, first, second, third)


async def test_a_job_that_comes_after_a_stopped_one_says_what_to_do(world: World) -> None:
    gate, first = await at_the_gate(world)
    second = await submit(world, plan("a"), after=[first])
    await world.ask("POST", f"/v1/ingest/{first}/stop")
    await world.state(first, "STOPPED")

    [wait] = await waits(world, second, Cause.AFTER)
    assert wait.text.endswith("is STOPPED: resume that one, or cancel this one")
    gate.open()
    await world.ask("POST", f"/v1/ingest/{first}/resume")
    await let_go(world, gate, first, second)


async def test_a_job_waits_for_another_on_its_repository(world: World) -> None:
    repository = world.repository()
    gate, first = await at_the_gate(world, repository=repository)
    second = await submit(world, plan("a"), repository=repository)
    third = await submit(world, plan("a"), repository=repository)

    [wait] = await waits(world, third, Cause.REPOSITORY)
    assert wait.jobs == (first, second)
    assert f"has to end first: {first}, RUNNING" in wait.text
    assert f"then {second}" in wait.text
    await let_go(world, gate, first, second, third)


async def test_a_running_job_says_how_far_and_which_steps_wait_for_it(world: World) -> None:
    gate = world.gate()
    job = await submit(world, plan("a", seconds=0.5, gate=gate.path), plan("b"))
    await world.step_state(job, "a", "RUNNING")

    [wait] = await waits(world, job, Cause.DEPENDENCY)
    assert (wait.step, wait.dependency) == ("b", "a")
    told = await why(world, job)
    assert told.text.startswith("RUNNING, at ")
    assert "step a, running since " in told.text
    await let_go(world, gate, job)
    told = await why(world, job)
    assert told.text.startswith("It completed at ")
    assert told.waits == ()


async def test_a_step_that_will_be_tried_again_says_when_and_what_went_wrong(world: World) -> None:
    job = await submit(world, plan("a", fail_until=1), back_off=600)

    [wait] = await waits(world, job, Cause.RETRY)
    assert (wait.step, wait.retry, wait.max_retries) == ("a", 1, 3)
    assert "waits for retry 1 of 3, due at " in wait.text
    assert wait.text.endswith("last error: temporary: not yet")
    await world.cancel(job)
    await world.settled()


async def test_a_step_waits_for_a_token_that_others_hold_and_behind_others_in_line(world: World) -> None:
    gate, holders = await world.hold_all_tokens()
    high = await submit(world, plan("b"), priority="high")
    first = await submit(world, plan("b"))
    second = await submit(world, plan("b"))

    token, position = await waits(world, second, Cause.TOKEN, Cause.POSITION)
    assert {holder.job for holder in token.holders} == set(holders)
    assert all(holder.worker and holder.since for holder in token.holders)
    assert token.limit == TOKENS
    assert f"all {TOKENS} are held, the longest by step a of job {holders[0]}" in token.text
    assert (position.position, position.priority, position.ahead) == (2, "default", 2)
    [token] = await waits(world, high, Cause.TOKEN)
    await let_go(world, gate, high, first, second, *holders)


async def test_a_step_waits_while_as_many_of_it_run_as_may(world: World) -> None:
    gates = [await at_the_gate(world) for _ in range(4)]
    job = await submit(world, plan("a"))

    [wait] = await waits(world, job, Cause.CONCURRENCY)
    assert wait.limit == 4
    assert {holder.job for holder in wait.holders} == {job for _, job in gates}
    for gate, running in gates:
        gate.open()
        await world.state(running, "COMPLETED")
    await let_go(world, gates[0][0], job)


async def test_steps_side_by_side_are_told_each(world: World) -> None:
    gates = [await at_the_gate(world) for _ in range(4)]
    gate = world.gate()
    apart: dict[str, Any] = {"of_step": {"depends_on": []}}
    job = await submit(world, plan("a", **apart), plan("b", gate=gate.path, **apart))
    await world.step_state(job, "b", "RUNNING")

    token, concurrency = await waits(world, job, Cause.TOKEN, Cause.CONCURRENCY)
    assert token.step == concurrency.step == "a"
    assert "step b, running since " in (await why(world, job)).text
    for one, running in gates:
        one.open()
        await world.state(running, "COMPLETED")
    await let_go(world, gate, job)


async def test_a_step_without_a_worker_says_so(world: World) -> None:
    await world.register("c")
    admitted = await submit(world, plan("c"))
    waiting = await submit(world, plan("c"))

    [wait] = await waits(world, admitted, Cause.WORKER)
    assert "no worker of it lives: start the service of c" in wait.text
    first, *_ = await waits(world, waiting, Cause.WORKER)
    assert first.jobs == (admitted,)
    for job in (admitted, waiting):
        await world.cancel(job)
        await world.state(job, "CANCELLED")
    await world.settled()


async def test_a_job_that_is_not_known_is_404(world: World) -> None:
    answer = await world.ask("GET", "/v1/ingest/nobody/why")

    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


@pytest.mark.asyncio(loop_scope="function")
async def test_a_step_waits_for_a_resource_that_another_holds(worlds: Worlds) -> None:
    async with worlds() as world:
        world.config.write_text(world.config.read_text() + "resource_limits:\n  gpu: 1\n")
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        gate = world.gate()
        with_gpu = {"of_step": {"resources": ["gpu"]}}
        holder = await submit(world, plan("a", gate=gate.path, **with_gpu))
        await world.step_state(holder, "a", "RUNNING")
        job = await submit(world, plan("a", **with_gpu))

        [wait] = await waits(world, job, Cause.RESOURCE)
        assert (wait.resource, wait.limit, wait.jobs) == ("gpu", 1, (holder,))
        assert wait.text.startswith("step a waits for the resource gpu: 1 of 1 are held by step a of job")
        await let_go(world, gate, holder, job)


@pytest.mark.asyncio(loop_scope="function")
async def test_a_stopped_worker_is_told_before_and_after_it_counts_as_gone(worlds: Worlds) -> None:
    async with worlds(CODESTORY_CANCEL_GRACE_SECONDS="600", CODESTORY_PRESENCE_SECONDS="8") as world:
        world.orchestrator()
        worker = world.worker("a")
        await world.ready("a")
        gate, running = await at_the_gate(world)
        world.stop(worker, children=True)
        admitted = await submit(world, plan("a"))

        [wait] = await waits(world, admitted, Cause.PICKUP)
        assert "a worker takes it next" in wait.text
        await world.cancel(running)
        [wait] = await waits(world, running, Cause.ENDING)
        assert wait.until is not None
        [wait] = await waits(world, admitted, Cause.WORKER)
        assert "no worker of it lives" in wait.text
        world.resume(worker)
        gate.open()
        await world.state(running, "CANCELLED", "COMPLETED")
        await world.state(admitted, "COMPLETED")


@pytest.mark.asyncio(loop_scope="function")
async def test_a_running_step_whose_worker_died_says_so(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        worker = world.worker("a")
        await world.ready("a")
        gate, job = await at_the_gate(world)
        worker.kill()

        [wait] = await waits(world, job, Cause.WORKER)
        assert "is not heard of any more, and no other lives" in wait.text
        world.worker("a")
        await let_go(world, gate, job)
