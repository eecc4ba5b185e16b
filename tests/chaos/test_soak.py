"""Minutes of everything at once: jobs of all priorities, users who stop, resume, retry and cancel, workers that are
killed and stopped, orchestrators too. Tokens are never exceeded and none is left, each run of each job ends once."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from codestory import cancelling
from codestory.bus import LOST
from codestory.contracts.events import TERMINAL
from codestory.contracts.values import JobState, Priority
from codestory.testing import wait_until
from codestory.testing_bus import out_of_order
from codestory.testing_world import Process, World, Worlds, plan

pytestmark = pytest.mark.chaos

#: Longer runs find what is rarer.
SECONDS = float(os.environ.get("CODESTORY_SOAK_SECONDS", "60"))
#: Give a seed that was printed to choose the same again. The processes' own timing stays what it is.
SEED = int(os.environ.get("CODESTORY_SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
TOKENS = 5
#: Jobs that have not ended, at most; and how long the world may take to come to rest.
AT_ONCE, REST_SECONDS = 12, 400.0
RANKS = list(Priority)
GOING = {JobState.PENDING, JobState.RUNNING}
CONFLICT = 409


class Chaos:
    """Does at random what users, operators and machines do."""

    def __init__(self, world: World, choice: random.Random) -> None:
        self.world, self.choice = world, choice
        self.workers: dict[Process, str] = {}
        self.orchestrators: list[Process] = []
        self.paused: list[Process] = []
        self.jobs: list[str] = []
        self.done = Counter[str]()

    def begin(self) -> None:
        self.orchestrators = [self.world.orchestrator() for _ in range(2)]
        for step in "abcd":
            self.work(step)

    def work(self, step: str) -> None:
        self.workers[self.world.worker(step)] = step

    async def act(self) -> None:
        name = self.choice.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        print(name)
        await getattr(self, name)()
        self.done[name] += 1

    async def submit(self) -> None:
        if await self.unfinished() >= AT_ONCE:
            return
        last = self.jobs[-1] if self.jobs and self.choice.random() < 0.2 else ""
        repository = (await self.world.show(last))["repository"]["path"] if last else ""
        steps = [
            plan(
                step,
                seconds=round(self.choice.uniform(0, 1.5), 2),
                fail_until=self.choice.choice([0, 0, 0, 1]),
                exit_until=self.choice.choice([0, 0, 0, 0, 1]),
                give_up=self.choice.random() < 0.08,
                spin=self.choice.random() < 0.05,
            )
            for step in self.choice.sample("abcd", self.choice.randint(1, 4))
        ]
        priority = self.choice.choice(RANKS)
        self.jobs.append(await self.world.submit(*steps, priority=priority, back_off=0.3, repository=repository))

    async def unfinished(self) -> int:
        return sum(not JobState(job["state"]).ended for job in await self.listed())

    async def listed(self) -> list[dict[str, Any]]:
        return (await self.world.ask("GET", "/v1/ingest?limit=200")).json()["jobs"]

    async def cancel(self) -> None:
        await self.ask("POST", "/cancel", GOING)

    async def stop(self) -> None:
        await self.ask("POST", "/stop", GOING)

    async def resume(self) -> None:
        await self.ask("POST", "/resume", {JobState.STOPPED})

    async def retry(self) -> None:
        ended = {JobState.FAILED, JobState.STOPPED, JobState.CANCELLED}
        await self.ask("POST", "/retry", ended, {"from_step": self.choice.choice(["", "start"])})

    async def prioritise(self) -> None:
        await self.ask("PATCH", "", GOING, {"priority": self.choice.choice(RANKS)})

    async def ask(self, method: str, verb: str, of: set[JobState], body: dict[str, str] | None = None) -> None:
        """Mostly of a job in one of these states, at times of any. It is done, or refused in so many words."""
        any_of_them = self.choice.random() < 0.2
        jobs = [job["id"] for job in await self.listed() if any_of_them or JobState(job["state"]) in of]
        if jobs:
            path = f"/v1/ingest/{self.choice.choice(jobs)}{verb}"
            answer = await self.world.ask(method, path, **({"json": body} if body else {}))
            print(method, path, body, answer.status_code)
            assert answer.is_success or answer.status_code == CONFLICT, answer.text

    async def kill_worker(self) -> None:
        worker, step = self.choice.choice(list(self.workers.items()))
        del self.workers[worker]
        worker.kill()
        self.work(step)

    async def pause_worker(self) -> None:
        """As a machine does that stands still; another one takes over."""
        worker = self.choice.choice(list(self.workers))
        if not self.paused:
            self.paused.append(worker)
            self.world.stop(worker)

    async def wake_worker(self) -> None:
        while self.paused:
            worker = self.paused.pop()
            if worker in self.workers:
                self.world.resume(worker)

    async def kill_orchestrator(self) -> None:
        victim = self.choice.choice(self.orchestrators)
        self.orchestrators.remove(victim)
        victim.kill()
        self.orchestrators.append(self.world.orchestrator())

    async def rest(self) -> None:
        """Everything that still lives goes on; what was stopped is resumed. Then each job comes to its end."""
        await self.wake_worker()

        async def at_rest() -> bool:
            for job in self.jobs:
                if (await self.world.show(job))["state"] == JobState.STOPPED:
                    await self.world.ask("POST", f"/v1/ingest/{job}/resume")
            return await self.unfinished() == 0

        await self.world.until(at_rest, "every job has ended", REST_SECONDS)


#: How often each happens, against each other.
ACTIONS = {
    Chaos.submit.__name__: 40,
    Chaos.cancel.__name__: 6,
    Chaos.stop.__name__: 8,
    Chaos.resume.__name__: 8,
    Chaos.retry.__name__: 8,
    Chaos.prioritise.__name__: 8,
    Chaos.kill_worker.__name__: 3,
    Chaos.pause_worker.__name__: 3,
    Chaos.wake_worker.__name__: 6,
    Chaos.kill_orchestrator.__name__: 1,
}


@pytest.mark.timeout(SECONDS + 2 * REST_SECONDS)
async def test_whatever_happens_each_run_ends_once_and_no_token_is_exceeded_or_lost(worlds: Worlds) -> None:
    print(f"CODESTORY_SOAK_SEED={SEED}")
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS=str(TOKENS)) as world:
        chaos = Chaos(world, random.Random(SEED))
        chaos.begin()
        await world.ready("a", "b", "c", "d")
        async with never_more_than(world, TOKENS):
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                await chaos.act()
            await chaos.rest()
        await world.settled(REST_SECONDS)

        print(chaos.done, len(chaos.jobs), "jobs")
        await each_run_ended_once(world, chaos.jobs)
        await urgent_before_the_rest(world)


@asynccontextmanager
async def never_more_than(world: World, tokens: int) -> AsyncGenerator[None]:
    """RUN is read over and over."""
    looks = 0

    async def look() -> None:
        nonlocal looks
        while True:
            with suppress(*LOST):  # a busy machine answers late
                info = await world.bus.js.stream_info(world.bus.stream("RUN"))
                assert info.state.messages <= tokens
                looks += 1

    looking = asyncio.create_task(look())
    try:
        yield
        assert not looking.done(), looking.exception()
        assert looks
    finally:
        await cancelling.end(looking)


async def each_run_ended_once(world: World, jobs: list[str]) -> None:
    """`job.ended` once for each run, in order; an end once for each attempt, and nothing of it behind."""
    for job in jobs:
        shown, history = await world.show(job), await world.history(job)
        runs = [event.body["run"] for event in history if event.kind == "ended"]
        assert runs == list(range(1, shown["run"] + 1)), (job, history)
        for step in shown["steps"]:
            events = [event for event in history if event.step == step["name"]]
            attempts = [event.body["attempt"] for event in events]
            ends = Counter(event.body["attempt"] for event in events if event.kind in TERMINAL)
            assert attempts == sorted(attempts), (job, events)
            assert set(ends.values()) <= {1}, (job, events)
            assert set(ends) == set(attempts), (job, events)


async def urgent_before_the_rest(world: World) -> None:
    """Once nothing else happens: of what waits for the tokens together, the most urgent are admitted first."""
    gate, holders = await world.hold_all_tokens()
    ranks: dict[str, int] = {}
    for i in range(18):
        rank = len(RANKS) - 1 - i % len(RANKS)
        ranks[await world.submit(plan("abcd"[i // 3 % 4], seconds=0.05), priority=RANKS[rank])] = rank
    gate.open()

    async def ended() -> bool:
        done = {event.job for event in await world.history() if event.kind == "ended"}
        return {*ranks, *holders} <= done

    await wait_until(ended, "all have ended", REST_SECONDS)
    starts = [event for event in await world.history() if event.kind == "started" and event.job in ranks]
    admitted = sorted((event.body["delivery"][0], ranks[event.job]) for event in starts)
    assert out_of_order([rank for _, rank in admitted]) == 0, admitted
    await world.settled(REST_SECONDS)
