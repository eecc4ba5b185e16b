"""What may be asked of a job that exists: the record is changed first, then what follows from it is done.

What could not be done now, because the bus went away or this process dies, the reconciler does."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from codestory import telemetry
from codestory.bus import LOST, Bus, TooLarge
from codestory.contracts.api import ChangeJob, RetryJob
from codestory.contracts.jobs import Job
from codestory_orchestrator import control, submission
from codestory_orchestrator.errors import JobConflict, OptionsTooLarge, ServiceUnavailable
from codestory_orchestrator.quota import Quota
from codestory_orchestrator.reconciler import Reconciler
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore, QueueEntry

log = telemetry.logger(__name__)

#: Bytes of the record of a job that is yet to run. It grows while it runs, and the bus takes a million.
LARGEST_JOB = 256 * 1024

#: Only if the record is at one of these; None: however it is.
Revisions = frozenset[int] | None


class Verbs:
    def __init__(
        self, bus: Bus, store: JobStore, registry: Registry, reconciler: Reconciler, settings: OrchestratorSettings
    ) -> None:
        self.bus, self.store, self.registry, self.reconciler = bus, store, registry, reconciler
        self.settings, self.quota = settings, Quota(store, settings.unfinished_jobs_per_owner)
        #: Whether what was fetched for a job is not kept any more. Set by who keeps it.
        self.snapshot_gone: Callable[[str], Awaitable[bool]] = _never

    async def cancel(self, job_id: str, revisions: Revisions = None) -> None:
        job = await self._change(
            job_id,
            "cancel",
            lambda job: control.cancel(job, self.bus.now(), self.settings.cancel_grace_seconds),
            revisions,
        )
        with suppress(*LOST):
            await self.reconciler.mend(job, ended=True)

    async def stop(self, job_id: str, revisions: Revisions = None) -> None:
        job = await self._change(
            job_id,
            "stop",
            lambda job: control.stop(job, self.bus.now(), self.settings.cancel_grace_seconds),
            revisions,
        )
        with suppress(*LOST):
            await self.reconciler.mend(job, ended=True)

    async def resume(self, job_id: str, revisions: Revisions = None) -> None:
        await self._tell_end(job_id)
        again = await self._refetching(job_id, lambda job: control.resume(job, self.bus.now()))
        await self._start(await self._change(job_id, "resume", again, revisions))

    async def retry(self, job_id: str, request: RetryJob, revisions: Revisions = None) -> None:
        def again(job: Job) -> Job:
            plan = submission.replan(job, request, self.registry.steps)
            job = control.retry(job, request, plan, self.bus.now())
            if sum(len(step.model_dump_json()) for step in job.plan) > LARGEST_JOB:
                raise OptionsTooLarge
            return job

        await self._tell_end(job_id)
        await self._start(await self._change(job_id, "retry", await self._refetching(job_id, again), revisions))

    async def change(self, job_id: str, request: ChangeJob, revisions: Revisions = None) -> None:
        priority = request.priority
        if priority is None:
            await self._change(job_id, "change", lambda job: job, revisions)
            return
        job = await self._change(
            job_id, "change", lambda job: control.prioritise(job, priority, self.bus.now()), revisions
        )
        with suppress(*LOST):
            entry = QueueEntry(job=job.id, at=self.bus.now(), priority=priority, run=job.run)
            await self.store.move(job.repository.id, entry)
            for step in job.active:
                await self.reconciler.reprioritise(job, step)

    async def _refetching(self, job_id: str, how: Callable[[Job], Job]) -> Callable[[Job], Job]:
        """`how`, within the quota; and its repository is fetched again if need be."""
        try:
            gone = await self.snapshot_gone(job_id)
        except LOST as error:
            raise ServiceUnavailable from error

        def again(job: Job) -> Job:
            after = how(job)
            self.quota.refuse_again(job, after)
            return control.lost_snapshot(after) if gone and after.run > job.run else after

        return again

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

    async def _change(self, job_id: str, verb: str, how: Callable[[Job], Job], revisions: Revisions) -> Job:
        try:
            job = await self.store.change(job_id, how, revisions=revisions)
        except control.Conflict as conflict:
            raise JobConflict(job_id, str(conflict)) from conflict
        except TooLarge as error:
            raise OptionsTooLarge from error
        except LOST as error:
            raise ServiceUnavailable from error
        log.info("job.asked", verb=verb, job_id=job_id, state=job.state, run=job.run, priority=job.priority)
        return job


async def _never(_: str) -> bool:
    return False
