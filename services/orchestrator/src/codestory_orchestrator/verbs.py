"""What may be asked of a job that exists: the record is changed first, then what follows from it is done.

What could not be done now, because the bus went away or this process dies, the reconciler does."""

from collections.abc import Callable
from contextlib import suppress

from codestory import telemetry
from codestory.bus import LOST, Bus, TooLarge
from codestory.contracts.api import ChangeJob, RetryJob
from codestory.contracts.jobs import Job
from codestory_orchestrator import control, submission
from codestory_orchestrator.errors import JobConflict, JobNotFound, OptionsTooLarge, ServiceUnavailable
from codestory_orchestrator.reconciler import Reconciler
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore, QueueEntry

log = telemetry.logger(__name__)

#: Bytes of the record of a job that is yet to run. It grows while it runs, and the bus takes a million.
LARGEST_JOB = 256 * 1024


class Verbs:
    def __init__(
        self, bus: Bus, store: JobStore, registry: Registry, reconciler: Reconciler, settings: OrchestratorSettings
    ) -> None:
        self.bus, self.store, self.registry, self.reconciler = bus, store, registry, reconciler
        self.settings = settings

    async def cancel(self, job_id: str) -> None:
        job = await self._change(
            job_id, "cancel", lambda job: control.cancel(job, self.bus.now(), self.settings.cancel_grace_seconds)
        )
        with suppress(*LOST):
            await self.reconciler.mend(job, ended=True)

    async def stop(self, job_id: str) -> None:
        job = await self._change(
            job_id, "stop", lambda job: control.stop(job, self.bus.now(), self.settings.cancel_grace_seconds)
        )
        with suppress(*LOST):
            await self.reconciler.mend(job, ended=True)

    async def resume(self, job_id: str) -> None:
        await self._tell_end(job_id)
        job = await self._change(job_id, "resume", lambda job: control.resume(job, self.bus.now()))
        await self._start(job)

    async def retry(self, job_id: str, request: RetryJob) -> None:
        def again(job: Job) -> Job:
            plan = submission.replan(job, request, self.registry.steps)
            job = control.retry(job, request, plan, self.bus.now())
            if sum(len(step.model_dump_json()) for step in job.plan) > LARGEST_JOB:
                raise OptionsTooLarge
            return job

        await self._tell_end(job_id)
        await self._start(await self._change(job_id, "retry", again))

    async def change(self, job_id: str, request: ChangeJob) -> None:
        priority = request.priority
        if priority is None:
            if not await self._read(job_id):
                raise JobNotFound(job_id)
            return
        job = await self._change(job_id, "change", lambda job: control.prioritise(job, priority, self.bus.now()))
        with suppress(*LOST):
            entry = QueueEntry(job=job.id, at=self.bus.now(), priority=priority, run=job.run)
            await self.store.move(job.repository.id, entry)
            for step in job.active:
                await self.reconciler.reprioritise(job, step)

    async def _start(self, job: Job) -> None:
        with suppress(*LOST):
            await self.reconciler.mend(job)
            await self.reconciler.ready(job)

    async def _tell_end(self, job_id: str) -> None:
        """The end of a run is told before the next one begins; whoever wrote it may not have come to that."""
        try:
            found = await self.store.read(job_id)
            if found and found[0].state.ended:
                await self.reconciler.dispatcher.announce(found[0])
        except LOST as error:
            raise ServiceUnavailable from error

    async def _read(self, job_id: str) -> bool:
        try:
            return await self.store.read(job_id) is not None
        except LOST as error:
            raise ServiceUnavailable from error

    async def _change(self, job_id: str, verb: str, how: Callable[[Job], Job]) -> Job:
        try:
            job = await self.store.change(job_id, how)
        except control.Conflict as conflict:
            raise JobConflict(job_id, str(conflict)) from conflict
        except TooLarge as error:
            raise OptionsTooLarge from error
        except LOST as error:
            raise ServiceUnavailable from error
        log.info("job.asked", verb=verb, job_id=job_id, state=job.state, run=job.run, priority=job.priority)
        return job
