"""The verbs by name: what each takes, whom it asks, what it answers. Knows nothing of the bus."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from codestory.contracts.access import EVERYBODY
from codestory.contracts.api import (
    ChangeResourceLimits,
    ChangeResources,
    JobView,
    RetryJob,
    StepList,
    StepView,
)
from codestory.contracts.listing import BulkRequest, BulkRetry, ListJobs
from codestory.contracts.planning import Lag
from codestory.contracts.repositories import ListRepositories
from codestory.contracts.schedules import CreateSchedule, Schedule, ScheduleList
from codestory.contracts.values import Mode
from codestory_orchestrator.api.history import History
from codestory_orchestrator.api.ingestion import Ingestion, possible
from codestory_orchestrator.api.repositories import Repositories
from codestory_orchestrator.api.schedules import Schedules
from codestory_orchestrator.errors import InvalidRequest, UnknownStep
from codestory_orchestrator.history.place import Place
from codestory_orchestrator.operators import requests
from codestory_orchestrator.snapshot_keeping import SnapshotKeeping

#: Operators are admins: who may use the bus as one is decided by the server's own users.
OPERATOR: Final = EVERYBODY
OWNER: Final = OPERATOR.owner


@dataclass(frozen=True)
class Desk:
    """Who is asked."""

    ingestion: Ingestion
    schedules: Schedules
    history: History
    repositories: Repositories
    snapshots: SnapshotKeeping


@dataclass(frozen=True)
class Verb:
    takes: type[BaseModel]
    #: Its request is one of `takes`. What it returns pydantic can write as JSON.
    do: Callable[[Desk, Any], Awaitable[Any]]
    about: str


# of the orchestrator


async def _start(desk: Desk, asked: requests.Start) -> JobView:
    job_id, key = asked.job_id or "", asked.idempotency_key
    return await desk.ingestion.submit(asked.request, job_id=job_id, owner=OWNER, key=key)


async def _events(desk: Desk, asked: requests.History) -> BaseModel:
    return await desk.history.events(_place(asked), asked.limit)


async def _logs(desk: Desk, asked: requests.Logs) -> BaseModel:
    return await desk.history.logs(_place(asked), asked.limit, step=asked.step)


def _place(asked: requests.History) -> Place:
    return Place(possible(asked.job), asked.from_seq, asked.epoch)


async def _steps(desk: Desk, _: requests.Nothing) -> StepList:
    return StepList(steps=tuple(await desk.ingestion.steps()))


async def _schedules(desk: Desk, _: requests.Nothing) -> ScheduleList:
    return ScheduleList(schedules=tuple(await desk.schedules.list_schedules()))


async def _create_schedule(desk: Desk, asked: requests.MakeSchedule) -> Schedule:
    schedule_id, key = asked.schedule_id or "", asked.idempotency_key
    return await desk.schedules.create(asked.request, schedule_id=schedule_id, owner=OWNER, key=key)


async def _delete_schedule(desk: Desk, asked: requests.VerbOfSchedule) -> dict[str, str]:
    await desk.schedules.delete(asked.schedule, asked.revisions)
    return {"deleted": asked.schedule}


async def _scale(desk: Desk, asked: requests.OfStep) -> Lag:
    return Lag(lag=await desk.ingestion.lag(asked.step))


async def _describe(_: Desk, asked: requests.Nothing) -> dict[str, Any]:
    del asked
    return {name: {"about": verb.about, "request": verb.takes.model_json_schema()} for name, verb in VERBS.items()}


VERBS: Final[Mapping[str, Verb]] = {
    "start": Verb(requests.Start, _start, "Start to ingest a repository."),
    "get": Verb(requests.OfJob, lambda d, r: d.ingestion.show(possible(r.job)), "One job."),
    "list": Verb(ListJobs, lambda d, r: d.ingestion.list_jobs(r), "One page of the jobs."),
    "step": Verb(requests.StepOfJob, lambda d, r: d.ingestion.show_step(possible(r.job), r.step), "One step of a job."),
    "cancel": Verb(
        requests.VerbOfJob, lambda d, r: d.ingestion.cancel(possible(r.job), r.revisions), "End a job for good."
    ),
    "stop": Verb(
        requests.VerbOfJob, lambda d, r: d.ingestion.stop(possible(r.job), r.revisions), "End a job, to be resumed."
    ),
    "resume": Verb(
        requests.VerbOfJob, lambda d, r: d.ingestion.resume(possible(r.job), r.revisions), "Let a stopped job go on."
    ),
    "retry": Verb(
        requests.Retry,
        lambda d, r: d.ingestion.retry(possible(r.job), r.request, r.revisions),
        "Run again what did not complete, or from a step on.",
    ),
    "change": Verb(
        requests.Change,
        lambda d, r: d.ingestion.change(possible(r.job), r.request, r.revisions),
        "Change the priority of a job.",
    ),
    "why": Verb(requests.OfJob, lambda d, r: d.ingestion.why(possible(r.job)), "What a job waits for."),
    "events": Verb(requests.History, _events, "What has happened to a job."),
    "trace": Verb(requests.OfJob, lambda d, r: d.history.trace(possible(r.job)), "Where the time of a job went."),
    "logs": Verb(requests.Logs, _logs, "What the steps of a job have written."),
    "cancel_jobs": Verb(BulkRequest, lambda d, r: d.ingestion.cancel_all(r), "Cancel all jobs of a filter."),
    "stop_jobs": Verb(BulkRequest, lambda d, r: d.ingestion.stop_all(r), "Stop all jobs of a filter."),
    "retry_jobs": Verb(BulkRetry, lambda d, r: d.ingestion.retry_all(r), "Retry all jobs of a filter."),
    "steps": Verb(requests.Nothing, _steps, "The steps that exist, their queues and workers."),
    "change_step": Verb(
        requests.AlterStep,
        lambda d, r: d.ingestion.change_step(r.step, r.request),
        "Change how many of a step run at once.",
    ),
    "resources": Verb(requests.Nothing, lambda d, _: d.ingestion.resource_status(), "The admission tokens."),
    "change_resources": Verb(
        ChangeResources, lambda d, r: d.ingestion.change_resources(r), "Change how many tokens there are."
    ),
    "holders": Verb(requests.Nothing, lambda d, _: d.ingestion.holders(), "Who holds each token, since when."),
    "limits": Verb(requests.Nothing, lambda d, _: d.ingestion.resource_limits(), "The limited tags."),
    "change_limits": Verb(
        ChangeResourceLimits, lambda d, r: d.ingestion.change_resource_limits(r), "Change the limits of tags."
    ),
    "schedules": Verb(requests.Nothing, _schedules, "All recurring schedules."),
    "create_schedule": Verb(requests.MakeSchedule, _create_schedule, "Ingest again and again."),
    "get_schedule": Verb(requests.OfSchedule, lambda d, r: d.schedules.show(r.schedule), "One schedule."),
    "change_schedule": Verb(
        requests.AlterSchedule,
        lambda d, r: d.schedules.change(r.schedule, r.request, r.revisions),
        "Pause it, or other times.",
    ),
    "delete_schedule": Verb(requests.VerbOfSchedule, _delete_schedule, "It makes no more jobs."),
    "repositories": Verb(
        ListRepositories, lambda d, r: d.repositories.list_repositories(r, OPERATOR), "One page of the repositories."
    ),
    "get_repository": Verb(
        requests.OfRepository, lambda d, r: d.repositories.show(r.repository, OPERATOR), "One repository."
    ),
    "delete_repository": Verb(
        requests.OfRepository,
        lambda d, r: d.repositories.delete(r.repository, OPERATOR),
        "Take a repository out of the graph.",
    ),
    "snapshots": Verb(
        requests.Snapshots,
        lambda d, r: d.snapshots.list_snapshots(r.limit),
        "The snapshots that are kept, and how much room.",
    ),
    "delete_snapshot": Verb(
        requests.OfSnapshot, lambda d, r: d.snapshots.delete(r.snapshot), "Make room: let go of a snapshot."
    ),
    "scale": Verb(requests.OfStep, _scale, "How many commands of a step are not done."),
    "health": Verb(requests.Nothing, lambda d, _: d.ingestion.health(), "How the service is."),
    "describe": Verb(requests.Nothing, _describe, "The JSON Schema of each request."),
}


# of a step: the eight operations of `codestory.steps`


@dataclass(frozen=True)
class _OfStep:
    name: str

    async def run(self, desk: Desk, asked: requests.StepRun) -> JobView:
        return await desk.ingestion.submit(
            asked.submission(self.name), job_id=asked.job_id or "", owner=OWNER, key=asked.idempotency_key
        )

    async def update(self, desk: Desk, asked: requests.StepRun) -> JobView:
        request = asked.submission(self.name, mode=Mode.UPDATE)
        return await desk.ingestion.submit(request, job_id=asked.job_id or "", owner=OWNER, key=asked.idempotency_key)

    async def schedule(self, desk: Desk, asked: requests.StepSchedule) -> JobView | Schedule:
        if len(asked.times) != 1:
            raise InvalidRequest("Give eta, countdown or cron: one of them.")
        request = asked.submission(self.name, mode=asked.mode, eta=asked.eta, countdown=asked.countdown)
        made, key = asked.job_id or "", asked.idempotency_key
        if asked.cron is None:
            return await desk.ingestion.submit(request, job_id=made, owner=OWNER, key=key)
        wanted = CreateSchedule(job=request, cron=asked.cron, time_zone=asked.time_zone, title=asked.title or self.name)
        return await desk.schedules.create(wanted, schedule_id=made, owner=OWNER, key=key)

    async def status(self, desk: Desk, asked: requests.OfJob) -> StepView:
        return await desk.ingestion.show_step(possible(asked.job), self.name)

    async def stop(self, desk: Desk, asked: requests.VerbOfJob) -> JobView:
        return await desk.ingestion.stop(possible(asked.job), asked.revisions)

    async def cancel(self, desk: Desk, asked: requests.VerbOfJob) -> JobView:
        return await desk.ingestion.cancel(possible(asked.job), asked.revisions)

    async def retry(self, desk: Desk, asked: requests.StepRetry) -> JobView:
        options = {self.name: asked.options} if asked.options else {}
        request = RetryJob(from_step=self.name, step_options=options)
        return await desk.ingestion.retry(possible(asked.job), request)

    async def dependencies(self, desk: Desk, _: requests.Nothing) -> tuple[str, ...]:
        steps = {step.name: step for step in await desk.ingestion.steps()}
        if self.name not in steps:
            raise UnknownStep("The service has no", [self.name], steps)
        return steps[self.name].depends_on


def of_step(name: str) -> Mapping[str, Verb]:
    step = _OfStep(name)
    return {
        "run": Verb(requests.StepRun, step.run, "A job of this one step."),
        "ingestion_update": Verb(requests.StepRun, step.update, "The same, computing only what has changed."),
        "schedule": Verb(requests.StepSchedule, step.schedule, "A job of this one step later, or again and again."),
        "status": Verb(requests.OfJob, step.status, "This step's part of a job."),
        "stop": Verb(requests.VerbOfJob, step.stop, "Stop the job that this step runs in."),
        "cancel": Verb(requests.VerbOfJob, step.cancel, "Cancel the job that this step runs in."),
        "retry": Verb(requests.StepRetry, step.retry, "Run this step of a job again, and what depends on it."),
        "dependencies": Verb(requests.Nothing, step.dependencies, "The steps that this one waits for."),
    }
