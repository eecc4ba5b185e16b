"""Recurring schedules, and all else that the server's timers tell: one occurrence, one job, whoever was alive.

The record says what comes next, a timer of the server brings it, and the timer's message is answered only when the
record knows of the occurrence and the next timer is set. So each line may be the last of this process."""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Protocol

from nats.aio.msg import Msg

from codestory import telemetry
from codestory.bus import DUE, LOST, Bus, BusLost, Refused
from codestory.contracts.api import JobView, SubmitJob
from codestory.contracts.schedules import ChangeSchedule, CreateSchedule, Schedule
from codestory.puller import Puller
from codestory_orchestrator.errors import (
    IngestionError,
    OptionsTooLarge,
    ScheduleNotFound,
    ServiceUnavailable,
    UnknownStep,
)
from codestory_orchestrator.idempotency import Idempotency, Kind
from codestory_orchestrator.records import TRIES
from codestory_orchestrator.scheduling import occurrences
from codestory_orchestrator.scheduling.schedule_store import Revisions, ScheduleStore
from codestory_orchestrator.scheduling.timers import Timers, key_of
from codestory_orchestrator.store import JobStore

log = telemetry.logger(__name__)

BATCH = 64
#: Ids of jobs are hexadecimal throughout.
ID = re.compile(r"s[0-9a-f]{1,40}")
#: Bytes of a schedule's record.
LARGEST = 256 * 1024


class Jobs(Protocol):
    """Who makes the jobs."""

    async def submit(self, request: SubmitJob, *, job_id: str = "", schedule: str = "", owner: str = "") -> JobView:
        """With a `job_id` that exists already: that job, as it is."""
        ...

    async def check(self, request: SubmitJob) -> None:
        """Raise what `submit` would raise now."""
        ...


class Schedules:
    """`on_due`: told of the timers of jobs. Heard once or more often."""

    def __init__(
        self, bus: Bus, store: JobStore, timers: Timers, jobs: Jobs, on_due: Callable[[str], Awaitable[None]]
    ) -> None:
        self.bus, self.store, self.timers, self.jobs, self.on_due = bus, store, timers, jobs, on_due
        self.records = ScheduleStore(bus, store.mirror)

    async def start(self) -> None:
        self._due = await Puller(self.bus, "READY", DUE).start()

    # the verbs

    async def create(
        self, request: CreateSchedule, *, schedule_id: str = "", owner: str = "", key: str = ""
    ) -> Schedule:
        """Once this returns the schedule is not lost. With a `schedule_id` that exists already: that one, as it is.

        `key`: see `Idempotency`."""
        async with self._reachable():
            if key:
                return await Idempotency(self.bus).once(
                    request,
                    key=key,
                    owner=owner,
                    kind=Kind(lambda: new_id(self.bus.now()), self.records.forgotten),
                    make=lambda schedule_id: self.create(request, schedule_id=schedule_id, owner=owner),
                )
            if schedule_id and (found := await self.records.read(schedule_id)):
                return found
            at = self.bus.now()
            schedule = occurrences.made(request, schedule_id or new_id(at), at, owner)
            await self.jobs.check(request.job)
            if len(schedule.model_dump_json()) > LARGEST:
                raise OptionsTooLarge
            written = await self.records.write(schedule)
            if written is None:  # another was asked for this very schedule, and was faster
                if schedule_id and (found := await self.records.read(schedule_id)):
                    return found
                raise Refused({"description": f"the id {schedule.id} is taken"})
            log.info("schedule.made", schedule=schedule.id, cron=schedule.cron, time_zone=schedule.time_zone)
            with suppress(*LOST):  # it is recorded: a timer that could not be set now is set by `mend`
                await self._arm(schedule.id)
            return written

    async def list_schedules(self) -> list[Schedule]:
        async with self._reachable():
            return self.records.remembered()

    async def show(self, schedule_id: str) -> Schedule:
        async with self._reachable():
            found = await self.records.read(_possible(schedule_id))
            if not found:
                raise ScheduleNotFound(schedule_id)
            return found

    async def change(self, schedule_id: str, request: ChangeSchedule, revisions: Revisions = None) -> Schedule:
        """`revisions`: only if its record is at one of these; otherwise raises ChangedMeanwhile."""
        async with self._reachable():
            at = self.bus.now()
            schedule = await self.records.change(
                _possible(schedule_id),
                lambda schedule: occurrences.changed(schedule, request, at),
                revisions=revisions,
            )
            log.info("schedule.changed", schedule=schedule_id, changes=request.model_dump(exclude_none=True))
            with suppress(*LOST):
                await self._arm(schedule_id)
            return schedule

    async def delete(self, schedule_id: str, revisions: Revisions = None) -> None:
        """Its jobs stay."""
        async with self._reachable():
            await self.records.delete(_possible(schedule_id), revisions=revisions)
            log.info("schedule.deleted", schedule=schedule_id)
            with suppress(*LOST):
                await self._arm(schedule_id)

    @asynccontextmanager
    async def _reachable(self) -> AsyncGenerator[None]:
        if not self.bus.epoch:  # before everything is known nothing can be told
            raise ServiceUnavailable
        try:
            yield
        except LOST as error:
            raise ServiceUnavailable from error

    # what the timers tell

    async def hear(self) -> None:
        """One batch. Pulls expire within ack_wait, so that none is delivered to somebody who has gone."""
        messages = await self._due.take(BATCH, wait=min(5.0, self.bus.settings.ack_wait_seconds))
        await asyncio.gather(*(self._answer(msg) for msg in messages))

    async def _answer(self, msg: Msg) -> None:
        """What could not be done is not answered: it comes again."""
        self.bus.heard(msg.metadata.timestamp)
        key = key_of(msg.subject)
        try:
            await (self._occur(key, msg) if ID.fullmatch(key) else self.on_due(key))
            await self.bus.ack(msg, "ack-due")
        except LOST as error:
            log.warning("due.put_off", key=key, error=repr(error))

    async def _occur(self, schedule_id: str, msg: Msg) -> None:
        """A time that the record does not wait for any more makes no job, but sees that the next one comes."""
        occurrence = _occurrence(msg.data)
        found = await self.records.read(schedule_id)
        if found and occurrence and found.next_at == occurrence:
            job, problem = await self._make(found, occurrence, first=msg.metadata.num_delivered == 1)
            at = self.bus.now()
            with suppress(ScheduleNotFound):  # deleted meanwhile
                await self.records.change(
                    schedule_id, lambda now: occurrences.passed(now, occurrence, at, job=job, problem=problem)
                )
            log.info("schedule.occurred", schedule=schedule_id, at=occurrence.isoformat(), job_id=job, problem=problem)
        await self._arm(schedule_id)

    async def _make(self, schedule: Schedule, occurrence: datetime, *, first: bool) -> tuple[str, str]:
        """The job of this occurrence, or what is wrong; neither when the job before it still runs."""
        job_id = occurrences.job_id(schedule, occurrence)
        if await self.store.read(job_id):
            return job_id, ""
        before = await self.store.read(schedule.last_job) if schedule.last_job else None
        if before and not before[0].state.ended:
            return "", ""
        try:
            await self.jobs.submit(schedule.job, job_id=job_id, schedule=schedule.id, owner=schedule.owner)
        except Refused as error:  # another orchestrator has just made it, or there is no room
            if not await self.store.read(job_id):
                raise BusLost(str(error)) from error
        except IngestionError as error:
            # After a restart of everything a step's service may only be starting: asked again, once.
            if isinstance(error, ServiceUnavailable) or (first and isinstance(error, UnknownStep)):
                raise BusLost(str(error)) from error
            return "", f"{error.code}: {error}"
        except LOST:
            raise
        except Exception as error:  # a bug that one request meets must not end every orchestrator in turn
            log.error("schedule.broken", schedule=schedule.id, exc_info=error)  # noqa: TRY400  # ours has no `exception`
            return "", f"internal_error: the log of the service has the details ({type(error).__name__})"
        return job_id, ""

    async def _arm(self, schedule_id: str) -> None:
        """The timer as the record says. Looked at again afterwards: another may have changed it in between."""
        for _ in range(TRIES):
            at = await self._next_at(schedule_id)
            if at:
                await self.timers.set(schedule_id, at, at.isoformat().encode())
            else:
                await self.timers.clear(schedule_id)
            if await self._next_at(schedule_id) == at:
                return
        raise BusLost(f"the record of the schedule {schedule_id} does not hold still")

    async def _next_at(self, schedule_id: str) -> datetime | None:
        found = await self.records.read(schedule_id)
        return found.next_at if found else None

    async def mend(self, pending: set[str]) -> None:
        """Set what a process that died, or a broker that lost its storage, has left unset. `pending`: of `Timers`, as
        read before this."""
        remembered = {schedule.id: schedule for schedule in self.records.remembered()}
        for schedule in remembered.values():
            if schedule.next_at and schedule.id not in pending:
                await self._arm(schedule.id)
        for key in pending:
            if ID.fullmatch(key) and key not in remembered:
                await self._arm(key)


def new_id(at: datetime) -> str:
    """Grows with time, so that ids sort by age."""
    return f"s{int(at.timestamp() * 1000):011x}{secrets.token_hex(4)}"


def _possible(schedule_id: str) -> str:
    """What cannot be an id is no schedule; it must not reach the store as a key."""
    if not ID.fullmatch(schedule_id):
        raise ScheduleNotFound(schedule_id)
    return schedule_id


def _occurrence(data: bytes) -> datetime | None:
    try:
        return datetime.fromisoformat(data.decode())
    except ValueError:
        return None
