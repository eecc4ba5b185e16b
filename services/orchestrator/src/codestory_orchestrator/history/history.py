"""The history of a job: what happened to it, and what its steps wrote. Any replica answers, for it keeps nothing."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from codestory.bus import LOST, Bus, Stored
from codestory.contracts.history import EventList, JobEvent, LogLine, LogList
from codestory.contracts.jobs import Job
from codestory.contracts.traces import SpanView, Trace
from codestory_orchestrator.errors import EventsGone, JobNotFound, ServiceUnavailable, StepNotFound
from codestory_orchestrator.history import messages, spans
from codestory_orchestrator.history.place import Feed, Place
from codestory_orchestrator.history.reading import Kept, Page, Reader, Remade
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore

#: Between two ways of rounding one time.
SAME_MOMENT = timedelta(milliseconds=1)

#: Whether nothing more will come for who stands there.
Over = Callable[[Place], Awaitable[bool]]
Item = TypeVar("Item")


class History:
    """Each method raises JobNotFound, StepNotFound, EventsGone, ServiceUnavailable."""

    def __init__(self, bus: Bus, store: JobStore, settings: OrchestratorSettings) -> None:
        self.bus, self.store, self.settings = bus, store, settings
        self._events, self._logs = self._reader("EVENTS"), self._reader("LOGS")

    def _reader(self, stream: str) -> Reader:
        settings = self.settings
        return Reader(
            self.bus,
            stream,
            most=settings.history_batch,
            most_bytes=settings.history_batch_bytes,
            poll_seconds=settings.history_poll_seconds,
        )

    # a page

    async def events(self, place: Place, limit: int) -> EventList:
        """What happened to the job from there on, the oldest first."""
        page, epoch = await self._page(self._events, place, limit, self.bus.subject("evt", place.job, "*", "*"))
        told = tuple(filter(None, map(messages.event, page.messages)))
        return EventList(events=told, next_seq=_next(place, page), more=page.more, epoch=epoch)

    async def logs(self, place: Place, limit: int, *, step: str = "") -> LogList:
        """What its steps wrote, or one of them, from there on, the oldest first."""
        page, epoch = await self._page(self._logs, place, limit, self._lines(place.job, step), step)
        told = tuple(map(messages.log_line, page.messages))
        return LogList(lines=told, next_seq=_next(place, page), more=page.more, epoch=epoch)

    async def _page(self, reader: Reader, place: Place, limit: int, subjects: str, step: str = "") -> tuple[Page, int]:
        try:
            epoch = await self._checked(reader, place, step)
            return await reader.page(subjects, place.start, limit), epoch
        except LOST as error:
            raise ServiceUnavailable from error

    async def trace(self, job_id: str) -> Trace:
        """Its spans: what is kept, and from the record what is not."""
        subjects, most = self.bus.subject("span", job_id, "*"), self.settings.trace_spans
        try:
            job = await self._job(job_id)
            found, start, page = list[SpanView](), 1, Page(more=True)
            while page.more and len(found) < most:
                page = await self._logs.page(subjects, start)
                found += spans.told(page.messages)
                start = page.end + 1
        except LOST as error:
            raise ServiceUnavailable from error
        return spans.trace(job, found, most, truncated=page.more)

    # as it goes on

    async def follow_events(self, place: Place, quiet_seconds: float) -> Feed[JobEvent]:
        """What happened, then what happens, until the job's present run has ended."""
        subjects = self.bus.subject("evt", place.job, "*", "*")
        try:
            epoch = await self._checked(self._events, place)
            if await self._events_over(place):
                return Feed(None, epoch)
        except LOST as error:
            raise ServiceUnavailable from error
        stored = self._follow(self._events, place, epoch, subjects, quiet=quiet_seconds, over=self._events_over)
        return Feed(_each(stored, messages.event), epoch)

    async def follow_logs(self, place: Place, quiet_seconds: float, *, step: str = "") -> Feed[LogLine]:
        """The same for what its steps write. It goes on a moment after the end, for lines that come late."""
        subjects = self._lines(place.job, step)
        try:
            epoch = await self._checked(self._logs, place, step)
            if await self._logs_over(place) and not (await self._logs.page(subjects, place.start, 1)).messages:
                return Feed(None, epoch)
        except LOST as error:
            raise ServiceUnavailable from error
        stored = self._follow(self._logs, place, epoch, subjects, quiet=quiet_seconds, over=self._logs_over)
        return Feed(_each(stored, messages.log_line), epoch)

    async def _follow(
        self, reader: Reader, place: Place, epoch: int, subjects: str, *, quiet: float, over: Over
    ) -> AsyncGenerator[Stored | None]:
        clock = asyncio.get_running_loop().time
        told = clock()
        bell = self.bus.subject("live") + subjects.removeprefix(self.bus.subject())
        try:
            batches = reader.follow(subjects, bell, place.start, epoch=epoch, seconds=quiet)
            async with aclosing(batches):
                async for batch in batches:
                    for stored in batch:
                        yield stored
                    if batch:
                        place, told = replace(place, start=batch[-1].sequence + 1), clock()
                    elif await self._is_over(place, over):
                        return
                    elif clock() - told >= quiet:
                        yield None
                        told = clock()
        except Remade as error:
            raise EventsGone(place.job, place.start) from error
        except LOST as error:
            raise ServiceUnavailable from error

    async def _is_over(self, place: Place, over: Over) -> bool:
        """What is remembered decides whether the question is worth a request. A bus that is away knows nothing."""
        with suppress(*LOST):
            if self.bus.connected:
                remembered = await self.store.read(place.job, fresh=False)
                return (remembered is None or remembered[0].state.ended) and await over(place)
        return False

    async def _events_over(self, place: Place) -> bool:
        """The job has ended, and that has been told. Its end is said after it is recorded, and said again if the one
        who was to say it died; what nobody says in the time for that is not waited for."""
        job = await self._job(place.job)
        if not job.state.ended:
            return False
        last = await self.bus.last("EVENTS", self.bus.subject("evt", job.id, "job", "*"))
        if last and messages.number(last.body.get("run")) >= job.run:
            return last.sequence < place.start
        return self._since(job) > timedelta(seconds=2 * self.settings.reconcile_seconds)

    async def _logs_over(self, place: Place) -> bool:
        job = await self._job(place.job)
        return job.state.ended and self._since(job) > timedelta(seconds=self.settings.history_poll_seconds)

    def _since(self, job: Job) -> timedelta:
        return self.bus.now() - (job.ended_at or job.created_at)

    def _lines(self, job_id: str, step: str) -> str:
        return self.bus.subject("log", job_id, step or "*")

    # what there is

    async def _checked(self, reader: Reader, place: Place, step: str = "") -> int:
        """The epoch of the stream, if the job is known and its history still begins where it is asked for."""
        if not self.bus.epoch:
            raise ServiceUnavailable
        job = await self._job(place.job)
        if step and step not in job.steps:
            raise StepNotFound(job.id, step, job.steps)
        kept = await reader.kept()
        if place.epoch not in {0, kept.epoch} or not reaches(kept, place.start, begun(job)):
            raise EventsGone(job.id, place.start)
        return kept.epoch

    async def _job(self, job_id: str) -> Job:
        found = await self.store.read(job_id)
        if not found:
            raise JobNotFound(job_id)
        return found[0]


def begun(job: Job) -> datetime | None:
    """When the first thing happened to it, in the server's time; None: nothing has."""
    attempts = [step.attempts[0] for step in job.steps.values() if step.attempts]
    times = [at for attempt in attempts if (at := attempt.started_at or attempt.ended_at)]
    return min(times, default=None)


def reaches(kept: Kept, start: int, begun: datetime | None) -> bool:
    """Nothing of a job that began then has been dropped from `start` on. A stream drops its oldest messages first; what
    it drops inside (progress that newer progress has replaced, jobs that were forgotten) is nothing of this history."""
    if start == 0:
        return True  # what there is
    if start > kept.last + 1:
        return False  # the stream was made anew
    if start >= kept.first or begun is None:
        return True
    return kept.since is not None and begun + SAME_MOMENT >= kept.since


async def _each(
    stored: AsyncGenerator[Stored | None], what: Callable[[Stored], Item | None]
) -> AsyncGenerator[Item | None]:
    async with aclosing(stored):
        async for one in stored:
            if one is None:
                yield None
            elif (item := what(one)) is not None:
                yield item


def _next(place: Place, page: Page) -> int:
    return max(page.end + 1 if page.messages else place.start, 1)
