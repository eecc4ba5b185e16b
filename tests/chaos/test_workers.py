"""A worker, or the process of its step, dies, stalls or is told to stop: each attempt ends once all the same."""

import signal
from pathlib import Path

import psutil
import pytest

from codestory.testing import wait_until
from codestory.testing_world import Worlds, plan

pytestmark = pytest.mark.chaos


async def test_a_step_whose_worker_is_killed_is_started_again_by_another(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        first = world.worker("a")
        await world.ready("a")
        gate = world.directory / "gate"
        job = await world.submit(plan("a", gate=str(gate)))
        await world.event(job, "a", "started")

        first.kill()
        world.worker("a")
        await world.event(job, "a", "started", 2)
        gate.touch()

        await world.state(job, "COMPLETED")
        await world.sound(job)
        assert [e.body.get("starts", 1) for e in await world.events(job, "started")] == [1, 2]


@pytest.mark.parametrize("children", [False, True], ids=["host", "host and its child"])
async def test_a_worker_stopped_in_mid_step_is_replaced_and_says_nothing_when_it_comes_back(
    worlds: Worlds, children: bool
) -> None:
    async with worlds() as world:
        world.orchestrator()
        zombie = world.worker("a")
        await world.ready("a")
        gate = world.directory / "gate"
        job = await world.submit(plan("a", gate=str(gate)))
        await world.event(job, "a", "started")

        world.stop(zombie, children=children)
        world.worker("a")
        await world.event(job, "a", "started", 2)
        world.resume(zombie)
        [fenced] = await world.ended_attempts(zombie)
        gate.touch()

        assert fenced["status"] == "fenced"
        await world.state(job, "COMPLETED")
        await world.sound(job)


async def test_a_worker_stopped_with_its_result_ready_cannot_say_it(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        zombie = world.worker("a", "stop completed#1")
        await world.ready("a")
        job = await world.submit(plan("a"))
        await world.paused(zombie)

        world.worker("a")
        await world.event(job, "a", "started", 2)
        world.resume(zombie)
        [refused] = await world.ended_attempts(zombie)

        assert refused["status"] == "fenced"
        await world.state(job, "COMPLETED")
        await world.sound(job)


async def test_a_worker_stopped_before_its_claim_does_not_disturb_a_later_attempt(worlds: Worlds) -> None:
    """It wakes with the command of the first attempt in its hand, and the second one runs."""
    async with worlds() as world:
        world.orchestrator()
        zombie = world.worker("a", "stop started#1")
        await world.ready("a")
        gate = world.directory / "gate"
        job = await world.submit(plan("a", fail_until=1, slow_from=2, gate=str(gate)))
        await world.paused(zombie)
        world.worker("a")
        await world.event(job, "a", "started", 2)

        world.resume(zombie)
        await world.wrote(zombie, "ack#1")
        gate.touch()

        await world.state(job, "COMPLETED")
        await world.sound(job)
        assert [e.body["attempt"] for e in await world.events(job, "started")] == [1, 2]


async def test_the_token_of_a_worker_gone_after_its_last_word_is_freed(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        dead = world.worker("a", "ack#1")
        await world.ready("a")

        job = await world.submit(plan("a"))
        await world.dead(dead)

        await world.state(job, "COMPLETED")
        await world.sound(job)


async def test_a_retry_is_not_held_up_by_the_command_of_the_attempt_before(worlds: Worlds) -> None:
    """The first worker dies before its ack, so its command lies in RUN until ack_wait, which is long here."""
    async with worlds(CODESTORY_ACK_WAIT_SECONDS="120", CODESTORY_RECONCILE_SECONDS="120") as world:
        world.orchestrator()
        dead = world.worker("a", "ack#1")
        await world.ready("a")

        job = await world.submit(plan("a", fail_until=1), back_off=0.2)
        await world.dead(dead)
        world.worker("a")

        await world.state(job, "COMPLETED")
        await world.sound(job)


async def test_an_attempt_that_kills_every_worker_fails_as_crashed(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        worker = world.worker("a")
        await world.ready("a")
        job = await world.submit(plan("a", kill_host=True), plan("b"))

        for _ in range(3):
            await world.dead(worker)
            worker = world.worker("a")

        await world.state(job, "FAILED")
        await world.sound(job)
        step = await world.step_of(job, "a")
        assert step["attempts"][-1]["reason"] == "crashed"
        assert [e.body.get("starts", 1) for e in await world.events(job, "started")] == [1, 2, 3]
        assert (await world.step_of(job, "b"))["state"] == "SKIPPED"


async def test_a_worker_told_to_stop_gives_its_attempt_back_uncounted(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        told = world.worker("a")
        await world.ready("a")
        gate = world.directory / "gate"
        job = await world.submit(plan("a", gate=str(gate)), retries=0)
        await world.event(job, "a", "started")

        told.send_signal(signal.SIGTERM)
        await world.dead(told)
        world.worker("a")
        await world.event(job, "a", "started", 2)
        gate.touch()

        assert told.returncode == 0
        await world.state(job, "COMPLETED")
        await world.sound(job)
        step = await world.step_of(job, "a")
        assert [attempt.get("reason") for attempt in step["attempts"]] == ["shutdown", None]
        assert step["retries"] == 0


async def test_a_step_whose_process_dies_is_tried_again(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        world.worker("a")
        world.worker("b")
        await world.ready("a", "b")

        alone = await world.submit(plan("a", exit_until=1))
        with_a_fork = await world.submit(plan("b", exit_until=1, fork=True))

        for job, name in ((alone, "a"), (with_a_fork, "b")):
            await world.state(job, "COMPLETED")
            await world.sound(job)
            step = await world.step_of(job, name)
            assert [attempt.get("reason") for attempt in step["attempts"]] == ["crashed", None]
            assert step["retries"] == 1


async def test_a_timeout_leaves_nothing_of_the_steps_family(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        await world.state(await world.submit(plan("a")), "COMPLETED")  # its process is warm: the limit is for the work
        family = world.directory / "family"

        job = await world.submit(
            plan("a", family=str(family), seconds=600, of_step={"timeout_seconds": 10}), retries=0
        )
        await world.exists(family)
        members = pids(family)
        await world.state(job, "FAILED")

        await world.sound(job)
        assert (await world.step_of(job, "a"))["attempts"][-1]["reason"] == "timeout"
        await wait_until(lambda: gone(members), "the family has ended", 10)


def pids(path: Path) -> list[int]:
    return [int(pid) for pid in path.read_text().split()]


async def gone(members: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in members)
