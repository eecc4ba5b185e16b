"""The requests of the API as values: method, path, and what is answered."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Required, TypedDict, TypeVar

from pydantic import BaseModel, RootModel, TypeAdapter, ValidationError

from codestory.client import _tracing
from codestory.client._errors import Invalid, NotFound
from codestory.contracts.api import (
    ChangeJob,
    ChangeResourceLimits,
    ChangeResources,
    ChangeStep,
    Health,
    Holders,
    JobList,
    JobView,
    Problem,
    ResourceStatus,
    RetryJob,
    StepList,
    StepStatus,
    StepView,
    SubmitJob,
    TagStatus,
    Why,
)
from codestory.contracts.history import EventList, LogList
from codestory.contracts.listing import BulkRequest, BulkResult, BulkRetry, ListJobs, Sort
from codestory.contracts.planning import PlanView
from codestory.contracts.plans import Options, PipelineConfig
from codestory.contracts.schedules import ChangeSchedule, CreateSchedule, Schedule, ScheduleList
from codestory.contracts.traces import Trace
from codestory.contracts.values import JobId, JobState, Mode, OnFull, Priority, StepName, When

JOBS = "v1/ingest"
SCHEDULES = f"{JOBS}/schedules"
#: Longer than a service takes by its own settings, unless they are changed a lot.
BUNDLE_SECONDS = 120.0
#: Names below JOBS that are not jobs.
RESERVED = frozenset(
    {
        "resource_status",
        "resource_limits",
        "steps",
        "schedules",
        "snapshots",
        "health",
        "plan",
        "scale",
        "cancel",
        "stop",
        "retry",
    }
)

Answer = TypeVar("Answer", bound=BaseModel)
Asked = TypeVar("Asked", bound=BaseModel)
_job_id: TypeAdapter[str] = TypeAdapter(JobId)
_step_name: TypeAdapter[str] = TypeAdapter(StepName)


class Nothing(BaseModel):
    """The answer of a request that is only done."""


class TagList(RootModel[tuple[TagStatus, ...]]):
    """Every limited tag."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One request.

    `again`: sent a second time it changes nothing more, so that it may be sent again when nobody knows whether it
    arrived. What only asks is so, and each verb of a job: stopped twice is stopped once.

    `report`: where a problem brings the answer along all the same. `media_type`: the answer is the `content` itself, of
    this kind. `seconds`: it may take so long, if that is more than a request otherwise may."""

    method: str
    path: str
    answer: type[Answer]
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: str | bytes | None = None
    again: bool = False
    report: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    media_type: str = ""
    seconds: float = 0.0

    @property
    def asks(self) -> bool:
        """It changes nothing at all."""
        return self.method == "GET"


class Content(BaseModel):
    """The answer of a request for a file."""

    content: bytes


class Submission(TypedDict, total=False):
    """The fields of `SubmitJob` as keywords."""

    repository: Required[str]
    ref: str | None
    credential: str | None
    submodules: bool
    name: str | None
    steps: tuple[str, ...] | list[str]
    options: Options
    step_options: dict[str, Options]
    priority: Priority | str
    pipeline: PipelineConfig | None
    mode: Mode | str
    eta: datetime | str | None
    countdown: float | None
    after: tuple[str, ...] | list[str]
    when: When | str
    dependencies: Mapping[str, tuple[str, ...] | list[str]]
    resources: tuple[str, ...] | list[str]
    on_full: OnFull | str


class Again(TypedDict, total=False):
    """The fields of `RetryJob` as keywords."""

    from_step: str
    options: Options
    step_options: dict[str, Options]


class Filters(TypedDict, total=False):
    """Which jobs are meant: those to which all of this applies."""

    #: One of these states.
    status: JobState | str | tuple[JobState | str, ...] | list[JobState | str] | list[JobState] | list[str]
    #: Name or id of the repository.
    repository: str
    #: The job has this step.
    step: str
    priority: Priority | str
    #: Made then or later; made before.
    since: datetime | str
    until: datetime | str
    #: Made by this schedule.
    schedule: str


class Recurring(TypedDict, total=False):
    """The fields of `CreateSchedule` as keywords."""

    job: Required[SubmitJob | Submission]
    cron: Required[str]
    time_zone: str
    title: str
    paused: bool


class ScheduleChanges(TypedDict, total=False):
    """The fields of `ChangeSchedule` as keywords."""

    paused: bool
    cron: str
    time_zone: str


# jobs


def submit(request: SubmitJob | None, fields: Mapping[str, Any], key: str | None) -> Call[JobView]:
    return _make(JOBS, JobView, _body(SubmitJob, request, fields), key)


def plan(request: SubmitJob | None, fields: Mapping[str, Any]) -> Call[PlanView]:
    """It makes nothing, so it may be sent again."""
    return Call("POST", f"{JOBS}/plan", PlanView, body=_body(SubmitJob, request, fields), again=True)


def get(job_id: str) -> Call[JobView]:
    return _ask(f"{JOBS}/{known(job_id)}", JobView)


def jobs(limit: int, filters: Mapping[str, Any], *, sort: Sort | str, cursor: str | None = None) -> Call[JobList]:
    asked = _valid(ListJobs, {**_filters(filters), "limit": limit, "sort": sort, "cursor": cursor})
    query = {"limit": limit} | asked.model_dump(mode="json", exclude_defaults=True)
    return Call("GET", JOBS, JobList, query=query, again=True)


def cancel_all(filters: Mapping[str, Any], **asked: Any) -> Call[BulkResult]:
    return _bulk("cancel", BulkRequest, filters, asked)


def stop_all(filters: Mapping[str, Any], **asked: Any) -> Call[BulkResult]:
    return _bulk("stop", BulkRequest, filters, asked)


def retry_all(filters: Mapping[str, Any], **asked: Any) -> Call[BulkResult]:
    return _bulk("retry", BulkRetry, filters, asked)


def cancel(job_id: str) -> Call[JobView]:
    return _verb(job_id, "cancel")


def stop(job_id: str) -> Call[JobView]:
    return _verb(job_id, "stop")


def resume(job_id: str) -> Call[JobView]:
    return _verb(job_id, "resume")


def retry(job_id: str, request: RetryJob | None, fields: Mapping[str, Any]) -> Call[JobView]:
    return _verb(job_id, "retry", _body(RetryJob, request, fields))


def change(job_id: str, fields: Mapping[str, Any]) -> Call[JobView]:
    return _set(f"{JOBS}/{known(job_id)}", JobView, _body(ChangeJob, None, fields))


def why(job_id: str) -> Call[Why]:
    return _ask(f"{JOBS}/{known(job_id)}/why", Why)


def step(job_id: str, name: str) -> Call[StepView]:
    return _ask(f"{JOBS}/{known(job_id)}/steps/{known_step(name)}", StepView)


def events(job_id: str, start: int, epoch: int) -> Call[EventList]:
    return Call("GET", f"{JOBS}/{known(job_id)}/events", EventList, query=_place(start, epoch), again=True)


def trace(job_id: str) -> Call[Trace]:
    return _ask(f"{JOBS}/{known(job_id)}/trace", Trace)


def bundle(job_id: str) -> Call[Content]:
    path, zipped = f"{JOBS}/{known(job_id)}/bundle", "application/zip"
    return Call("GET", path, Content, again=True, media_type=zipped, seconds=BUNDLE_SECONDS, headers={"Accept": zipped})


def logs(job_id: str, step: str | None, start: int, epoch: int) -> Call[LogList]:
    query = _place(start, epoch) | ({"step": known_step(step)} if step else {})
    return Call("GET", f"{JOBS}/{known(job_id)}/logs", LogList, query=query, again=True)


# what jobs share


def resource_status() -> Call[ResourceStatus]:
    return _ask(f"{JOBS}/resource_status", ResourceStatus)


def set_max_tokens(max_tokens: int) -> Call[ResourceStatus]:
    body = _body(ChangeResources, None, {"max_tokens": max_tokens})
    return _set(f"{JOBS}/resource_status", ResourceStatus, body)


def holders() -> Call[Holders]:
    return _ask(f"{JOBS}/resource_status/holders", Holders)


def resource_limits() -> Call[TagList]:
    return _ask(f"{JOBS}/resource_limits", TagList)


def set_resource_limits(limits: Mapping[str, int | None]) -> Call[TagList]:
    return _set(f"{JOBS}/resource_limits", TagList, _body(ChangeResourceLimits, None, {"limits": limits}))


def steps() -> Call[StepList]:
    return _ask(f"{JOBS}/steps", StepList)


def set_concurrency(name: str, concurrency: int) -> Call[StepStatus]:
    body = _body(ChangeStep, None, {"concurrency": concurrency})
    return _set(f"{JOBS}/steps/{known_step(name)}", StepStatus, body)


def health() -> Call[Health]:
    return Call("GET", f"{JOBS}/health", Health, again=True, report="health")


# schedules


def create_schedule(request: CreateSchedule | None, fields: Mapping[str, Any], key: str | None) -> Call[Schedule]:
    return _make(SCHEDULES, Schedule, _body(CreateSchedule, request, fields), key)


def schedules() -> Call[ScheduleList]:
    return _ask(SCHEDULES, ScheduleList)


def schedule(schedule_id: str) -> Call[Schedule]:
    return _ask(_schedule(schedule_id), Schedule)


def change_schedule(schedule_id: str, fields: Mapping[str, Any]) -> Call[Schedule]:
    return _set(_schedule(schedule_id), Schedule, _body(ChangeSchedule, None, fields))


def delete_schedule(schedule_id: str) -> Call[Nothing]:
    """Not sent again: the second time there would be no such schedule."""
    return Call("DELETE", _schedule(schedule_id), Nothing)


def known(job_id: str) -> str:
    """The id, if it can be one: what cannot be an id must not become another path."""
    if not _fits(_job_id, job_id) or job_id in RESERVED:
        raise _unknown("job-not-found", f"{job_id!a} is not the id of a job.")
    return job_id


def known_step(name: str) -> str:
    if not _fits(_step_name, name):
        raise _unknown("step-not-found", f"{name!a} is not the name of a step.")
    return name


def _schedule(schedule_id: str) -> str:
    if not _fits(_job_id, schedule_id):
        raise _unknown("schedule-not-found", f"{schedule_id!a} is not the id of a schedule.")
    return f"{SCHEDULES}/{schedule_id}"


def _place(start: int, epoch: int) -> dict[str, Any]:
    return {"from_seq": start} | ({"epoch": epoch} if epoch else {})


def _ask(path: str, answer: type[Answer]) -> Call[Answer]:
    return Call("GET", path, answer, again=True)


def _make(path: str, answer: type[Answer], body: str, key: str | None) -> Call[Answer]:
    """With a key of its own it makes one thing, however often it is sent."""
    headers = {"Idempotency-Key": uuid.uuid4().hex if key is None else key}
    return Call("POST", path, answer, body=body, again=True, headers=headers | _tracing.context())


def _bulk(verb: str, kind: type[BulkRequest], filters: Mapping[str, Any], asked: Mapping[str, Any]) -> Call[BulkResult]:
    """Not sent again: the second time it would mean others, beyond the limit of the first."""
    body = _body(kind, None, {"filter": _filters(filters), **asked})
    return Call("POST", f"{JOBS}/{verb}", BulkResult, body=body)


def _filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """One state may be given as it is."""
    status = filters.get("status")
    return {**filters, "status": (status,)} if isinstance(status, str) else dict(filters)


def _set(path: str, answer: type[Answer], body: str) -> Call[Answer]:
    return Call("PATCH", path, answer, body=body, again=True)


def _verb(job_id: str, verb: str, body: str | None = None) -> Call[JobView]:
    return Call("POST", f"{JOBS}/{known(job_id)}/{verb}", JobView, body=body, again=True)


def _fits(kind: TypeAdapter[str], text: str) -> bool:
    try:
        kind.validate_python(text)
    except ValidationError:
        return False
    return True


def _unknown(code: str, detail: str) -> NotFound:
    return NotFound(Problem(title="Not Found", status=404, detail=detail, code=code))


def _body(kind: type[Asked], request: Asked | None, fields: Mapping[str, Any]) -> str:
    """A request that the service would refuse is refused here, with the same error."""
    return (request or _valid(kind, fields)).model_dump_json(exclude_defaults=True)


def _valid(kind: type[Asked], fields: Mapping[str, Any]) -> Asked:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _refused(error) from error


def _refused(error: ValidationError) -> Invalid:
    errors = [{"loc": list(e["loc"]), "msg": e["msg"]} for e in error.errors(include_input=False, include_url=False)]
    detail = "The request cannot be taken as it stands."
    problem = Problem(title="Unprocessable", status=422, detail=detail, code="invalid-request", errors=tuple(errors))
    return Invalid(problem)
