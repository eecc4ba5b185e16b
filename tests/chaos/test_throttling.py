"""Limits of real processes: exact under two orchestrators, changed while jobs run, kept whatever dies."""

import asyncio
from typing import Any, Self

import pytest

from codestory import cancelling
from codestory.testing import wait_until
from codestory.testing_bus import LIMIT
from codestory.testing_world import World, Worlds, plan

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

LIMITS = "/v1/ingest/resource_status"


class Observer:
    """Looks at RUN all the time: how many were admitted at once, and whether one was while it was full."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.most = 0
        self.most_by_step: dict[str, int] = {}
        self.wrong: list[str] = []
        self._work: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    def begin(self) -> None:
        """The streams are declared."""
        self._work = asyncio.create_task(self._observe())

    async def __aexit__(self, *_: object) -> None:
        if self._work:
            assert not self._work.done(), self._work.exception()
            await cancelling.end(self._work)

    async def _observe(self) -> None:
        bus, full_at = self.world.bus, 0
        while True:
            try:
                info = await bus.js.stream_info(bus.stream("RUN"), subjects_filter=bus.subject("run.>"))
            except TimeoutError:  # the machine is busy: this look is left out, and with it what it would be compared to
                full_at = 0
                continue
            state, limit = info.state, info.config.max_msgs or 0
            self.most = max(self.most, state.messages)
            for step in "abcd":
                count = sum(subject.split(".")[-2] == step for subject in state.subjects or ())
                self.most_by_step[step] = max(self.most_by_step.get(step, 0), count)
            over = state.messages > limit  # the limit was lowered: nothing may come until there is room
            if over and full_at and state.last_seq > full_at:
                self.wrong.append(f"{state.messages} of {limit}, {state.last_seq} after {full_at}")
            full_at = state.last_seq if over else 0


async def change(world: World, path: str, **body: Any) -> Any:
    answer = await world.ask("PATCH", path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


async def admitted(world: World, count: int) -> None:
    async def so() -> bool:
        return len(await world.running()) == count

    await world.until(so, f"{count} are admitted")


async def test_tokens_changed_live_are_exact_under_two_orchestrators(worlds: Worlds) -> None:
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS="2") as world, Observer(world) as seen:
        world.configure(concurrency=8)
        world.orchestrator()
        world.orchestrator()
        world.worker("a")
        world.worker("b")
        await world.ready("a", "b")
        seen.begin()
        gates = [world.gate() for _ in range(12)]
        jobs = [await world.submit(plan("ab"[i % 2], gate=gate.path)) for i, gate in enumerate(gates)]
        await admitted(world, 2)
        assert seen.most == 2

        assert await change(world, LIMITS, max_tokens=7) == {"available_tokens": 5, "max_tokens": 7}
        await admitted(world, 7)
        assert await change(world, LIMITS, max_tokens=3) == {"available_tokens": 0, "max_tokens": 3}
        for gate in gates:
            gate.open()
        for job in jobs:
            await world.state(job, "COMPLETED")

        assert (await world.ask("GET", LIMITS)).json() == {"available_tokens": 3, "max_tokens": 3}
        assert seen.most == 7
        assert not seen.wrong
        await world.sound(*jobs)


async def test_a_concurrency_changed_live_counts_for_commands_and_for_workers(worlds: Worlds) -> None:
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS="20") as world:
        world.configure(concurrency=1)
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        gate = world.gate()
        jobs = [await world.submit(plan("a", gate=gate.path)) for _ in range(6)]
        await world.event(jobs[0], "a", "started")
        assert len(await world.running()) == 1

        step = await change(world, "/v1/ingest/steps/a", concurrency=4)

        assert (step["name"], step["concurrency"]) == ("a", 4)
        for job in jobs[:4]:
            await world.event(job, "a", "started")  # the host has followed with its slots
        assert len(await world.running()) == 4
        refused = await world.ask("PATCH", "/v1/ingest/steps/z", json={"concurrency": 4})
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_step")
        gate.open()
        for job in jobs:
            await world.state(job, "COMPLETED")


async def test_what_was_changed_live_is_kept_when_all_die_and_when_the_broker_forgets_all(worlds: Worlds) -> None:
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS="2") as world:
        world.config.write_text("steps:\n  - name: a\nresource_limits:\n  gpu: 1\n")
        first = world.orchestrator()
        world.worker("a")
        await world.ready("a")
        await change(world, LIMITS, max_tokens=6)
        await change(world, "/v1/ingest/steps/a", concurrency=3)
        await change(world, "/v1/ingest/resource_limits", limits={"gpu": 2})

        first.kill()
        world.server.kill()
        world.server.start()
        world.orchestrator()
        await world.ready("a")
        assert await limits(world) == (6, 3, 2)

        world.server.kill()
        world.server.wipe()
        world.server.start()

        async def back() -> bool:
            return await limits(world) == (6, 3, 2)

        await world.until(back, "the limits are back")


async def limits(world: World) -> tuple[int, int, int]:
    """Tokens, the concurrency of the only step, and how many may hold the only tag."""
    tokens = (await world.ask("GET", LIMITS)).json()["max_tokens"]
    steps = (await world.ask("GET", "/v1/ingest/steps")).json()["steps"]
    tags = (await world.ask("GET", "/v1/ingest/resource_limits")).json()
    return tokens, sum(step["concurrency"] for step in steps), sum(tag["limit"] for tag in tags)


async def test_a_tag_limited_to_one_is_never_held_by_two(worlds: Worlds) -> None:
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS="8") as world, Observer(world) as seen:
        steps = "".join(f"  - name: {name}\n    concurrency: 8\n" for name in "abcd")
        world.config.write_text(f"steps:\n{steps}resource_limits:\n  gpu: 1\n")
        one = world.orchestrator()
        world.orchestrator()
        world.worker("a")
        world.worker("b")
        await world.ready("a", "b")
        seen.begin()
        tagged = {"resources": ["gpu"]}
        jobs = [await world.submit(plan("a", seconds=0.1, of_step=tagged)) for _ in range(10)]
        free = await world.submit(plan("b"))
        await world.state(free, "COMPLETED")
        holders = (await world.ask("GET", f"{LIMITS}/holders")).json()
        one.kill()

        for job in jobs:
            await world.state(job, "COMPLETED")
        assert seen.most_by_step["a"] == 1
        assert [tag["limit"] for tag in holders["tags"]] == [1]
        await world.sound(*jobs, free)
        starts = [event.job for event in await world.history() if (event.step, event.kind) == ("a", "started")]
        assert list(dict.fromkeys(starts)) == jobs


async def test_a_step_whose_service_died_lets_others_go_on_and_ends_its_own_when_it_is_back(worlds: Worlds) -> None:
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS="4") as world:
        world.configure(concurrency=4)
        world.orchestrator()
        world.orchestrator()
        dying = world.worker("a")
        world.worker("b")
        await world.ready("a", "b")
        gate = world.gate()
        hoarded = [await world.submit(plan("a", gate=gate.path)) for _ in range(4)]
        for job in hoarded:
            await world.event(job, "a", "started")
        others = [await world.submit(plan("b")) for _ in range(3)]
        dying.kill()

        for job in others:
            await world.state(job, "COMPLETED")
        assert len(await world.running()) <= 1
        gate.open()
        world.worker("a")
        for job in hoarded:
            await world.state(job, "COMPLETED")
        await world.sound(*hoarded, *others)
        reasons = [e.body["reason"] for e in await world.history() if e.kind == "failed"]
        assert set(reasons) == {"shutdown"}
        assert [(await world.step_of(job, "a"))["retries"] for job in hoarded] == [0, 0, 0, 0]


async def test_a_job_that_cannot_start_at_once_is_refused_when_it_asks_for_that(worlds: Worlds) -> None:
    async with worlds(CODESTORY_RESOURCE_MAX_TOKENS="1") as world:
        world.orchestrator()
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        gate = world.gate()

        def body() -> dict[str, Any]:
            steps = [plan("a", gate=gate.path)]
            return {"repository": world.repository(), "on_full": "fail", "pipeline": {"steps": steps}}

        answers = [await world.ask("POST", "/v1/ingest", json=body()) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [202, 429, 429]
        refused = answers[1]
        assert refused.json()["code"] == "throttled"
        assert "all 1 tokens are held" in refused.json()["detail"]
        assert refused.headers["retry-after"]
        gate.open()
        await world.state(answers[0].json()["id"], "COMPLETED")

        async def accepted() -> bool:
            return (await world.ask("POST", "/v1/ingest", json=body())).status_code == 202

        await wait_until(accepted, "there is room again", LIMIT)
