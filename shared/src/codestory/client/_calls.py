"""The requests of the API as values: method, path, and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Required, TypedDict, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from codestory.client._errors import Invalid, NotFound
from codestory.contracts.api import Health, JobList, JobView, Problem, ResourceStatus, StepList, SubmitJob
from codestory.contracts.plans import Options, PipelineConfig
from codestory.contracts.values import JobId, Priority

JOBS = "v1/ingest"
#: Names below JOBS that are not jobs.
RESERVED = frozenset({"resource_status", "steps", "health"})

Answer = TypeVar("Answer", bound=BaseModel)
_job_id: TypeAdapter[str] = TypeAdapter(JobId)


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One request. Only a GET may be sent again when nobody knows whether it arrived."""

    method: str
    path: str
    answer: type[Answer]
    query: Mapping[str, int] = field(default_factory=dict[str, int])
    body: str | None = None

    @property
    def safe(self) -> bool:
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


def submit(request: SubmitJob | None, fields: Mapping[str, Any]) -> Call[JobView]:
    return Call("POST", JOBS, JobView, body=_request(request, fields).model_dump_json(exclude_defaults=True))


def get(job_id: str) -> Call[JobView]:
    return Call("GET", f"{JOBS}/{known(job_id)}", JobView)


def jobs(limit: int) -> Call[JobList]:
    return Call("GET", JOBS, JobList, query={"limit": limit})


def cancel(job_id: str) -> Call[JobView]:
    return Call("POST", f"{JOBS}/{known(job_id)}/cancel", JobView)


def resource_status() -> Call[ResourceStatus]:
    return Call("GET", f"{JOBS}/resource_status", ResourceStatus)


def steps() -> Call[StepList]:
    return Call("GET", f"{JOBS}/steps", StepList)


def health() -> Call[Health]:
    return Call("GET", f"{JOBS}/health", Health)


def known(job_id: str) -> str:
    """The id, if it can be one: what cannot be an id must not become another path."""
    try:
        if _job_id.validate_python(job_id) in RESERVED:
            raise _no_such_job(job_id)
    except ValidationError as error:
        raise _no_such_job(job_id) from error
    return job_id


def _no_such_job(job_id: str) -> NotFound:
    detail = f"{job_id!a} is not the id of a job."
    return NotFound(Problem(title="Not Found", status=404, detail=detail, code="job-not-found"))


def _request(request: SubmitJob | None, fields: Mapping[str, Any]) -> SubmitJob:
    """A request that the service would refuse is refused here, with the same error."""
    if request is not None:
        return request
    try:
        return SubmitJob.model_validate(fields)
    except ValidationError as error:
        errors = [
            {"loc": list(e["loc"]), "msg": e["msg"]} for e in error.errors(include_input=False, include_url=False)
        ]
        detail = "The request cannot be taken as it stands."
        problem = Problem(
            title="Unprocessable", status=422, detail=detail, code="invalid-request", errors=tuple(errors)
        )
        raise Invalid(problem) from error
