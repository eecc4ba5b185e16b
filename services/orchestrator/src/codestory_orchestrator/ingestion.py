"""The verbs: what the API asks of the orchestrator."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from codestory import pipeline_file, repository_identity, telemetry
from codestory.bus import LOST, Bus, Refused
from codestory.contracts.api import Check, Health, JobView, ResourceStatus, StatusMessage, StepStatus, SubmitJob
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.plans import PipelineConfig
from codestory.contracts.values import JobState, now
from codestory_orchestrator import pipeline, submission
from codestory_orchestrator.errors import (
    ConfigInvalid,
    JobConflict,
    JobNotFound,
    OptionsTooLarge,
    RepositoryRefused,
    ServiceUnavailable,
)
from codestory_orchestrator.feed import Feed
from codestory_orchestrator.graph_health import GraphHealth
from codestory_orchestrator.reconciler import Reconciler
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.topology import Topology
from codestory_orchestrator.views import job_view

log = telemetry.logger(__name__)

#: Bytes of a new job's record. It grows while it runs, and the bus takes a million.
LARGEST_JOB = 256 * 1024
SEVERITY = ("pass", "warn", "fail")


class Ingestion:
    def __init__(
        self,
        *,
        bus: Bus,
        store: JobStore,
        registry: Registry,
        reconciler: Reconciler,
        feed: Feed,
        topology: Topology,
        graph: GraphHealth,
        settings: OrchestratorSettings,
    ) -> None:
        self.bus, self.store, self.registry, self.reconciler, self.feed = bus, store, registry, reconciler, feed
        self.topology, self.graph, self.settings = topology, graph, settings
        self._concurrencies: dict[str, int] = {}
        #: The other orchestrators whose pipeline_config.yml says something else.
        self.differing: Callable[[], tuple[str, ...]] = tuple

    async def submit(self, request: SubmitJob) -> JobView:
        """Make a job and start it, or stand it in line behind the others on its repository."""
        self._connected()
        path = submission.allowed(Path(request.repository), self.settings.repository_roots)
        repository = await asyncio.to_thread(_identify, path, request.name)
        config = request.pipeline or await asyncio.to_thread(self.config)
        plan = submission.plan(request, config, self.registry.steps)
        with telemetry.submit_span() as span:
            job = pipeline.make(
                new_id(), repository, plan, at=now(), priority=request.priority, traceparent=telemetry.traceparent(span)
            )
            if len(job.model_dump_json()) > LARGEST_JOB:
                raise OptionsTooLarge
            try:
                await self.tune()
                return await self._start(job)
            except LOST as error:
                raise ServiceUnavailable from error

    async def _start(self, job: Job) -> JobView:
        """In line first, then the record: an entry without a record is dropped, a record without an entry gets one."""
        origin = repository_identity.origin(job.repository)
        first = await self.store.join(job.repository, origin, job.id, job.created_at, moved=_gone)
        slow = now() - job.created_at > timedelta(seconds=self.settings.queue_entry_seconds / 2)
        at_once = first and not slow  # a place that was not taken in time may be another's: then look again
        job, commands = pipeline.begin(job, now()) if at_once else (job, [])
        if not await self.store.write(job, 0):
            raise Refused({"description": f"the id {job.id} is taken"})
        log.info(
            "job.submitted", job_id=job.id, repository=job.repository.name, first=first, traceparent=job.traceparent
        )
        with suppress(*LOST):  # the job is recorded: what could not be sent now the reconciler sends
            await self.reconciler.dispatcher.send(job, commands)
            if not at_once:
                await self.reconciler.start_next(job.repository.id)  # the one before may have ended in between
        now_it_is = await self.store.read(job.id, fresh=False) or (job, 0)
        return job_view(*now_it_is, waits_for=self.store.waits_for(job))

    async def show(self, job_id: str) -> JobView:
        try:
            found = await self.store.read(job_id)
            if not found:
                raise JobNotFound(job_id)
            job, revision = found
            return job_view(job, revision, waits_for=self.store.waits_for(job), progress=await self.feed.progress(job))
        except LOST as error:
            raise ServiceUnavailable from error

    async def list_jobs(self, limit: int) -> list[JobView]:
        self._connected()
        return [
            job_view(job, revision, waits_for=self.store.waits_for(job)) for job, revision in self.store.newest(limit)
        ]

    async def cancel(self, job_id: str) -> JobView:
        try:
            job = await self.store.change(
                job_id, lambda job: pipeline.cancel(job, now(), self.settings.cancel_grace_seconds)
            )
            log.info("job.cancelling", job_id=job_id, state=job.state)
            await self.reconciler.mend(job, ended=True)
            return await self.show(job_id)
        except pipeline.Conflict as conflict:
            if str(conflict) == JobState.CANCELLED:
                return await self.show(job_id)
            raise JobConflict(job_id, str(conflict)) from conflict
        except LOST as error:
            raise ServiceUnavailable from error

    def watch(self, job_id: str) -> AsyncIterator[StatusMessage]:
        return self.feed.watch(job_id)

    async def resource_status(self) -> ResourceStatus:
        try:
            info = await self.bus.js.stream_info(self.bus.stream("RUN"))
        except LOST as error:
            raise ServiceUnavailable from error
        most = info.config.max_msgs or 0
        return ResourceStatus(available_tokens=max(most - info.state.messages, 0), max_tokens=most)

    async def steps(self) -> list[StepStatus]:
        self._connected()
        try:
            living = await self.registry.living()
            waiting = await self.bus.subjects("READY", self.bus.subject("ready.>"))
            running = await self.bus.subjects("RUN", self.bus.subject("run.>"))
            return [
                StepStatus(
                    **info.model_dump(),
                    workers=living.get(name, 0),
                    concurrency=await self._concurrency(name),
                    waiting=sum(subject.split(".")[-2] == name for subject in waiting),
                    running=sum(subject.split(".")[-2] == name for subject in running),
                    depends_on=self._depends_on(name),
                )
                for name, info in sorted(self.registry.steps.items())
            ]
        except LOST as error:
            raise ServiceUnavailable from error

    async def ready(self) -> bool:
        """The bus answers and everything is declared."""
        if not self.bus.connected or not self.bus.epoch:
            return False
        try:
            async with asyncio.timeout(2):
                return await self.bus.current_epoch() == self.bus.epoch
        except LOST:
            return False

    async def health(self) -> Health:
        checks = {
            "nats": self._nats(),
            "graph": await self._graph(),
            "pipeline_config": await asyncio.to_thread(self._file),
        }
        try:
            async with asyncio.timeout(3):
                checks |= await self._bus_checks()
        except (*LOST, ServiceUnavailable) as error:
            checks["jetstream"] = Check(status="fail", detail=f"JetStream does not answer: {error!r}")
        worst = max((check for check in checks.values()), key=lambda check: SEVERITY.index(check.status)).status
        return Health(status=worst, version=telemetry.version(), checks=checks)

    def config(self) -> PipelineConfig:
        """The service's own pipeline_config.yml, read anew."""
        try:
            return pipeline_file.load(self.settings.pipeline_config)
        except pipeline_file.PipelineFileError as error:
            raise ConfigInvalid(str(error)) from error

    async def tune(self, new: str = "") -> None:
        """Give the consumers of all known steps, and of a `new` one, the concurrency that the file has now."""
        try:
            configured = {step.name: step.concurrency or 1 for step in (await asyncio.to_thread(self.config)).steps}
        except ConfigInvalid as error:
            log.warning("pipeline_config.invalid", error=str(error))
            configured = None
        for step in {new, *self.registry.steps} - {""}:
            concurrency = self._concurrencies.get(step) if configured is None else configured.get(step, 1)
            if step == new or self._concurrencies.get(step) != concurrency:
                await self.topology.declare_step(step, concurrency)
                if concurrency:
                    self._concurrencies[step] = concurrency

    def _connected(self) -> None:
        """Before everything is known, nothing can be told: neither "no jobs" nor "no such step"."""
        if not self.bus.epoch:
            raise ServiceUnavailable

    def _depends_on(self, step: str) -> tuple[str, ...]:
        try:
            plan = self.config().plan()
        except ConfigInvalid:
            return ()
        return next((p.depends_on for p in plan if p.name == step), ())

    async def _concurrency(self, step: str) -> int:
        info = await self.bus.js.consumer_info(self.bus.stream("RUN"), step)
        return info.config.max_ack_pending or 1

    # health

    def _nats(self) -> Check:
        return (
            Check(status="pass") if self.bus.connected else Check(status="fail", detail="not connected; reconnecting")
        )

    def _file(self) -> Check:
        try:
            config = self.config()
        except ConfigInvalid as error:
            return Check(status="fail", detail=str(error))
        unknown = [step.name for step in config.steps if step.name not in self.registry.steps]
        detail = f"no service has registered {', '.join(unknown)}" if unknown else ""
        if others := self.differing():
            detail = f"{detail}; the file of {', '.join(others)} says something else".lstrip("; ")
        return Check(
            status="warn" if detail else "pass", detail=detail, observed={"steps": [s.name for s in config.steps]}
        )

    async def _graph(self) -> Check:
        problem = await self.graph.problem()
        return Check(status="fail", detail=problem) if problem else Check(status="pass")

    async def _bus_checks(self) -> dict[str, Check]:
        tokens, steps = await self.resource_status(), await self.steps()
        advisories = await self.bus.js.stream_info(self.bus.stream("ADVISORIES"))
        checks = {
            "jetstream": Check(status="pass", observed={"epoch": self.bus.epoch}),
            "tokens": Check(status="pass", observed=tokens.model_dump()),
            "dead_letters": Check(
                status="warn" if advisories.state.messages else "pass", observed={"messages": advisories.state.messages}
            ),
        }
        for step in steps:  # none alive is no failure: a step may be scaled to zero
            observed = {
                "alive": step.workers,
                "waiting": step.waiting,
                "running": step.running,
                "concurrency": step.concurrency,
            }
            checks[f"workers:{step.name}"] = Check(status="pass", observed=observed)
        return checks


def new_id() -> str:
    """Grows with time, so that ids sort by age; the random part tells two orchestrators apart."""
    return f"{int(time.time() * 1000):011x}{secrets.token_hex(4)}"


def _identify(path: Path, name: str | None) -> Repository:
    try:
        return repository_identity.identify(path, name)
    except repository_identity.RepositoryError as error:
        raise RepositoryRefused(str(error)) from error


def _gone(origin: str) -> bool:
    """The folder that holds the name is no longer there: it has moved. A remote cannot be gone."""
    return origin.startswith("/") and not Path(origin).exists()
