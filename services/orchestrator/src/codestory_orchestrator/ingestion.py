"""The verbs: what the API asks of the orchestrator."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from codestory import repository_identity, telemetry
from codestory.bus import LOST, Bus, Refused
from codestory.contracts import api
from codestory.contracts.api import (
    ChangeJob,
    ChangeResourceLimits,
    ChangeResources,
    ChangeStep,
    Health,
    JobView,
    ResourceStatus,
    RetryJob,
    StatusMessage,
    StepStatus,
    StepView,
    SubmitJob,
    TagStatus,
    Why,
)
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.plans import PipelineConfig, StepPlan
from codestory.contracts.values import OnFull
from codestory_orchestrator import control, pipeline, submission
from codestory_orchestrator.deployment import Deployment
from codestory_orchestrator.errors import (
    ConfigInvalid,
    JobNotFound,
    OptionsTooLarge,
    RepositoryRefused,
    ServiceUnavailable,
    StepNotFound,
    Throttled,
    UnknownJob,
)
from codestory_orchestrator.feed import Feed
from codestory_orchestrator.graph_health import GraphHealth
from codestory_orchestrator.health_report import HealthReport
from codestory_orchestrator.reconciler import Reconciler
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.scheduling.timers import Timers
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore, QueueEntry
from codestory_orchestrator.throttling.holders import Holders
from codestory_orchestrator.throttling.resources import Resources
from codestory_orchestrator.verbs import LARGEST_JOB, Verbs
from codestory_orchestrator.why.explainer import Explainer

log = telemetry.logger(__name__)


class Ingestion:
    def __init__(
        self,
        *,
        bus: Bus,
        store: JobStore,
        registry: Registry,
        reconciler: Reconciler,
        feed: Feed,
        timers: Timers,
        deployment: Deployment,
        graph: GraphHealth,
        settings: OrchestratorSettings,
    ) -> None:
        self.bus, self.store, self.registry, self.reconciler, self.feed = bus, store, registry, reconciler, feed
        self.timers, self.deployment, self.settings = timers, deployment, settings
        self.verbs = Verbs(bus, store, registry, reconciler, settings)
        self.holding = Holders(bus, store, deployment.topology.limits)
        self.resources = Resources(bus, deployment.topology.limits, registry, self.holding, deployment.config)
        self.explainer = Explainer(bus, store, self.holding, feed, settings)
        self.report = HealthReport(bus, deployment, self.resources, graph)

    async def submit(self, request: SubmitJob, *, job_id: str = "", schedule: str = "", owner: str = "") -> JobView:
        """Make a job and start it, put it off, or stand it in line behind the others on its repository.

        With a `job_id` that exists already: that job, as it is."""
        self._connected()
        if job_id and await self._exists(job_id):
            return await self.show(job_id)
        repository, config, plan = await self._planned(request)
        deployed = await asyncio.to_thread(self._deployed, config) if request.pipeline else config
        at = self.bus.now()
        with telemetry.submit_span() as span:
            job = pipeline.make(
                job_id or new_id(at),
                repository,
                plan,
                at=at,
                priority=request.priority,
                mode=request.mode,
                due_at=request.eta if request.countdown is None else at + timedelta(seconds=request.countdown),
                schedule=schedule,
                after=tuple(dict.fromkeys(request.after)),
                when=request.when,
                on_full=request.on_full,
                later=submission.later(plan, deployed),
                traceparent=telemetry.traceparent(span),
                owner=owner,
            )
            if len(job.model_dump_json()) > LARGEST_JOB:
                raise OptionsTooLarge
            try:
                await self._refuse_unknown(job.after)
                await self.deployment.tune()
                return await (self._start(job) if job.eligible else self._put_off(job))
            except Refused:  # another orchestrator was asked for this very job, and was faster
                return await self.show(job.id)
            except LOST as error:
                raise ServiceUnavailable from error

    async def check(self, request: SubmitJob) -> None:
        """Refuse what `submit` would refuse now, of the request itself."""
        self._connected()
        await self._planned(request)

    async def _planned(self, request: SubmitJob) -> tuple[Repository, PipelineConfig, tuple[StepPlan, ...]]:
        path = submission.allowed(Path(request.repository), self.settings.repository_roots)
        repository = await asyncio.to_thread(_identify, path, request.name)
        config = request.pipeline or await asyncio.to_thread(self.deployment.config)
        return repository, config, submission.plan(request, config, self.registry.steps)

    async def _put_off(self, job: Job) -> JobView:
        """Not in line yet, where it would hold up who comes before it: only its repository's name is bound."""
        await self.store.join(job.repository, repository_identity.origin(job.repository), None, moved=_gone)
        await self._record(job)
        with suppress(*LOST):
            await self.reconciler.mend(job)
            await self.reconciler.ready(job)  # the jobs that it comes after may have ended already
        return await self._view(job)

    async def _start(self, job: Job) -> JobView:
        """In line first, then the record: an entry without a record is dropped, a record without an entry gets one."""
        origin = repository_identity.origin(job.repository)
        entry = QueueEntry(job=job.id, at=job.created_at, priority=job.priority)
        first = await self.store.join(job.repository, origin, entry, moved=_gone)
        slow = self.bus.now() - job.created_at > timedelta(seconds=self.settings.queue_entry_seconds / 2)
        at_once = first and not slow  # a place that was not taken in time may be another's: then look again
        if job.on_full is OnFull.FAIL:
            return await self._start_or_fail(job, first=first)
        job, commands = pipeline.begin(job, self.bus.now()) if at_once else (job, [])
        await self._record(job)
        with suppress(*LOST):  # the job is recorded: what could not be sent now the reconciler sends
            await self.reconciler.dispatcher.send(job, commands)
            if not at_once:
                await self.reconciler.start_next(job.repository.id)  # the one before may have ended in between
        return await self._view(job)

    async def _start_or_fail(self, job: Job, *, first: bool) -> JobView:
        """Admitted at once, or refused. One of the steps that begin it is enough: then it has begun."""
        dispatcher = self.reconciler.dispatcher
        begun, commands = pipeline.begin(job, self.bus.now())
        full = "" if first else "another job on this repository has not ended"
        full = full or await dispatcher.room_for([command.step for command in commands], begun)
        if full:
            await self.store.leave(job.repository.id, job.id)
            raise Throttled(full)
        await self._record(begun)
        admitted = [await dispatcher.admit_now(begun, command) for command in commands]
        if not any(admitted):
            full = "another was faster"
            await self.store.change(job.id, lambda job: control.give_up(job, f"throttled: {full}", self.bus.now()))
            await self.verbs.cancel(job.id)
            raise Throttled(full)
        with suppress(*LOST):
            rest = [command for command, done in zip(commands, admitted, strict=True) if not done]
            await dispatcher.send(begun, rest)
        return await self._view(begun)

    async def _record(self, job: Job) -> None:
        if not await self.store.write(job, 0):
            raise Refused({"description": f"the id {job.id} is taken"})
        log.info("job.submitted", job_id=job.id, repository=job.repository.name, traceparent=job.traceparent)

    async def _view(self, job: Job) -> JobView:
        now_it_is = await self.store.read(job.id, fresh=False) or (job, 0)
        return await self.feed.view(*now_it_is)

    async def _exists(self, job_id: str) -> bool:
        try:
            return await self.store.read(job_id) is not None
        except LOST as error:
            raise ServiceUnavailable from error

    async def _refuse_unknown(self, job_ids: tuple[str, ...]) -> None:
        if unknown := [job_id for job_id in job_ids if await self.store.read(job_id, fresh=False) is None]:
            raise UnknownJob(unknown)

    def _deployed(self, config: PipelineConfig) -> PipelineConfig:
        """The deployment's pipeline, which knows what builds on a step that a request runs alone."""
        try:
            return self.deployment.config()
        except ConfigInvalid:
            return config

    async def show(self, job_id: str) -> JobView:
        try:
            found = await self.store.read(job_id)
            if not found:
                raise JobNotFound(job_id)
            return await self.feed.view(*found)
        except LOST as error:
            raise ServiceUnavailable from error

    async def list_jobs(self, limit: int) -> list[JobView]:
        self._connected()
        try:
            return [await self.feed.view(job, revision) for job, revision in self.store.newest(limit)]
        except LOST as error:
            raise ServiceUnavailable from error

    async def show_step(self, job_id: str, step: str) -> StepView:
        job = await self.show(job_id)
        for view in job.steps:
            if view.name == step:
                return view
        raise StepNotFound(job_id, step, [view.name for view in job.steps])

    async def cancel(self, job_id: str) -> JobView:
        await self.verbs.cancel(job_id)
        return await self.show(job_id)

    async def stop(self, job_id: str) -> JobView:
        await self.verbs.stop(job_id)
        return await self.show(job_id)

    async def resume(self, job_id: str) -> JobView:
        await self.verbs.resume(job_id)
        return await self.show(job_id)

    async def retry(self, job_id: str, request: RetryJob) -> JobView:
        await self.verbs.retry(job_id, request)
        return await self.show(job_id)

    async def change(self, job_id: str, request: ChangeJob) -> JobView:
        await self.verbs.change(job_id, request)
        return await self.show(job_id)

    async def why(self, job_id: str) -> Why:
        return await self.explainer.why(job_id)

    def watch(self, job_id: str) -> AsyncIterator[StatusMessage]:
        return self.feed.watch(job_id)

    async def resource_status(self) -> ResourceStatus:
        return await self.resources.status()

    async def change_resources(self, request: ChangeResources) -> ResourceStatus:
        return await self.resources.change(request)

    async def holders(self) -> api.Holders:
        return await self.resources.holders()

    async def resource_limits(self) -> list[TagStatus]:
        return await self.resources.tags()

    async def change_resource_limits(self, request: ChangeResourceLimits) -> list[TagStatus]:
        return await self.resources.change_tags(request)

    async def change_step(self, step: str, request: ChangeStep) -> StepStatus:
        await self.resources.change_step(step, request)
        return next(status for status in await self.steps() if status.name == step)

    async def steps(self) -> list[StepStatus]:
        self._connected()
        try:
            return await self.deployment.steps()
        except LOST as error:
            raise ServiceUnavailable from error

    async def ready(self) -> bool:
        return await self.report.ready()

    async def health(self) -> Health:
        return await self.report.health()

    def _connected(self) -> None:
        """Before everything is known, nothing can be told: neither "no jobs" nor "no such step"."""
        if not self.bus.epoch:
            raise ServiceUnavailable


def new_id(at: datetime) -> str:
    """Grows with time, so that ids sort by age; the random part tells two orchestrators apart."""
    return f"{int(at.timestamp() * 1000):011x}{secrets.token_hex(4)}"


def _identify(path: Path, name: str | None) -> Repository:
    try:
        return repository_identity.identify(path, name)
    except repository_identity.RepositoryError as error:
        raise RepositoryRefused(str(error)) from error


def _gone(origin: str) -> bool:
    """The folder that holds the name is no longer there: it has moved. A remote cannot be gone."""
    return origin.startswith("/") and not Path(origin).exists()
