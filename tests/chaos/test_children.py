"""The process in which a step runs dies, runs too long, or speaks."""

import psutil
import pytest

from codestory.testing import wait_until
from codestory.testing_world import World, plan

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("fork", [False, True], ids=["alone", "leaving a fork that holds its socket"])
async def test_a_step_whose_process_dies_is_tried_again(world: World, fork: bool) -> None:
    job = await world.submit(plan("a", exit_until=1, fork=fork, say="my last words"))

    await world.state(job, "COMPLETED")
    await world.sound(job)
    step = await world.step_of(job, "a")
    assert [attempt["reason"] for attempt in step["attempts"]] == ["crashed", None]
    [died] = await world.events(job, "failed")
    assert "my last words" in died.body["detail"]
    assert step["retries"] == 1


async def test_a_step_whose_process_always_dies_fails_with_the_reason(world: World) -> None:
    job = await world.submit(plan("a", exit_until=9), plan("b"), retries=1, back_off=0.1)

    await world.state(job, "FAILED")
    await world.sound(job)
    assert [a["reason"] for a in (await world.step_of(job, "a"))["attempts"]] == ["crashed", "crashed"]
    assert (await world.step_of(job, "b"))["state"] == "SKIPPED"


async def test_a_bug_in_a_step_fails_it_with_its_traceback(world: World) -> None:
    job = await world.submit(plan("a", bug=True))

    await world.state(job, "FAILED")
    await world.sound(job)
    [attempt] = (await world.step_of(job, "a"))["attempts"]
    assert attempt["reason"] == "bug"
    assert "RuntimeError: a bug" in attempt["detail"]


async def test_a_timeout_leaves_nothing_of_the_steps_family(world: World) -> None:
    await world.state(await world.submit(plan("a")), "COMPLETED")  # its process is warm: the limit is for the work
    family = world.gate()

    late = plan("a", family=family.path, seconds=600, of_step={"timeout_seconds": 3})
    job = await world.submit(late, retries=0)
    members = [int(pid) for pid in (await family.opened()).split()]
    await world.state(job, "FAILED")

    await world.sound(job)
    assert (await world.step_of(job, "a"))["attempts"][-1]["reason"] == "timeout"
    await wait_until(lambda: _gone(members), "the family has ended", 10)


async def test_what_each_attempt_writes_is_kept_with_its_job_step_attempt_and_trace(world: World) -> None:
    job = await world.submit(plan("a", say="hello", fail_until=1), back_off=0.1)

    await world.state(job, "COMPLETED")
    await world.sound(job)
    lines = [line for line in await world.logs(job, "a", "step.output", 2) if line["line"] == "hello"]
    assert [(line["job_id"], line["step"], line["attempt"]) for line in lines] == [(job, "a", 1), (job, "a", 2)]
    traces = [line["trace_id"] for line in lines]
    assert len(set(traces)) == len(traces)
    assert all(len(trace) == 32 and set(trace) != {"0"} for trace in traces)


async def _gone(members: list[int]) -> bool:
    return not any(_alive(pid) for pid in members)


def _alive(pid: int) -> bool:
    """Where nobody reaps orphans they stay on as zombies: those have ended too."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
