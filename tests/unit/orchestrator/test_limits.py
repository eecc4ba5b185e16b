"""Tokens, concurrency and tags: how many commands are admitted, which, and who holds what."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from codestory.contracts.commands import RunStep
from codestory.contracts.events import StepStarted
from codestory.contracts.jobs import Job
from codestory.contracts.values import Priority
from codestory.testing import NatsServer, wait_until
from codestory.testing_bus import out_of_order
from codestory_orchestrator.testing import Desk
from codestory_orchestrator.throttling.admission import Look

Open = Callable[..., Awaitable[Desk]]


@pytest.fixture
def server() -> Iterator[NatsServer]:
    server = NatsServer()
    server.start()
    yield server
    server.close()


@pytest_asyncio.fixture
async def open_desk(server: NatsServer) -> AsyncGenerator[Open]:
    desks: list[Desk] = []

    async def opened(name: str = "one", **settings: Any) -> Desk:
        desks.append(Desk(server.url, name, **settings))
        desk = await desks[-1].open()
        await wait_until(desk.knows_all, "all steps are known")
        return desk

    yield opened
    for desk in desks:
        await desk.close()


def slowed(look: Callable[[], Awaitable[Look]]) -> Callable[[], Awaitable[Look]]:
    """As on a busy machine."""

    async def slowly() -> Look:
        await asyncio.sleep(0.2)
        return await look()

    return slowly


async def until_admitted(desk: Desk, *names: str) -> None:
    """Exactly these, in any order."""
    seen: list[str] = []

    async def so() -> bool:
        seen[:] = await desk.admitted()
        return set(seen) == set(names)

    try:
        await wait_until(so, f"{names} are admitted")
    except AssertionError as error:
        raise AssertionError(f"{error}, but {seen}") from error


# tags


async def test_a_tag_is_held_by_no_more_than_may_however_many_orchestrators_admit_at_once(open_desk: Open) -> None:
    one = await open_desk("one", tags={"gpu": 2}, resource_max_tokens=50, steps={"a": 50, "b": 50})
    two = await open_desk("two", tags={"gpu": 2}, resource_max_tokens=50, steps={"a": 50, "b": 50})
    await one.alive("a", "b")
    jobs: list[tuple[Desk, Job, list[RunStep]]] = []
    for i in range(12):
        desk = (one, two)[i % 2]
        jobs.append((desk, await desk.job(f"j{i}", "ab"[i // 2 % 2], "gpu"), desk.commands))

    done = await asyncio.gather(*(desk.dispatcher.admit_now(job, commands[0]) for desk, job, commands in jobs))

    assert sum(done) == 2
    assert len(await one.admitted()) == 2


async def test_a_full_tag_holds_up_only_who_needs_it_and_those_in_the_order_in_which_they_came(
    open_desk: Open,
) -> None:
    desk = await open_desk(tags={"gpu": 1})
    await desk.alive("a", "b")
    await desk.submit("g1", "a", "gpu")
    await until_admitted(desk, "g1")
    for name, step in (("g2", "a"), ("g3", "b"), ("g4", "a")):
        await desk.submit(name, step, "gpu")
    await desk.submit("free", "a")

    await until_admitted(desk, "g1", "free")
    for before, after in (("g1", "g2"), ("g2", "g3"), ("g3", "g4")):
        await desk.end(before)
        await until_admitted(desk, "free", after)

    assert await desk.waiting() == set()


async def test_what_waits_for_a_tag_is_taken_over_by_another_orchestrator(open_desk: Open) -> None:
    one = await open_desk("one", tags={"gpu": 1})
    await one.alive("a")
    await one.submit("g1", "a", "gpu")
    await one.submit("g2", "a", "gpu")
    await until_admitted(one, "g1")
    await one.close()

    two = await open_desk("two", tags={"gpu": 1})
    await two.end("g1")

    await until_admitted(two, "g2")


async def test_the_urgent_get_a_tag_before_those_who_have_waited_longer(open_desk: Open) -> None:
    desk = await open_desk(tags={"gpu": 1})
    await desk.alive("a", "b")
    await desk.submit("g1", "a", "gpu")
    await until_admitted(desk, "g1")
    await desk.submit("low", "a", "gpu", priority=Priority.LOW)
    await desk.submit("default", "b", "gpu")
    await desk.submit("high", "b", "gpu", priority=Priority.HIGH)

    for before, after in (("g1", "high"), ("high", "default"), ("default", "low")):
        await desk.end(before)
        await until_admitted(desk, after)


async def test_one_that_waits_for_two_tags_is_not_overtaken_for_ever_by_those_that_need_one(open_desk: Open) -> None:
    desk = await open_desk(tags={"gpu": 1, "licence": 1})
    await desk.alive("a", "b")
    await desk.submit("g1", "a", "gpu")
    await desk.submit("l1", "b", "licence")
    await until_admitted(desk, "g1", "l1")
    await desk.submit("both", "a", "gpu", "licence")
    await desk.submit("l2", "b", "licence")

    await desk.end("l1")
    await desk.submit("free", "b")
    await until_admitted(desk, "g1", "free")
    await desk.end("g1")

    await until_admitted(desk, "free", "both")
    await desk.end("both")
    await until_admitted(desk, "free", "l2")


async def test_what_is_taken_out_of_ready_while_it_waits_for_a_tag_is_not_admitted(open_desk: Open) -> None:
    desk = await open_desk(tags={"gpu": 1})
    await desk.alive("a")
    for name in ("g1", "gone", "g3"):
        await desk.submit(name, "a", "gpu")
    await desk.submit("free", "a")
    await until_admitted(desk, "g1", "free")

    await desk.bus.purge("READY", desk.bus.subject("ready", "*", "a", "gone"))
    await desk.end("g1")

    await until_admitted(desk, "free", "g3")
    assert await desk.waiting() == set()


async def test_a_limit_of_a_tag_changes_live_and_the_later_of_two_changes_counts(open_desk: Open) -> None:
    desk = await open_desk(tags={"gpu": 1})
    await desk.alive("a")
    for i in range(4):
        await desk.submit(f"g{i}", "a", "gpu")
    await until_admitted(desk, "g0")

    await desk.limits.set_tags({"gpu": 3}, desk.tags)
    await until_admitted(desk, "g0", "g1", "g2")
    same = await open_desk("same", tags={"gpu": 1})
    assert same.limits.tags == {"gpu": 3}
    edited = await open_desk("edited", tags={"gpu": 2})
    assert edited.limits.tags == {"gpu": 2}
    await desk.limits.set_tags({"gpu": None}, desk.tags)

    assert desk.limits.tags == {"gpu": 1}


async def test_a_tag_that_is_no_longer_in_the_file_is_not_limited_and_one_that_never_was_stays_as_set(
    open_desk: Open,
) -> None:
    desk = await open_desk(tags={"gpu": 1})
    await desk.limits.set_tags({"licence": 5}, desk.tags)

    other = await open_desk("other", tags={})

    assert other.limits.tags == {"licence": 5}


# tokens and concurrency


async def test_tokens_and_concurrency_changed_live_count_at_once_and_stay_for_who_comes_later(
    open_desk: Open,
) -> None:
    desk = await open_desk(resource_max_tokens=2)
    await desk.alive("a", "b")
    for i in range(6):
        await desk.submit(f"j{i}", "a")
    await until_admitted(desk, "j0", "j1")

    await desk.limits.set_tokens(9)
    await until_admitted(desk, "j0", "j1", "j2", "j3")
    await desk.limits.set_concurrency("a", 5)
    await until_admitted(desk, "j0", "j1", "j2", "j3", "j4")
    later = await open_desk("later", resource_max_tokens=2)

    assert (await later.tokens(), await later.concurrency("a")) == (9, 5)
    for former in (desk, later):  # while they live they would put back what their own file says
        await former.close()
    edited = await open_desk("edited", resource_max_tokens=3, steps={"a": 2, "b": 4})
    assert (await edited.tokens(), await edited.concurrency("a")) == (3, 2)


async def test_fewer_tokens_than_are_held_end_nothing_and_admit_nothing_until_there_is_room(open_desk: Open) -> None:
    desk = await open_desk(resource_max_tokens=3)
    await desk.alive("a", "b")
    for i in range(5):
        await desk.submit(f"j{i}", "ab"[i % 2])
    await until_admitted(desk, "j0", "j1", "j2")

    await desk.limits.set_tokens(1)
    await desk.end("j0", "j1")
    assert await desk.admitted() == ["j2"]
    await desk.end("j2")

    await wait_until(lambda: _count(desk, 1), "one more is admitted")


async def _count(desk: Desk, count: int) -> bool:
    return len(await desk.admitted()) == count


async def test_all_that_was_changed_live_outlives_the_storage_of_the_broker(
    server: NatsServer, open_desk: Open
) -> None:
    desk = await open_desk(tags={"gpu": 1}, resource_max_tokens=2)
    await desk.alive("a")
    await desk.limits.set_tokens(7)
    await desk.limits.set_concurrency("a", 3)
    await desk.limits.set_tags({"gpu": 2}, desk.tags)
    server.kill()
    server.wipe()
    server.start()
    await wait_until(lambda: _connected(desk), "reconnected")
    # One that remembers nothing is the first to declare.
    fresh = await open_desk("fresh", tags={"gpu": 1}, resource_max_tokens=2)
    assert (await fresh.tokens(), await fresh.concurrency("a"), fresh.limits.tags) == (2, 4, {"gpu": 1})

    await desk.topology.declare()
    await desk.registry.forget()
    await desk.limits.restore()

    assert (await desk.tokens(), await desk.concurrency("a"), desk.limits.tags) == (7, 3, {"gpu": 2})
    await wait_until(lambda: _tags(fresh, {"gpu": 2}), "the other has heard of it")


async def _connected(desk: Desk) -> bool:
    return desk.bus.connected


async def _tags(desk: Desk, tags: dict[str, int]) -> bool:
    return desk.limits.tags == tags


async def test_what_an_operator_changes_by_other_means_is_remembered_too(open_desk: Open) -> None:
    desk = await open_desk(resource_max_tokens=2)
    config = (await desk.bus.js.stream_info(desk.bus.stream("RUN"))).config
    await desk.bus.js.update_stream(config.evolve(max_msgs=6))

    await desk.limits.observe(["a"])
    noted = await desk.bus.value("limits", "tokens")
    assert noted
    assert noted.body == {"value": 6, "setting": 2}
    await desk.limits.set_tokens(2)

    assert await desk.bus.value("limits", "tokens") is None


# who gets the tokens


async def test_steps_with_a_living_worker_come_before_those_without(open_desk: Open) -> None:
    desk = await open_desk(resource_max_tokens=1)
    await desk.alive("a", "b")
    await desk.submit("j0", "b")
    await until_admitted(desk, "j0")
    await desk.submit("dead", "a", priority=Priority.HIGH)
    await desk.submit("living", "b", priority=Priority.LOW)
    await desk.dead("a")
    await wait_until(lambda: _silent(desk, "a", 0.01), "a is seen to be dead")

    await desk.end("j0")
    await until_admitted(desk, "living")
    await desk.end("living")

    await until_admitted(desk, "dead")


async def _silent(desk: Desk, step: str, seconds: float) -> bool:
    await desk.registry.living()
    return desk.registry.silent_for(step) >= seconds


async def test_what_a_dead_step_has_taken_goes_back_but_for_one_and_that_one_when_others_are_in_need(
    open_desk: Open,
) -> None:
    desk = await open_desk(resource_max_tokens=4, presence_seconds=0.5)
    await desk.alive("a", "b")
    for i in range(4):
        await desk.submit(f"a{i}", "a")
    await until_admitted(desk, "a0", "a1", "a2", "a3")
    await wait_until(lambda: _silent(desk, "a", 0.5), "a is dead")

    await tend(desk)
    await until_admitted(desk, "a0")
    ended = [await desk.bus.last("EVENTS", desk.bus.events_of(f"a{i}", "a")) for i in range(4)]
    assert [event.body["reason"] if event else None for event in ended] == [None, *["shutdown"] * 3]
    await desk.alive("b")
    await desk.limits.set_tokens(1)
    await desk.submit("b0", "b")
    await desk.alive("b")
    await tend(desk)

    await until_admitted(desk, "b0")


async def test_a_dead_step_keeps_no_tag_from_one_that_lives(open_desk: Open) -> None:
    desk = await open_desk(tags={"gpu": 1}, presence_seconds=0.5)
    await desk.alive("a", "b")
    await desk.submit("a0", "a", "gpu")
    await until_admitted(desk, "a0")
    await wait_until(lambda: _silent(desk, "a", 0.5), "a is dead")
    await tend(desk)
    assert await desk.admitted() == ["a0"]

    await desk.alive("b")
    await desk.submit("b0", "b", "gpu")
    await wait_until(lambda: _lives(desk, "b"), "b is seen to live")
    await tend(desk)

    await until_admitted(desk, "b0")


async def _lives(desk: Desk, step: str) -> bool:
    return step in await desk.registry.lately_living()


async def test_nothing_is_taken_from_a_step_that_only_seemed_dead_while_the_broker_was_away(
    server: NatsServer, open_desk: Open
) -> None:
    desk = await open_desk(resource_max_tokens=4, presence_seconds=0.5)
    await desk.alive("a")
    for i in range(2):
        await desk.submit(f"a{i}", "a")
    await until_admitted(desk, "a0", "a1")
    await wait_until(lambda: _silent(desk, "a", 0.5), "a seems dead")

    server.kill()
    server.start()
    await wait_until(lambda: _connected(desk), "reconnected")
    await desk.dispatcher.forget()
    await tend(desk)

    assert set(await desk.admitted()) == {"a0", "a1"}


async def tend(desk: Desk) -> None:
    """A round of the reconciler, while it is this one that fills RUN."""

    async def leads() -> bool:
        return desk.dispatcher.leads

    await wait_until(leads, "it fills RUN")
    await desk.dispatcher.tend()


# at once or not at all


async def test_only_as_many_are_admitted_at_once_as_there_is_room_for_and_the_others_are_told_why(
    open_desk: Open,
) -> None:
    one, two = await open_desk("one"), await open_desk("two")
    await one.alive("a", "b")
    assert await one.dispatcher.room_for(["a", "b"]) == ""
    jobs: list[tuple[Desk, Job, list[RunStep]]] = []
    for i in range(8):
        desk = (one, two)[i % 2]
        jobs.append((desk, await desk.job(f"j{i}", "a"), desk.commands))

    done = await asyncio.gather(*(desk.dispatcher.admit_now(job, commands[0]) for desk, job, commands in jobs))

    assert sum(done) == 4 == len(await one.admitted())
    assert await two.dispatcher.room_for(["b"]) == "all 4 tokens are held"
    await one.limits.set_tokens(6)
    assert "as many runs of the step 'a'" in await one.dispatcher.room_for(["a"])
    assert await one.dispatcher.room_for(["b"]) == ""
    await one.limits.set_concurrency("b", 1)
    assert "may be at once (1)" in await one.dispatcher.room_for(["b", "b"])


async def test_a_job_that_wants_to_start_at_once_does_not_pass_who_waits_for_its_tag(open_desk: Open) -> None:
    desk = await open_desk(tags={"gpu": 1})
    await desk.alive("a")
    await desk.submit("g1", "a", "gpu")
    await until_admitted(desk, "g1")
    job = await desk.job("g2", "a", "gpu")

    assert not await desk.dispatcher.admit_now(job, desk.commands[0])
    why = await desk.dispatcher.room_for(["a"], job)
    assert why == "the resource 'gpu' is held, or waited for, by 1 steps, and 1 may hold it"


# order


async def test_a_command_rises_by_one_priority_for_each_age_that_it_waits(open_desk: Open) -> None:
    desk = await open_desk(priority_age_seconds=600, resource_max_tokens=1)
    job = await desk.job("old", "a", priority=Priority.LOW)

    def waited(seconds: float) -> Priority:
        at = desk.bus.now() - timedelta(seconds=seconds)
        return desk.dispatcher.priority_of(job.having("a", ready_at=at), "a")

    assert [waited(s) for s in (1, 610, 1210, 9999)] == [Priority.LOW, Priority.DEFAULT, Priority.HIGH, Priority.HIGH]


async def test_the_urgent_come_first_whichever_of_two_orchestrators_heard_of_them(
    open_desk: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the one that admits goes on to: there is always something to admit, for longer than its lease."""
    one, two = [await open_desk(name, dispatch_lease_seconds=3) for name in ("one", "two")]
    for desk in (one, two):
        monkeypatch.setattr(desk.dispatcher.admission, "look", slowed(desk.dispatcher.admission.look))
    await one.alive("a", "b")
    for i in range(4):
        await one.submit(f"holder{i}", "a")
    await until_admitted(one, *(f"holder{i}" for i in range(4)))
    ranks: dict[str, int] = {}
    for i in range(90):
        rank = 2 - i % 3
        name = await (one, two)[i // 3 % 2].submit(f"j{i:02}", "ab"[i // 6 % 2], priority=tuple(Priority)[rank])
        ranks[name] = rank
    seen: dict[str, int] = {}
    leaders: set[bytes] = set()

    async def all_seen() -> bool:
        """What is admitted ends at once, and more is."""
        lease = await one.bus.last("KV_lease", one.bus.key("lease", "dispatcher"))
        leaders.add(lease.data if lease else b"")
        for subject in await one.bus.subjects("RUN", one.bus.subject("run.>")):
            if admitted := await one.bus.last("RUN", subject):
                *_, step, job = subject.split(".")
                seen[job] = admitted.sequence
                await one.dispatcher.free(step, admitted.sequence)
        return len(seen) == 94

    await wait_until(all_seen, "all are admitted", 60)
    order = sorted(ranks, key=lambda name: seen[name])
    assert out_of_order([ranks[name] for name in order]) == 0
    assert len(leaders) == 1
    for step in (0, 1):
        for rank in range(3):
            line = [name for name in order if ranks[name] == rank and int(name[1:]) // 6 % 2 == step]
            assert line == sorted(line)


# who holds what


async def test_each_token_shows_its_holder_the_longest_first(open_desk: Open) -> None:
    desk = await open_desk(tags={"gpu": 1, "licence": 2})
    await desk.alive("a", "b")
    await desk.submit("j1", "a", "gpu", "fan")
    await until_admitted(desk, "j1")
    await desk.submit("j2", "b", priority=Priority.HIGH)
    await until_admitted(desk, "j1", "j2")
    started = StepStarted(attempt=1, worker="w-7", at=desk.bus.now(), delivery=(1, 1))
    await desk.bus.event("j1", "a", started, after=0)

    holders = await desk.holders.list()

    assert (holders.available_tokens, holders.max_tokens) == (2, 4)
    assert [(h.job, h.step, h.worker, h.resources) for h in holders.holders] == [
        ("j1", "a", "w-7", ("gpu", "fan")),
        ("j2", "b", "", ()),
    ]
    assert holders.holders[0].since <= holders.holders[1].since <= desk.bus.now() + timedelta(seconds=5)
    assert holders.holders[1].priority is Priority.HIGH
    assert [(tag.tag, tag.limit, tag.held) for tag in holders.tags] == [("gpu", 1, 1), ("licence", 2, 0)]
