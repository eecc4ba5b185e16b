"""A worker dies, stalls or is told to stop: each attempt ends once all the same."""

import signal

import pytest

from codestory.testing_world import World, Worlds, plan

pytestmark = pytest.mark.chaos


async def test_a_step_whose_worker_is_killed_is_started_again_by_another(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        first = world.worker("a")
        await world.ready("a")
        gate = world.gate()
        job = await world.submit(plan("a", gate=gate.path))
        await world.event(job, "a", "started")

        first.kill()
        world.worker("a")
        await world.event(job, "a", "started", 2)
        gate.open()

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
        gate = world.gate()
        job = await world.submit(plan("a", gate=gate.path))
        await world.event(job, "a", "started")

        world.stop(zombie, children=children)
        world.worker("a")
        await world.event(job, "a", "started", 2)
        world.resume(zombie)
        [fenced] = await world.ended_attempts(zombie)
        gate.open()

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
        gate = world.gate()
        job = await world.submit(plan("a", fail_until=1, slow_from=2, gate=gate.path))
        await world.paused(zombie)
        world.worker("a")
        await world.event(job, "a", "started", 2)

        world.resume(zombie)
        await world.wrote(zombie, "ack#1")
        gate.open()

        await world.state(job, "COMPLETED")
        await world.sound(job)
        assert [e.body["attempt"] for e in await world.events(job, "started")] == [1, 2]


async def test_a_worker_stopped_before_its_claim_does_not_take_the_attempt_back_from_its_successor(
    worlds: Worlds,
) -> None:
    """It wakes with the command in its hand that has been delivered to another since, and claimed."""
    async with worlds() as world:
        world.orchestrator()
        zombie = world.worker("a", "stop started#1")
        await world.ready("a")
        gate = world.gate()
        job = await world.submit(plan("a", gate=gate.path))
        await world.paused(zombie)
        world.worker("a")
        await world.event(job, "a", "started")

        world.resume(zombie)
        await world.until(lambda: logged(world, "step.overtaken"), "it has seen that it was replaced")
        gate.open()

        await world.state(job, "COMPLETED")
        await world.sound(job)
        assert len(await world.events(job, "started")) == 1


async def logged(world: World, event: str) -> bool:
    return f'"event": "{event}"' in world.log.read_text(errors="replace")


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


async def test_a_worker_told_to_stop_ends_though_its_result_finds_no_broker(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        told = world.worker("a")
        await world.ready("a")
        gate = world.gate()
        job = await world.submit(plan("a", gate=gate.path))
        await world.event(job, "a", "started")

        world.server.kill()
        gate.open()
        await world.wrote(told, "completed#1")
        told.send_signal(signal.SIGTERM)
        await world.dead(told)
        world.server.start()
        world.worker("a")

        await world.state(job, "COMPLETED")
        await world.sound(job)


async def test_an_attempt_that_kills_every_worker_fails_as_crashed(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        worker = world.worker("a")
        await world.ready("a")
        job = await world.submit(plan("a", kill_host=True))

        for _ in range(3):
            await world.dead(worker)
            worker = world.worker("a")

        await world.state(job, "FAILED")
        await world.sound(job)
        step = await world.step_of(job, "a")
        assert step["attempts"][-1]["reason"] == "crashed"
        assert [e.body.get("starts", 1) for e in await world.events(job, "started")] == [1, 2, 3]


async def test_a_worker_told_to_stop_gives_its_attempt_back_uncounted(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        told = world.worker("a")
        await world.ready("a")
        gate = world.gate()
        job = await world.submit(plan("a", gate=gate.path), retries=0)
        await world.event(job, "a", "started")

        told.send_signal(signal.SIGTERM)
        await world.dead(told)
        world.worker("a")
        await world.event(job, "a", "started", 2)
        gate.open()

        assert told.returncode == 0
        await world.state(job, "COMPLETED")
        await world.sound(job)
        step = await world.step_of(job, "a")
        assert [attempt.get("reason") for attempt in step["attempts"]] == ["shutdown", None]
        assert step["retries"] == 0
