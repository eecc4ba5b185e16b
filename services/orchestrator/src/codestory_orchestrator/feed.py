"""What happens to a job, as it happens, for whoever watches it. A slow watcher gets the newest of each kind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from faststream.nats import NatsMessage
from pydantic import ValidationError

from codestory.bus import LOST, Bus
from codestory.contracts.api import StatusMessage
from codestory.contracts.events import StepProgressed
from codestory.contracts.jobs import Job
from codestory.contracts.results import Progress, Usage
from codestory.contracts.values import now
from codestory_orchestrator.errors import JobNotFound, ServiceUnavailable
from codestory_orchestrator.store import QUEUE, JobStore
from codestory_orchestrator.views import job_view


class Feed:
    """Progress comes from the server's live feed, changes of the record from the store's mirror."""

    def __init__(self, bus: Bus, store: JobStore) -> None:
        self.bus, self.store = bus, store
        self._progress: dict[str, dict[str, StepProgressed]] = {}
        self._changed: dict[str, set[asyncio.Event]] = {}
        bus.broker.subscriber(bus.subject("live", "progress", "*", "*"))(self.heard)

    async def heard(self, body: bytes, message: NatsMessage) -> None:
        *_, job_id, step = message.raw_message.subject.split(".")
        if job_id not in self._changed:
            return
        with suppress(ValidationError):
            self._progress.setdefault(job_id, {})[step] = StepProgressed.model_validate_json(body)
            self._ring(job_id)

    async def progress(self, job: Job) -> dict[str, tuple[Progress, Usage]]:
        """The newest progress of each active step's present attempt."""
        found: dict[str, tuple[Progress, Usage]] = {}
        for step in job.active:
            last = await self.bus.last("EVENTS", self.bus.subject("progress", job.id, step))
            with suppress(ValidationError):
                said = StepProgressed.model_validate_json(last.data) if last else None
                if said and said.attempt == job.steps[step].attempt:
                    found[step] = said.progress, said.usage
        return found

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
        seen: tuple[int, tuple[str, ...]] = 0, ()
        seq, said = 0, dict[str, StepProgressed]()
        while True:
            changed.clear()
            found = await self.store.read(job_id, fresh=False)
            if not found:
                return
            job, revision = found
            waits_for = self.store.waits_for(job)
            if (revision, waits_for) != seen:
                seen = revision, waits_for
                seq = max(seq + 1, revision)
                kind = "ended" if job.state.ended else "job"
                view = job_view(job, revision, waits_for=waits_for, progress=await self.progress(job))
                yield StatusMessage(kind=kind, seq=seq, job=view, at=now())
                if job.state.ended:
                    return
            for step, news in list(self._progress.get(job_id, {}).items()):
                if said.get(step) != news and news.attempt == job.steps[step].attempt and job.steps[step].state.active:
                    said[step] = news
                    seq += 1
                    yield StatusMessage(
                        kind="progress", seq=seq, step=step, progress=news.progress, usage=news.usage, at=news.at
                    )
            await changed.wait()

    def _ring(self, job_id: str) -> None:
        for changed in self._changed.get(job_id, ()):
            changed.set()

    def _forget(self, job_id: str, keys: tuple[str, ...], changed: asyncio.Event) -> None:
        for key in keys:
            self.store.watchers[key].discard(changed.set)
            if not self.store.watchers[key]:
                del self.store.watchers[key]
        self._changed[job_id].discard(changed)
        if not self._changed[job_id]:
            del self._changed[job_id]
            self._progress.pop(job_id, None)
