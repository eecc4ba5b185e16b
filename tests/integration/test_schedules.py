"""Schedules on a real server: one occurrence, one job, whoever dies and whatever comes twice."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
import pytest_asyncio

from codestory import cancelling
from codestory.bus import LOST, Bus
from codestory.contracts.api import JobView, SubmitJob
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.plans import StepPlan
from codestory.contracts.schedules import ChangeSchedule, CreateSchedule, Schedule
from codestory.contracts.values import JobState
from codestory.testing import NatsServer, wait_until
from codestory_orchestrator import pipeline
from codestory_orchestrator.errors import (
    ChangedMeanwhile,
    RepositoryRefused,
    ScheduleInvalid,
    ScheduleNotFound,
    UnknownStep,
)
from codestory_orchestrator.scheduling import occurrences
from codestory_orchestrator.scheduling.cron import following
from codestory_orchestrator.scheduling.schedules import Schedules
from codestory_orchestrator.scheduling.timers import Timers
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.throttling.limits import Limits
from codestory_orchestrator.topology import Topology
from codestory_orchestrator.views import job_view

#: Of a schedule whose next time is always far.
YEARLY = "0 0 1 1 *"
#: Bytes. The server reserves them for each of the namespaces.
SMALL = 1024 * 1024
REQUEST = SubmitJob(repository="/srv/shop")


class DiedError(BaseException):
    """Stands for the end of the process."""


class Jobs:
    """Makes the records of jobs that nobody runs."""

    def __init__(self, store: JobStore, refusals: list[Exception]) -> None:
        self.store, self.refusals = store, refusals

    async def check(self, request: SubmitJob) -> None:
        pass

    async def submit(self, request: SubmitJob, *, job_id: str = "", schedule: str = "", owner: str = "") -> JobView:
        if self.refusals:
            raise self.refusals.pop(0)
        found = await self.store.read(job_id)
        if not found:
            repository = Repository(id="1", name="shop", path=request.repository)
            plan, at = (StepPlan(name="scan"),), self.store.bus.now()
            job = pipeline.make(job_id, repository, plan, at=at, schedule=schedule, owner=owner)
            await self.store.write(job, 0)
            found = job, 1
        return job_view(*found)


class Peer:
    """The parts of an orchestrator that keep schedules. It dies just before the write that `point` names."""

    def __init__(self, settings: OrchestratorSettings, point: str = "") -> None:
        self.writes: list[str] = []
        self.due: list[str] = []
        self.refusals: list[Exception] = []
        self._point = point
        self.bus = Bus(settings, "peer", self._before_write)
        self.store = JobStore(self.bus)
        self.timers = Timers(self.bus)
        self.schedules = Schedules(self.bus, self.store, self.timers, Jobs(self.store, self.refusals), self._on_due)
        self.hearing: asyncio.Task[None] | None = None

    def _before_write(self, what: str) -> None:
        if not self.hearing:
            return
        self.writes.append(what)
        if f"{what}#{self.writes.count(what)}" == self._point:
            raise DiedError

    async def _on_due(self, job_id: str) -> None:
        self.due.append(job_id)

    async def start(self) -> "Peer":
        await self.bus.connect()
        await Topology(self.bus, self.bus.settings, Limits(self.bus, 5.0)).declare()  # type: ignore[arg-type]  # ours are its settings
        await self.bus.sync_clock()
        await self.store.mirror.start()
        await self.schedules.start()
        self.bus.epoch = await self.bus.current_epoch()
        return self

    def work(self) -> None:
        self.hearing = asyncio.create_task(self._work())

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever(self.schedules.hear))
            group.create_task(self._forever(self._mend))

    async def _mend(self) -> None:
        await self.schedules.mend(await self.timers.pending())
        await asyncio.sleep(0.2)

    async def _forever(self, work: Callable[[], object]) -> None:
        while not cancelling.cancelled():
            try:
                await work()  # type: ignore[misc]  # a coroutine function
            except LOST:
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        if self.hearing:
            await cancelling.end(self.hearing)
        await self.bus.close()

    # what a test asks

    async def soon(self, seconds: float, cron: str = YEARLY, last_job: str = "") -> Schedule:
        """A schedule that occurs so many seconds from now, or ago, and then as `cron` says."""
        at = self.bus.now()
        schedule = Schedule(
            id=f"s{secrets.token_hex(8)}",
            job=REQUEST,
            cron=cron,
            created_at=at,
            next_at=at + timedelta(seconds=seconds),
            last_job=last_job,
        )
        assert await self.schedules.records.write(schedule)
        await self.schedules.mend(set())
        return schedule

    async def now_is(self, schedule: Schedule) -> Schedule:
        return await self.schedules.show(schedule.id)

    async def occurred(self, schedule: Schedule) -> Schedule:
        """As it is once the occurrence that it waits for is behind it and answered."""
        seen = schedule

        async def behind() -> bool:
            nonlocal seen
            assert not self.hearing or not self.hearing.done(), "it works no more"
            seen = await self.now_is(schedule)
            due = await self.bus.subjects("READY", self.bus.subject("due.>"))
            return seen.last_at == schedule.next_at and not due

        await wait_until(behind, "the occurrence is behind it")
        return seen

    async def jobs_of(self, schedule: Schedule) -> list[Job]:
        await self.store.mirror.list()
        return [job for job, _ in self.store.newest(1000) if job.schedule == schedule.id]

    async def sound(self, schedule: Schedule) -> None:
        """One job came of its occurrence, all know, and the next one will come."""
        seen = await self.occurred(schedule)
        assert schedule.next_at
        assert [job.id for job in await self.jobs_of(schedule)] == [occurrences.job_id(schedule, schedule.next_at)]
        assert (seen.made, seen.left_out, seen.problem) == (1, 0, "")
        assert seen.next_at == following(seen.cron, seen.time_zone, self.bus.now())

        async def set_for_the_next() -> bool:
            return await self.timer_of(schedule) == seen.next_at

        await wait_until(set_for_the_next, "the next timer is set")

    async def timer_of(self, schedule: Schedule) -> datetime | None:
        held = await self.bus.last("READY", self.bus.subject("sched", schedule.id, "job"))
        return datetime.fromisoformat(held.headers["Nats-Schedule"].removeprefix("@at ")) if held else None


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    server = NatsServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def settings(server: NatsServer) -> OrchestratorSettings:
    """A namespace of the test's own. What was not answered comes again after a second."""
    return OrchestratorSettings(
        nats_url=server.url,
        namespace=f"test{secrets.token_hex(6)}",
        ack_wait_seconds=1,
        nats_request_seconds=1,
        nats_patience_seconds=5,
        events_max_bytes=SMALL,
        logs_max_bytes=SMALL,
        snapshots_max_bytes=SMALL,
    )


@asynccontextmanager
async def peering(settings: OrchestratorSettings, point: str = "") -> AsyncGenerator[Peer]:
    peer = Peer(settings, point)
    try:
        yield await peer.start()
    finally:
        await peer.close()


@pytest_asyncio.fixture
async def peer(settings: OrchestratorSettings) -> AsyncGenerator[Peer]:
    async with peering(settings) as peer:
        yield peer


async def test_an_occurrence_makes_one_job_whichever_of_its_writes_is_the_last_of_a_process(
    settings: OrchestratorSettings, peer: Peer
) -> None:
    """The first telling shows what is written. Then one process dies before each of these, and another takes over."""
    async with peering(settings) as told:
        told.work()
        await told.sound(await peer.soon(0.1))
    writes = {"record", "schedule", "timer", "ack-due"}
    assert set(told.writes) == writes
    for what in writes:
        async with peering(settings, f"{what}#1") as victim, peering(settings) as other:
            schedule = await peer.soon(0.1)
            victim.work()
            assert victim.hearing
            with pytest.raises(BaseExceptionGroup):
                await asyncio.wait_for(victim.hearing, 20)
            other.work()
            await peer.sound(schedule)


async def test_two_orchestrators_make_one_job_of_each_of_many_occurrences(settings: OrchestratorSettings) -> None:
    async with peering(settings) as one, peering(settings) as other:
        one.work()
        other.work()
        schedules = [await one.soon(1) for _ in range(20)]
        for schedule in schedules:
            await one.sound(schedule)


async def test_an_occurrence_comes_when_nobody_was_there_at_its_time(
    settings: OrchestratorSettings, peer: Peer
) -> None:
    schedule = await peer.soon(0.1)

    async def fired() -> bool:
        return bool(await peer.bus.subjects("READY", peer.bus.subject("due.>")))

    await wait_until(fired, "the server has brought it")
    async with peering(settings) as later:
        later.work()
        await later.sound(schedule)


async def test_of_many_times_that_were_missed_one_job_comes(peer: Peer) -> None:
    schedule = await peer.soon(-3 * 3600, cron="* * * * *")
    peer.work()
    await peer.sound(schedule)


async def test_a_lost_timer_is_set_again(peer: Peer) -> None:
    schedule = await peer.soon(3600)
    await peer.timers.clear(schedule.id)
    assert await peer.timer_of(schedule) is None
    peer.work()

    async def back() -> bool:
        return await peer.timer_of(schedule) == schedule.next_at

    await wait_until(back, "it is set again")


async def test_an_occurrence_that_the_record_knows_already_makes_no_second_job(peer: Peer) -> None:
    """Its message comes again, as it does when the answer was lost."""
    peer.work()
    schedule = await peer.soon(0.1)
    await peer.sound(schedule)
    assert schedule.next_at
    await peer.bus.publish(peer.bus.subject("due", schedule.id), schedule.next_at.isoformat().encode())
    await peer.sound(schedule)


async def test_an_occurrence_while_the_job_before_still_runs_is_left_out(peer: Peer) -> None:
    peer.work()
    first = await peer.soon(0.1)
    await peer.sound(first)
    running = (await peer.now_is(first)).last_job
    second = await peer.soon(0.1, last_job=running)

    seen = await peer.occurred(second)
    assert (seen.made, seen.left_out, seen.last_job) == (0, 1, running)
    assert running in seen.problem
    assert await peer.jobs_of(second) == []

    ended = {"state": JobState.STOPPED, "ended_at": peer.bus.now()}
    await peer.store.change(running, lambda job: job.model_copy(update=ended))
    third = await peer.soon(0.1, last_job=running)
    await peer.sound(third)


async def test_a_request_that_is_refused_is_told_and_the_next_time_comes_all_the_same(peer: Peer) -> None:
    peer.refusals.append(RepositoryRefused("The repository is not a directory."))
    peer.work()
    schedule = await peer.soon(0.1)
    seen = await peer.occurred(schedule)
    assert (seen.made, seen.left_out, seen.last_job) == (0, 0, "")
    assert seen.problem == "repository_refused: The repository is not a directory."
    assert seen.next_at == following(YEARLY, "UTC", peer.bus.now())


async def test_a_bug_that_one_request_meets_is_told_and_ends_nobody(peer: Peer) -> None:
    peer.refusals.append(ZeroDivisionError())
    peer.work()
    seen = await peer.occurred(await peer.soon(0.1))
    assert seen.problem.startswith("internal_error: ")


async def test_a_step_that_is_only_starting_is_asked_for_again(peer: Peer) -> None:
    peer.refusals.append(UnknownStep("The pipeline has no", ["scan"], []))
    peer.work()
    await peer.sound(await peer.soon(0.1))


async def test_a_step_that_does_not_come_is_told(peer: Peer) -> None:
    peer.refusals.extend([UnknownStep("The pipeline has no", ["scan"], [])] * 2)
    peer.work()
    seen = await peer.occurred(await peer.soon(0.1))
    assert seen.problem.startswith("unknown_step: ")


async def test_a_paused_schedule_has_no_timer_until_it_goes_on(peer: Peer) -> None:
    made = await peer.schedules.create(CreateSchedule(job=REQUEST, cron="*/5 * * * *", time_zone="Europe/Berlin"))
    assert await peer.timer_of(made) == made.next_at == following("*/5 * * * *", "UTC", made.created_at)

    for _ in range(2):  # asked twice, the same answer
        paused = await peer.schedules.change(made.id, ChangeSchedule(paused=True))
        assert (paused.paused, paused.next_at) == (True, None)
        assert await peer.timers.pending() == set()
        await peer.schedules.mend(set())
        assert await peer.timers.pending() == set()

    going = await peer.schedules.change(made.id, ChangeSchedule(paused=False))
    assert going.next_at == following("*/5 * * * *", "UTC", peer.bus.now())
    assert await peer.timer_of(made) == going.next_at


async def test_other_times_move_the_timer(peer: Peer) -> None:
    made = await peer.schedules.create(CreateSchedule(job=REQUEST, cron=YEARLY))
    moved = await peer.schedules.change(made.id, ChangeSchedule(time_zone="America/New_York"))
    assert made.next_at
    assert moved.next_at
    assert moved.next_at - made.next_at == timedelta(hours=5)
    assert await peer.timer_of(made) == moved.next_at
    with pytest.raises(ScheduleInvalid, match="'Europe/Berlin'"):
        await peer.schedules.change(made.id, ChangeSchedule(time_zone="Berlin"))
    assert await peer.now_is(made) == moved


async def test_a_deleted_schedule_is_gone_and_what_its_timer_had_brought_makes_nothing(peer: Peer) -> None:
    schedule = await peer.soon(0.1)

    async def fired() -> bool:
        return bool(await peer.bus.subjects("READY", peer.bus.subject("due.>")))

    await wait_until(fired, "the server has brought it")
    await peer.schedules.records.delete(schedule.id)  # and here the process dies
    peer.work()

    async def cleared() -> bool:
        return await peer.timers.pending() == set()

    await wait_until(cleared, "nothing is left")
    assert await peer.jobs_of(schedule) == []
    assert await peer.schedules.list_schedules() == []
    for ask in (peer.schedules.show, peer.schedules.delete):
        with pytest.raises(ScheduleNotFound):
            await ask(schedule.id)
    with pytest.raises(ScheduleNotFound):
        await peer.schedules.change("repo.x", ChangeSchedule(paused=True))


async def test_a_schedule_that_was_deleted_between_two_writes_leaves_no_timer(peer: Peer) -> None:
    schedule = await peer.soon(3600)
    await peer.schedules.records.delete(schedule.id)
    await peer.schedules.mend(await peer.timers.pending())
    assert await peer.timers.pending() == set()


async def test_of_many_changes_of_a_schedule_on_one_condition_one_is_made(
    settings: OrchestratorSettings, peer: Peer
) -> None:
    made = await peer.schedules.create(CreateSchedule(job=REQUEST, cron=YEARLY))
    known = frozenset({made.revision})
    crons = [f"{minute} 0 1 1 *" for minute in range(1, 11)]

    async with peering(settings) as other:
        answers = await asyncio.gather(
            *(
                (peer, other)[number % 2].schedules.change(made.id, ChangeSchedule(cron=cron), known)
                for number, cron in enumerate(crons)
            ),
            return_exceptions=True,
        )

    [changed] = [answer for answer in answers if isinstance(answer, Schedule)]
    assert all(isinstance(answer, ChangedMeanwhile) for answer in answers if answer is not changed)
    assert await peer.schedules.show(made.id) == changed
    assert changed.revision > made.revision
    assert await peer.schedules.list_schedules() == [changed]
    with pytest.raises(ChangedMeanwhile):
        await peer.schedules.delete(made.id, known)
    await peer.schedules.delete(made.id, frozenset({changed.revision}))
    assert await peer.schedules.list_schedules() == []


async def test_schedules_are_listed_the_newest_first_by_every_orchestrator(
    settings: OrchestratorSettings, peer: Peer
) -> None:
    made = [await peer.schedules.create(CreateSchedule(job=REQUEST, cron=YEARLY, title=str(i))) for i in range(3)]
    async with peering(settings) as other:
        assert [seen.id for seen in await other.schedules.list_schedules()] == [one.id for one in reversed(made)]


async def test_the_timer_of_a_job_is_told_by_its_id_once_it_is_due(peer: Peer) -> None:
    peer.work()
    at = peer.bus.now() + timedelta(seconds=0.2)
    for _ in range(2):
        await peer.timers.set("0123456789abcdef", at)
    assert await peer.timers.pending() == {"0123456789abcdef"}

    async def told() -> bool:
        return bool(peer.due) and await peer.timers.pending() == set()

    await wait_until(told, "it was told and answered")
    assert peer.due == ["0123456789abcdef"]
    assert peer.bus.now() >= at


async def test_a_timer_fires_once_though_the_broker_is_away_at_its_time(settings: OrchestratorSettings) -> None:
    server = NatsServer()
    server.start()
    try:
        async with peering(settings.model_copy(update={"nats_url": server.url})) as peer:
            peer.work()
            schedule = await peer.soon(0.5)
            assert schedule.next_at
            server.kill()

            async def past() -> bool:
                return bool(schedule.next_at and peer.bus.now() > schedule.next_at)

            await wait_until(past, "its time is past")
            server.start()
            await peer.sound(schedule)
    finally:
        server.close()
