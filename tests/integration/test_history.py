"""The history of jobs from a real server: pages, what is dropped, what comes, how it ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

import pytest
import pytest_asyncio

from codestory.bus import Bus
from codestory.contracts.events import JobEnded
from codestory.contracts.history import JobEvent
from codestory.contracts.jobs import Attempt, Job, Repository
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import JobState
from codestory.testing import NatsServer, wait_until
from codestory_orchestrator import pipeline
from codestory_orchestrator.errors import EventsGone, JobNotFound, ServiceUnavailable, StepNotFound
from codestory_orchestrator.history.history import History
from codestory_orchestrator.history.place import Place
from codestory_orchestrator.history.reading import Reader
from codestory_orchestrator.retention import Retention
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.throttling.limits import Limits
from codestory_orchestrator.topology import Topology

pytestmark = pytest.mark.long

QUIET = 0.1


class Desk(NamedTuple):
    bus: Bus
    store: JobStore
    history: History
    settings: OrchestratorSettings

    async def job(self, name: str) -> Job:
        plan = (StepPlan(name="a"), StepPlan(name="b"))
        job = pipeline.make(name, Repository(id="r", name="shop", path="/srv/shop"), plan, at=self.bus.now())
        assert await self.store.write(job, 0)
        return job

    async def say(self, job: str, kind: str = "noted", step: str = "a", **said: object) -> int:
        return await self.bus.publish(self.bus.subject("evt", job, step, kind), dict(said))

    async def log(self, job: str, step: str, line: str) -> int:
        return await self.bus.publish(self.bus.subject("log", job, step), {"event": "step.output", "line": line})

    async def begins(self, name: str) -> int:
        """Its first event, and the record of that."""
        sequence = await self.say(name, "started")
        [event] = (await self.history.events(Place(name), 1)).events
        attempts = (Attempt(number=1, started_at=event.at),)
        await self.store.change(name, lambda job: job.having("a", attempts=attempts))
        return sequence

    async def end(self, name: str, *, announced: bool = True) -> None:
        at = self.bus.now()
        ended = {"state": JobState.COMPLETED, "ended_at": at}
        job = await self.store.change(name, lambda job: job.model_copy(update=ended))
        if announced:
            event = JobEnded(run=job.run, state=JobState.COMPLETED, at=at)
            await self.bus.publish(self.bus.subject("evt", name, "job", "ended"), event)

    async def told(self, place: Place) -> list[int]:
        feed = await self.history.follow_events(place, QUIET)
        assert feed.items
        async with asyncio.timeout(20), aclosing(feed.items) as events:
            return [event.seq async for event in events if event]


@pytest_asyncio.fixture
async def desk() -> AsyncGenerator[Desk]:
    server = NatsServer()
    server.start()
    settings = OrchestratorSettings(
        nats_url=server.url,
        namespace="history",
        nats_patience_seconds=2,
        nats_request_seconds=2,
        history_batch=3,
        history_poll_seconds=0.2,
        reconcile_seconds=0.2,
    )
    bus = Bus(settings, "test")
    try:
        await bus.connect()
        await Topology(bus, settings, Limits(bus, 1.0)).declare()
        await bus.sync_clock()
        bus.epoch = await bus.current_epoch()
        store = JobStore(bus)
        await store.mirror.start()
        yield Desk(bus, store, History(bus, store, settings), settings)
    finally:
        await bus.close()
        server.close()


async def test_pages_follow_each_other_and_hold_the_events_of_one_job_only(desk: Desk) -> None:
    await desk.job("j1")
    await desk.job("j10")
    mine = [await desk.say(name, step=step) for step in "ab" for name in ("j1", "j10", "j1")]
    expected = [mine[i] for i in (0, 2, 3, 5)]

    first = await desk.history.events(Place("j1"), 3)
    second = await desk.history.events(Place("j1", first.next_seq, first.epoch), 3)
    third = await desk.history.events(Place("j1", second.next_seq), 3)

    assert [event.seq for event in (*first.events, *second.events)] == expected
    assert (first.more, second.more, third.more) == (True, False, False)
    assert (third.events, third.next_seq) == ((), second.next_seq)
    assert {event.job for event in first.events} == {"j1"}


async def test_what_happens_meanwhile_is_told_at_once_and_the_feed_ends_with_the_job(desk: Desk) -> None:
    await desk.job("j1")
    before = [await desk.say("j1") for _ in range(5)]
    feed = await desk.history.follow_events(Place("j1"), 30)
    heard: list[JobEvent | None] = []

    async def hear() -> None:
        assert feed.items
        async with aclosing(feed.items) as events:
            async for event in events:
                heard.append(event)  # noqa: PERF401 - the test looks at it meanwhile

    hearing = asyncio.create_task(hear())

    async def has(count: int) -> bool:
        return len(heard) >= count

    await wait_until(lambda: has(5), "all that was there")
    after = [await desk.say("j1") for _ in range(4)]
    await wait_until(lambda: has(9), "all that came")
    await desk.end("j1")
    await asyncio.wait_for(hearing, 20)

    assert [event.seq for event in heard if event][:-1] == before + after
    assert heard[-1]
    assert (heard[-1].kind, heard[-1].step) == ("ended", "")


async def test_silence_is_told_too(desk: Desk) -> None:
    await desk.job("j1")
    feed = await desk.history.follow_events(Place("j1"), QUIET)
    assert feed.items

    async with aclosing(feed.items) as events:
        assert [await anext(events) for _ in range(2)] == [None, None]


async def test_whoever_knows_the_end_of_a_job_is_told_that_there_is_nothing_more(desk: Desk) -> None:
    await desk.job("j1")
    await desk.say("j1")
    await desk.end("j1")

    told = await desk.told(Place("j1"))
    again = await desk.history.follow_events(Place("j1", told[-1] + 1), QUIET)
    last = await desk.told(Place("j1", told[-1]))

    assert len(told) == 2
    assert again.items is None
    assert last == told[-1:]


async def test_the_end_of_an_earlier_run_is_not_the_end(desk: Desk) -> None:
    await desk.job("j1")
    await desk.end("j1")
    await desk.store.change("j1", lambda job: job.model_copy(update={"state": JobState.RUNNING, "run": 2}))
    feed = await desk.history.follow_events(Place("j1"), QUIET)
    assert feed.items

    async with asyncio.timeout(20), aclosing(feed.items) as events:
        first = await anext(events)
        assert await anext(events) is None
        await desk.end("j1")
        rest = [event async for event in events if event]

    assert first
    assert [event.data["run"] for event in (first, *rest)] == [1, 2]


async def test_an_end_that_nobody_says_is_not_waited_for(desk: Desk) -> None:
    await desk.job("j1")
    said = await desk.say("j1")
    await desk.end("j1", announced=False)

    assert await desk.told(Place("j1")) == [said]


async def test_a_gap_in_the_history_is_said_and_not_skipped(desk: Desk) -> None:
    await desk.job("j1")
    sequences = [await desk.begins("j1"), *[await desk.say("j1") for _ in range(5)]]
    await desk.bus.js.purge_stream(desk.bus.stream("EVENTS"), seq=sequences[3])  # as the limits of the stream do

    for start in (1, sequences[1], sequences[2]):
        with pytest.raises(EventsGone):
            await desk.history.events(Place("j1", start), 10)
        with pytest.raises(EventsGone):
            await desk.history.follow_events(Place("j1", start), QUIET)
    left = await desk.history.events(Place("j1"), 10)
    from_there = await desk.history.events(Place("j1", sequences[3]), 10)

    assert [event.seq for event in left.events] == sequences[3:]
    assert from_there.events == left.events


async def test_what_other_jobs_lost_is_no_gap_in_this_one(desk: Desk) -> None:
    first = await desk.job("j1")
    await desk.begins("j1")
    await desk.job("j2")
    mine = await desk.begins("j2")
    found = await desk.store.read(first.id)
    assert found
    assert await Retention(desk.bus, desk.store, desk.settings).forget("j1", found[1])

    told = await desk.history.events(Place("j2", 1), 10)

    assert [event.seq for event in told.events] == [mine]
    with pytest.raises(JobNotFound):
        await desk.history.events(Place("j1"), 10)


async def test_of_a_job_that_is_forgotten_no_line_and_no_span_is_left(desk: Desk) -> None:
    first = await desk.job("j1")
    await desk.log("j1", "a", "hello")
    await desk.bus.publish(desk.bus.subject("span", "j1", "a"), {"spans": []})
    await desk.bus.publish(desk.bus.subject("span", "j2", "a"), {"spans": []})
    found = await desk.store.read(first.id)
    assert found
    assert await Retention(desk.bus, desk.store, desk.settings).forget("j1", found[1])

    assert await desk.bus.subjects("LOGS", desk.bus.subject(">")) == {desk.bus.subject("span", "j2", "a")}


async def test_numbers_of_another_life_of_the_stream_are_refused(desk: Desk) -> None:
    await desk.job("j1")
    await desk.say("j1")
    epoch = (await desk.history.events(Place("j1"), 10)).epoch

    for place in (Place("j1", 1, epoch + 1), Place("j1", 1000), Place("j1", 0, epoch - 1)):
        with pytest.raises(EventsGone):
            await desk.history.events(place, 10)
    assert (await desk.history.events(Place("j1", 1, epoch), 10)).events


async def test_large_events_make_a_short_page(desk: Desk) -> None:
    await desk.job("j1")
    for _ in range(4):
        await desk.say("j1", text="x" * 5000)
    reader = Reader(desk.bus, "EVENTS", most=100, most_bytes=12_000, poll_seconds=1)

    page = await reader.page(desk.bus.subject("evt", "j1", "*", "*"), 1)

    assert 0 < len(page.messages) < 4
    assert page.more


async def test_log_lines_are_read_for_the_job_or_for_one_step(desk: Desk) -> None:
    await desk.job("j1")
    for step, line in (("a", "one"), ("b", "two"), ("a", "three")):
        await desk.log("j1", step, line)

    everything = await desk.history.logs(Place("j1"), 10)
    one_step = await desk.history.logs(Place("j1"), 10, step="a")

    assert [line.fields["line"] for line in everything.lines] == ["one", "two", "three"]
    assert [line.fields["line"] for line in one_step.lines] == ["one", "three"]
    with pytest.raises(StepNotFound):
        await desk.history.logs(Place("j1"), 10, step="c")


async def test_log_lines_are_followed_until_the_job_has_ended_and_a_moment_longer(desk: Desk) -> None:
    await desk.job("j1")
    await desk.log("j1", "a", "one")
    feed = await desk.history.follow_logs(Place("j1"), 30)
    assert feed.items

    async with asyncio.timeout(20), aclosing(feed.items) as lines:
        told = [await anext(lines)]
        await desk.end("j1")
        await desk.log("j1", "a", "late")
        told += [line async for line in lines]
    last = told[-1]
    assert last
    again = await desk.history.follow_logs(Place("j1", last.seq + 1), QUIET)

    assert [line.fields["line"] for line in told if line] == ["one", "late"]
    assert again.items is None


async def test_before_the_orchestrator_is_ready_nothing_is_told(desk: Desk) -> None:
    await desk.job("j1")
    desk.bus.epoch = 0

    with pytest.raises(ServiceUnavailable):
        await desk.history.events(Place("j1"), 10)
