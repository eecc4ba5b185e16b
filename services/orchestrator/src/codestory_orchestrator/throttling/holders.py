"""Who holds each token, and since when."""

import asyncio
from collections.abc import Iterable

from codestory.bus import Bus, Stored, attempt_in
from codestory.contracts import api
from codestory.contracts.events import StepStarted
from codestory.contracts.jobs import Job
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.throttling.limits import Limits
from codestory_orchestrator.throttling.tags import Tags

#: Requests to the server at once.
AT_ONCE = 32


class Holders:
    def __init__(self, bus: Bus, store: JobStore, limits: Limits) -> None:
        self.bus, self.store, self.limits = bus, store, limits
        self.tags = Tags(store, limits)

    async def list(self) -> api.Holders:
        """The longest first."""
        run = await self.bus.js.stream_info(self.bus.stream("RUN"), subjects_filter=self.bus.subject("run.>"))
        most, held = run.config.max_msgs or 0, run.state.messages
        at_once = asyncio.Semaphore(AT_ONCE)
        found = await asyncio.gather(*(self._holder(subject, at_once) for subject in run.state.subjects or {}))
        holders = sorted((holder for holder in found if holder), key=lambda holder: holder.since)
        return api.Holders(
            available_tokens=max(most - held, 0),
            max_tokens=most,
            holders=tuple(holders),
            tags=await self._tags([(holder.step, holder.job) for holder in holders]),
        )

    async def tag_status(self) -> tuple[api.TagStatus, ...]:
        subjects = await self.bus.subjects("RUN", self.bus.subject("run.>"))
        return await self._tags([(step, job) for *_, step, job in (subject.split(".") for subject in subjects)])

    async def _tags(self, admitted: Iterable[tuple[str, str]]) -> tuple[api.TagStatus, ...]:
        held = await self.tags.held(admitted)
        return tuple(
            api.TagStatus(tag=tag, limit=limit, held=held[tag]) for tag, limit in sorted(self.limits.tags.items())
        )

    async def _holder(self, subject: str, at_once: asyncio.Semaphore) -> api.Holder | None:
        """None: it has ended meanwhile."""
        *_, step, job_id = subject.split(".")
        async with at_once:
            admitted = await self.bus.last("RUN", subject)
            if admitted is None:
                return None
            found = await self.store.read(job_id, fresh=False)
            attempt = attempt_in(admitted.headers) or 0
            worker = await self._worker(job_id, step, attempt, found[0] if found else None)
        return _holder(admitted, found[0] if found else None, step, job_id, attempt=attempt, worker=worker)

    async def _worker(self, job_id: str, step: str, attempt: int, job: Job | None) -> str:
        """The record lags behind; the last event does not."""
        record = job.steps.get(step) if job else None
        for known in reversed(record.attempts if record else ()):
            if known.number == attempt and known.worker:
                return known.worker
        last = await self.bus.last("EVENTS", self.bus.events_of(job_id, step))
        worker = last.body.get("worker") if last and last.attempt == attempt else None
        return worker if last and last.kind == StepStarted.kind and isinstance(worker, str) else ""


def _holder(admitted: Stored, job: Job | None, step: str, job_id: str, *, attempt: int, worker: str) -> api.Holder:
    """Of a job without a record only what its command says; it is swept soon."""
    said = {"job": job_id, "step": step, "attempt": attempt, "since": admitted.at, "worker": worker}
    if job:
        resources = next((plan.resources for plan in job.plan if plan.name == step), ())
        said |= {"repository": job.repository.name, "priority": job.priority, "resources": resources}
    return api.Holder.model_validate(said)
