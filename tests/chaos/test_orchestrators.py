"""Two orchestrators, either stopped or killed; one that comes late; what both of them must keep."""

import asyncio

import pytest

from codestory.testing import wait_until
from codestory.testing_world import World, Worlds, plan

pytestmark = pytest.mark.chaos

#: How long an orchestrator stands still: longer than its lease and than ack_wait. A stimulus, nothing waits for it.
PAUSE_SECONDS = 2.5


async def test_one_stopped_and_the_other_killed_end_each_of_forty_jobs_once(worlds: Worlds) -> None:
    async with worlds() as world:
        one, two = world.orchestrator(), world.orchestrator()
        for name in "abcd":
            world.worker(name)
        await world.ready("a", "b", "c", "d")
        jobs = [await world.submit(*(plan(name, seconds=0.02) for name in "abcd")) for _ in range(40)]

        world.stop(one)
        await asyncio.sleep(PAUSE_SECONDS)
        world.resume(one)
        two.kill()

        for job in jobs:
            await world.state(job, "COMPLETED", limit=120)
        await world.sound(*jobs)


async def test_jobs_on_one_repository_run_one_after_the_other_though_orchestrators_die(worlds: Worlds) -> None:
    async with worlds() as world:
        first = world.orchestrator()
        world.worker("a")
        await world.ready("a")
        gate, repository = world.gate(), world.repository()
        jobs = [await world.submit(plan("a", gate=gate.path), repository=repository)]
        await world.event(jobs[0], "a", "started")
        jobs += [await world.submit(plan("a", seconds=0.1), repository=repository) for _ in range(4)]

        assert (await world.show(jobs[4]))["waits_for"] == jobs[:4]
        first.kill()
        world.orchestrator()
        gate.open()

        for job in jobs:
            await world.state(job, "COMPLETED")
        await world.sound(*jobs)
        told = [(e.job, e.kind) for e in await world.history() if e.kind in {"started", "completed"}]
        assert told == [(job, kind) for job in jobs for kind in ("started", "completed")]


async def test_steps_that_were_there_first_serve_the_orchestrator_that_comes_later(worlds: Worlds) -> None:
    async with worlds() as world:
        world.worker("a")
        world.worker("b")
        world.orchestrator()
        await world.ready("a", "b")

        job = await world.submit(plan("a"), plan("b"))

        await world.state(job, "COMPLETED")
        await world.sound(job)


async def test_run_holds_exactly_the_steps_that_run(worlds: Worlds) -> None:
    """Six jobs, three tokens: what RUN holds is what has started and not ended."""
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS="3") as world:
        world.orchestrator()
        world.worker("a")
        world.worker("b")
        await world.ready("a", "b")
        gates = [world.gate() for _ in range(6)]
        jobs = [await world.submit(plan("ab"[i % 2], gate=gate.path)) for i, gate in enumerate(gates)]
        names = {job: "ab"[i % 2] for i, job in enumerate(jobs)}
        seen: list[set[str]] = []

        for _ in range(6):
            running = await run_holds_what_runs(world, tokens=min(3, 6 - len(seen)))
            seen.append(running)
            done = next(job for job in jobs if f"{names[job]}.{job}" in running)
            gates[jobs.index(done)].open()
            await world.state(done, "COMPLETED")

        await world.sound(*jobs)
        assert set.union(*seen) == {f"{names[job]}.{job}" for job in jobs}


async def run_holds_what_runs(world: World, tokens: int) -> set[str]:
    """What RUN holds, once that is as much as there are tokens and the same as what runs."""
    running: set[str] = set()

    async def same() -> bool:
        running.clear()
        running.update(await world.running())
        started: set[str] = set()
        for event in await world.history():
            name = f"{event.step}.{event.job}"
            started = started | {name} if event.kind == "started" else started - {name}
        assert len(running) <= 3
        return started == running and len(running) == tokens

    await wait_until(same, "RUN holds what runs")
    return running


async def test_news_whose_delivery_was_lost_is_heard_all_the_same(worlds: Worlds) -> None:
    """Another acknowledges the last word in the orchestrators' place, as an acknowledgement of a broker that is gone
    can do."""
    async with worlds() as world:
        first = world.orchestrator()
        world.worker("a")
        await world.ready("a")
        gate = world.gate()
        job = await world.submit(plan("a", gate=gate.path))
        await world.event(job, "a", "started")
        first.kill()
        gate.open()
        await world.event(job, "a", "completed")

        await world.acknowledge_events()
        world.orchestrator()

        await world.state(job, "COMPLETED")
        await world.sound(job)


async def test_the_end_of_a_cancelled_step_whose_delivery_was_lost_is_heard_all_the_same(worlds: Worlds) -> None:
    """The orchestrator dies when it is about to write that the job is CANCELLED, and another acknowledges the event."""
    async with worlds() as world:
        first = world.orchestrator()
        world.worker("a")
        await world.ready("a")
        job = await world.submit(plan("a", seconds=600))
        await world.step_state(job, "a", "RUNNING")
        world.arm(first, "record#2")
        await world.cancel(job)
        await world.dead(first)
        await world.event(job, "a", "cancelled")

        await world.acknowledge_events()
        world.orchestrator()

        await world.state(job, "CANCELLED")
        await world.sound(job)
