"""The verbs: what the API asks of the orchestrator."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from codestory import repository_identity, telemetry
from codestory.bus import LOST, Bus, Refused
from codestory.contracts import api
from codestory.contracts.access import Principal
from codestory.contracts.api import (
    ChangeJob,
    ChangeResourceLimits,
    ChangeResources,
    ChangeStep,
    Health,
    JobList,
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
from codestory.contracts.listing import BulkRequest, BulkResult, BulkRetry, ListJobs
from codestory.contracts.planning import PlanView
from codestory.contracts.plans import PipelineConfig, StepPlan
from codestory.contracts.snapshots import snapshot_id
from codestory.contracts.values import OnFull
from codestory.graph.health import GraphHealth
from codestory_orchestrator import control, listing, pipeline, submission
from codestory_orchestrator.bulk import Bulk
from codestory_orchestrator.deployment import Deployment
from codestory_orchestrator.errors import (
    ConfigInvalid,
    JobNotFound,
    NameTaken,
    OptionsTooLarge,
    OutsideRoots,
    RepositoryRefused,
    ServiceUnavailable,
    StepNotFound,
    Throttled,
    UnknownJob,
)
from codestory_orchestrator.feed import Feed
from codestory_orchestrator.fetching.settings import FetchSettings
from codestory_orchestrator.health_report import HealthReport
from codestory_orchestrator.idempotency import Idempotency, Kind
from codestory_orchestrator.planning import Planner
from codestory_orchestrator.reconciler import Reconciler
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.scheduling.timers import Timers
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.slices import slices
from codestory_orchestrator.snapshots import Snapshots
from codestory_orchestrator.store import JobStore, QueueEntry
from codestory_orchestrator.throttling.holders import Holders
from codestory_orchestrator.throttling.resources import Resources
from codestory_orchestrator.throttling.scale import Scale
from codestory_orchestrator.verbs import LARGEST_JOB, Revisions, Verbs
from codestory_orchestrator.why.explainer import Explainer

log = telemetry.logger(__name__)

#: Jobs of a list that are put into words at a time.
VIEWS = 20


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
        snapshots: Snapshots,
        fetching: FetchSettings,
        graph: GraphHealth,
        settings: OrchestratorSettings,
    ) -> None:
        self.bus, self.store, self.registry, self.reconciler, self.feed = bus, store, registry, reconciler, feed
        self.timers, self.deployment, self.settings = timers, deployment, settings
        self.snapshots, self.fetching = snapshots, fetching
        #: Told of a job whose repository is to be fetched. Set by who fetches.
        self.on_fetch: Callable[[], None] = lambda: None
        self.verbs = Verbs(bus, store, registry, reconciler, settings)
        self.verbs.snapshot_gone = snapshots.gone
        self.bulk = Bulk(store, self.verbs, settings.bulk_in_flight)
        self.holding = Holders(bus, store, deployment.topology.limits)
        self.resources = Resources(bus, deployment.topology.limits, registry, self.holding, deployment.config)
        self.explainer = Explainer(bus, store, self.holding, feed, settings)
        self.scale = Scale(bus, registry, settings.scale_seconds)
        self.planner = Planner(
            store,
            registry,
            deployment.topology.limits,
            feed,
            count_seconds=settings.plan_count_seconds,
            gone=_gone,
        )
        self.report = HealthReport(bus, deployment, self.resources, graph)

    async def submit(
        self, request: SubmitJob, *, job_id: str = "", schedule: str = "", owner: str = "", key: str = ""
    ) -> JobView:
        """Make a job and start it, put it off, or stand it in line behind the others on its repository.

        With a `job_id` that exists already: that job, as it is. `key`: see `Idempotency`."""
        self._connected()
        if key:
            kind = Kind(lambda: new_id(self.bus.now()), self.store.forgotten)
            return await Idempotency(self.bus).once(
                request,
                key=key,
                owner=owner,
                kind=kind,
                make=lambda job_id: self.submit(request, job_id=job_id, schedule=schedule, owner=owner),
            )
        if job_id and await self._exists(job_id):
            return await self.show(job_id)
        self.verbs.quota.refuse_beyond(owner)
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
                tracestate=telemetry.tracestate(span),
                owner=owner,
                source=submission.source(request, self.fetching, owner),
            )
            if len(job.model_dump_json()) > LARGEST_JOB:
                raise OptionsTooLarge
            try:
                await self._refuse_unknown(job.after)
                await self.deployment.tune()
                made = await (self._start(job) if job.eligible else self._put_off(job))
                telemetry.submitted(span, job.id)
                return made
            except Refused:  # another orchestrator was asked for this very job, and was faster
                return await self.show(job.id)
            except LOST as error:
                raise ServiceUnavailable from error

    def refuse_secret(self, request: SubmitJob, caller: Principal) -> None:
        submission.refuse_secret(request, caller, self.fetching)

    async def check(self, request: SubmitJob) -> None:
        """Refuse what `submit` would refuse now, of the request itself."""
        self._connected()
        await self._planned(request)

    async def _planned(self, request: SubmitJob) -> tuple[Repository, PipelineConfig, tuple[StepPlan, ...]]:
        repository = await self._repository(request)
        config = request.pipeline or await asyncio.to_thread(self.deployment.config)
        return repository, config, submission.plan(request, config, self.registry.steps)

    async def plan(self, request: SubmitJob, owner: str = "") -> PlanView:
        """What `submit` would make of it."""
        self._connected()
        repository, _, plan = await self._planned(request)
        try:
            return await self.planner.view(request, repository, plan, owner)
        except LOST as error:
            raise ServiceUnavailable from error

    async def lag(self, step: str) -> int:
        return await self.scale.lag(step)

    async def _repository(self, request: SubmitJob) -> Repository:
        if source := submission.source(request, self.fetching):
            return submission.elsewhere(source, request.name)
        if snapshot_id(request.repository):
            return await self.snapshots.repository(request.repository, request.name)
        if self.settings.authenticates and not self.settings.repository_roots:
            raise OutsideRoots(
                "This service reads no directories of its own machine. Upload the repository (codestory ingest start "
                "PATH --upload), name a git URL, or have CODESTORY_REPOSITORY_ROOTS set by whoever runs it."
            )
        path = submission.allowed(Path(request.repository), self.settings.repository_roots)
        return await asyncio.to_thread(_identify, path, request.name)

    async def _put_off(self, job: Job) -> JobView:
        """Not in line yet, where it would hold up who comes before it: only its repository's name is bound."""
        await self._join(job, None)
        await self._record(job)
        with suppress(*LOST):
            await self.reconciler.mend(job)
            await self.reconciler.ready(job)  # the jobs that it comes after may have ended already
        if job.source:
            self.on_fetch()
        return await self._view(job)

    async def _start(self, job: Job) -> JobView:
        """In line first, then the record: an entry without a record is dropped, a record without an entry gets one."""
        first = await self._join(job, QueueEntry(job=job.id, at=job.created_at, priority=job.priority))
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

    async def _join(self, job: Job, entry: QueueEntry | None) -> bool:
        origin = repository_identity.origin(job.repository)
        try:
            return await self.store.join(job.repository, origin, entry, moved=_gone)
        except NameTaken as error:
            if await self.store.known_to(job.owner, job.repository.id):
                raise
            raise NameTaken(job.repository.name) from error

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
            raise Throttled(full, made=True)
        with suppress(*LOST):
            rest = [command for command, done in zip(commands, admitted, strict=True) if not done]
            await dispatcher.send(begun, rest)
        return await self._view(begun)

    async def _record(self, job: Job) -> None:
        if not await self.store.write(job, 0):
            raise Refused({"description": f"the id {job.id} is taken"})
        trace_id = telemetry.trace_id_in(job.traceparent)
        log.info("job.submitted", job_id=job.id, repository=job.repository.name, trace_id=trace_id)

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

    async def owner(self, job_id: str) -> str | None:
        """Whose job it is, which never changes; None: there is no such job."""
        try:
            found = await self.store.read(job_id, fresh=False)
        except LOST as error:
            raise ServiceUnavailable from error
        return found[0].owner if found else None

    async def show(self, job_id: str) -> JobView:
        try:
            found = await self.store.read(job_id)
            if not found:
                raise JobNotFound(job_id)
            return await self.feed.view(*found)
        except LOST as error:
            raise ServiceUnavailable from error

    async def list_jobs(self, query: ListJobs, owner: str | None = None) -> JobList:
        self._connected()
        try:
            page = listing.page(await self.store.all(), query, owner)
            jobs: list[JobView] = []
            async for some in slices(page.ids, VIEWS):
                found = filter(None, map(self.store.remembered, some))
                jobs += [await self.feed.view(*each) for each in found]
            return JobList(jobs=tuple(jobs), next=page.next)
        except LOST as error:
            raise ServiceUnavailable from error

    async def show_step(self, job_id: str, step: str) -> StepView:
        job = await self.show(job_id)
        for view in job.steps:
            if view.name == step:
                return view
        raise StepNotFound(job_id, step, [view.name for view in job.steps])

    async def cancel(self, job_id: str, revisions: Revisions = None) -> JobView:
        await self.verbs.cancel(job_id, revisions)
        return await self.show(job_id)

    async def stop(self, job_id: str, revisions: Revisions = None) -> JobView:
        await self.verbs.stop(job_id, revisions)
        return await self.show(job_id)

    async def resume(self, job_id: str, revisions: Revisions = None) -> JobView:
        await self.verbs.resume(job_id, revisions)
        return await self.show(job_id)

    async def retry(self, job_id: str, request: RetryJob, revisions: Revisions = None) -> JobView:
        await self.verbs.retry(job_id, request, revisions)
        return await self.show(job_id)

    async def change(self, job_id: str, request: ChangeJob, revisions: Revisions = None) -> JobView:
        await self.verbs.change(job_id, request, revisions)
        return await self.show(job_id)

    async def cancel_all(self, request: BulkRequest, owner: str | None = None) -> BulkResult:
        self._connected()
        return await self.bulk.cancel(request, owner)

    async def stop_all(self, request: BulkRequest, owner: str | None = None) -> BulkResult:
        self._connected()
        return await self.bulk.stop(request, owner)

    async def retry_all(self, request: BulkRetry, owner: str | None = None) -> BulkResult:
        self._connected()
        return await self.bulk.retry(request, owner)

    async def why(self, job_id: str, owner: str | None = None) -> Why:
        return await self.explainer.why(job_id, owner)

    def watch(self, job_id: str) -> AsyncIterator[StatusMessage]:
        return self.feed.watch(job_id)

    async def resource_status(self) -> ResourceStatus:
        return await self.resources.status()

    async def change_resources(self, request: ChangeResources) -> ResourceStatus:
        return await self.resources.change(request)

    async def holders(self, owner: str | None = None) -> api.Holders:
        held = await self.resources.holders()
        try:
            return held if owner is None else await self.explainer.only_own(held, owner)
        except LOST as error:
            raise ServiceUnavailable from error

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
