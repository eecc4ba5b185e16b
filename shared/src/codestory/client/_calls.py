"""The requests of the API as values: method, path, and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Required, TypedDict, TypeVar

from pydantic import BaseModel, RootModel, TypeAdapter, ValidationError

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
from codestory.contracts.plans import Options, PipelineConfig
from codestory.contracts.schedules import ChangeSchedule, CreateSchedule, Schedule, ScheduleList
from codestory.contracts.values import JobId, Mode, OnFull, Priority, StepName, When

JOBS = "v1/ingest"
SCHEDULES = f"{JOBS}/schedules"
#: Names below JOBS that are not jobs.
RESERVED = frozenset({"resource_status", "resource_limits", "steps", "schedules", "health"})

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
    arrived. What only asks is so, and each verb of a job: stopped twice is stopped once."""

    method: str
    path: str
    answer: type[Answer]
    query: Mapping[str, int] = field(default_factory=dict[str, int])
    body: str | None = None
    again: bool = False

    @property
    def asks(self) -> bool:
        """It changes nothing at all."""
        return self.method == "GET"


class Submission(TypedDict, total=False):
    """The fields of `SubmitJob` as keywords."""

    repository: Required[str]
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


def submit(request: SubmitJob | None, fields: Mapping[str, Any]) -> Call[JobView]:
    return Call("POST", JOBS, JobView, body=_body(SubmitJob, request, fields))


def get(job_id: str) -> Call[JobView]:
    return _ask(f"{JOBS}/{known(job_id)}", JobView)


def jobs(limit: int) -> Call[JobList]:
    return Call("GET", JOBS, JobList, query={"limit": limit}, again=True)


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
    return _ask(f"{JOBS}/health", Health)


# schedules


def create_schedule(request: CreateSchedule | None, fields: Mapping[str, Any]) -> Call[Schedule]:
    return Call("POST", SCHEDULES, Schedule, body=_body(CreateSchedule, request, fields))


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


def _ask(path: str, answer: type[Answer]) -> Call[Answer]:
    return Call("GET", path, answer, again=True)


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
    if request is None:
        try:
            request = kind.model_validate(fields)
        except ValidationError as error:
            raise _refused(error) from error
    return request.model_dump_json(exclude_defaults=True)


def _refused(error: ValidationError) -> Invalid:
    errors = [{"loc": list(e["loc"]), "msg": e["msg"]} for e in error.errors(include_input=False, include_url=False)]
    detail = "The request cannot be taken as it stands."
    problem = Problem(title="Unprocessable", status=422, detail=detail, code="invalid-request", errors=tuple(errors))
    return Invalid(problem)
