"""What happens to a job, as it happens, for whoever asks or watches. A slow watcher gets the newest of each kind."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress

from faststream.nats import NatsMessage
from pydantic import ValidationError

from codestory.bus import LOST, Bus, Stored
from codestory.contracts.api import JobView, StatusMessage
from codestory.contracts.events import StepProgressed
from codestory.contracts.jobs import Job
from codestory.contracts.values import StepState
from codestory_orchestrator.errors import JobNotFound, ServiceUnavailable
from codestory_orchestrator.progress import estimates
from codestory_orchestrator.progress.estimates import Course, Heard
from codestory_orchestrator.progress.usual import Usual
from codestory_orchestrator.progress.watching import Watching
from codestory_orchestrator.store import QUEUE, JobStore
from codestory_orchestrator.views import job_view

#: Steps of which the last word is remembered. Of others it is asked for when somebody wants to know.
REMEMBERED = 5000
#: Of steps in these states nothing has been said, or nothing that matters any more.
SILENT = frozenset({StepState.WAITING, StepState.SKIPPED, StepState.COMPLETED})


class Feed:
    """Progress comes from the server's live feed, changes of the record from the store's mirror."""

    def __init__(self, bus: Bus, store: JobStore, stalled_seconds: float) -> None:
        self.bus, self.store, self.stalled_seconds = bus, store, stalled_seconds
        self.usual = Usual()
        store.on_ended = self.usual.learn
        #: By job and step; None: nothing has been said.
        self._heard: OrderedDict[tuple[str, str], Heard | None] = OrderedDict()
        self._changed: dict[str, set[asyncio.Event]] = {}
        bus.broker.subscriber(bus.subject("live", "progress", "*", "*"))(self.heard)
        bus.on_reconnect(self.forget)

    async def heard(self, message: NatsMessage) -> None:
        """The message alone: FastStream would read a body that is asked for, as JSON, and refuse it as bytes."""
        *_, job_id, step = message.raw_message.subject.split(".")
        with suppress(ValidationError):
            said = StepProgressed.model_validate_json(message.body)
            self._remember((job_id, step), Heard(said, self.bus.now()))
            for changed in self._changed.get(job_id, ()):
                changed.set()

    async def forget(self) -> None:
        """What was said while we were away is not known: ask again."""
        self._heard.clear()

    # as it is now

    async def view(self, job: Job, revision: int = 0) -> JobView:
        """The job as everybody sees it."""
        return job_view(job, revision, waits_for=self.store.waits_for(job), course=await self.course(job))

    async def course(self, job: Job) -> Course:
        """How it goes with the steps that have begun."""
        heard: dict[str, Heard] = {}
        for name, step in job.steps.items():
            if step.state not in SILENT and step.attempts and (last := await self._last(job.id, name)):
                heard[name] = last
        return Course(self.bus.now(), heard, self.usual.of(job), self.stalled_seconds)

    async def _last(self, job_id: str, step: str) -> Heard | None:
        key = (job_id, step)
        if key not in self._heard:
            last = await self.bus.last("EVENTS", self.bus.subject("progress", job_id, step))
            if key not in self._heard:  # else something newer has been heard meanwhile
                self._remember(key, _read(last))
        return self._heard.get(key)

    def _remember(self, key: tuple[str, str], heard: Heard | None) -> None:
        self._heard[key] = heard
        self._heard.move_to_end(key)
        while len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)

    # as it goes on

    async def watch(self, job_id: str) -> AsyncIterator[StatusMessage]:
        """First the job as it is, then what changes, last how it ended."""
        try:
            found = await self.store.read(job_id)
        except LOST as error:
            raise ServiceUnavailable from error
        if not found:
            raise JobNotFound(job_id)
        changed = asyncio.Event()
        self._changed.setdefault(job_id, set()).add(changed)
        keys = job_id, QUEUE + found[0].repository.id
        for key in keys:
            self.store.watchers.setdefault(key, set()).add(changed.set)
        try:
            async for message in self._messages(job_id, changed):
                yield message
        except LOST as error:
            raise ServiceUnavailable from error
        finally:
            self._forget(job_id, keys, changed)

    async def _messages(self, job_id: str, changed: asyncio.Event) -> AsyncIterator[StatusMessage]:
        watching = Watching()
        while True:
            changed.clear()
            found = await self.store.read(job_id, fresh=False)
            if not found:
                return
            job, revision = found
            course = await self.course(job)
            view = job_view(job, revision, waits_for=self.store.waits_for(job), course=course)
            for message in watching.news(view, course):
                yield message
            if job.state.ended:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(estimates.until_stalled(job, course)):
                    await changed.wait()

    def _forget(self, job_id: str, keys: tuple[str, ...], changed: asyncio.Event) -> None:
        for key in keys:
            self.store.watchers[key].discard(changed.set)
            if not self.store.watchers[key]:
                del self.store.watchers[key]
        self._changed[job_id].discard(changed)
        if not self._changed[job_id]:
            del self._changed[job_id]


def _read(last: Stored | None) -> Heard | None:
    with suppress(ValidationError):
        return Heard(StepProgressed.model_validate_json(last.data), last.at) if last else None
    return None
