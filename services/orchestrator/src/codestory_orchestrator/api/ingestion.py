"""What the API needs of the orchestrator."""

from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Protocol, cast

from fastapi import Depends
from fastapi.requests import HTTPConnection
from pydantic import TypeAdapter, ValidationError

from codestory.contracts.access import Principal, Role
from codestory.contracts.api import (
    ChangeJob,
    ChangeResourceLimits,
    ChangeResources,
    ChangeStep,
    Health,
    Holders,
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
from codestory.contracts.listing import BulkRequest, BulkResult, BulkRetry, ListJobs
from codestory.contracts.planning import PlanView
from codestory.contracts.values import JobId
from codestory_orchestrator.api.access import Caller
from codestory_orchestrator.errors import JobNotFound, UnknownJob

_job_id = TypeAdapter[str](JobId)


class Ingestion(Protocol):
    """The verbs. Each raises an IngestionError for what it refuses."""

    async def submit(self, request: SubmitJob, *, job_id: str = "", owner: str = "", key: str = "") -> JobView:
        """Make a job. Once this returns it is not lost. With a `job_id` that exists already: that job, as it is.

        `key`: of its owner's requests all those with the same key make one job. KeyReused, or Forgotten."""
        ...

    def refuse_secret(self, request: SubmitJob, caller: Principal) -> None:
        """Raises RepositoryRefused for a credential of git that is not for whoever asks."""
        ...

    async def owner(self, job_id: str) -> str | None:
        """Whose job it is; None: there is no such job."""
        ...

    async def show(self, job_id: str) -> JobView: ...

    async def list_jobs(self, query: ListJobs, owner: str | None = None) -> JobList:
        """One page. `owner`: theirs only; None: whoever's. CursorInvalid."""
        ...

    async def show_step(self, job_id: str, step: str) -> StepView: ...

    # Each of these with `revisions`: ChangedMeanwhile unless the job's record is at one of them.

    async def cancel(self, job_id: str, revisions: frozenset[int] | None = None) -> JobView:
        """Begin to cancel. A job that is cancelled already is returned as it is; JobConflict if it ended otherwise."""
        ...

    async def stop(self, job_id: str, revisions: frozenset[int] | None = None) -> JobView:
        """Begin to stop. A job that is stopped already is returned as it is; JobConflict if it ended otherwise."""
        ...

    async def resume(self, job_id: str, revisions: frozenset[int] | None = None) -> JobView:
        """JobConflict unless it is stopped, or has been resumed and not ended since."""
        ...

    async def retry(self, job_id: str, request: RetryJob, revisions: frozenset[int] | None = None) -> JobView:
        """JobConflict unless it ended without completing, or this very retry goes on."""
        ...

    async def change(self, job_id: str, request: ChangeJob, revisions: frozenset[int] | None = None) -> JobView: ...

    async def cancel_all(self, request: BulkRequest, owner: str | None = None) -> BulkResult:
        """As `cancel`, of each. `owner`: theirs only; None: whoever's."""
        ...

    async def stop_all(self, request: BulkRequest, owner: str | None = None) -> BulkResult: ...

    async def retry_all(self, request: BulkRetry, owner: str | None = None) -> BulkResult: ...

    async def why(self, job_id: str, owner: str | None = None) -> Why:
        """`owner`: without what is of others, but for their jobs' ids; None: all of it."""
        ...

    def watch(self, job_id: str) -> AsyncIterator[StatusMessage]:
        """The job as it is, then each change, last how it ended. Raises JobNotFound at the first message."""
        ...

    async def resource_status(self) -> ResourceStatus: ...

    async def change_resources(self, request: ChangeResources) -> ResourceStatus: ...

    async def holders(self, owner: str | None = None) -> Holders:
        """The longest first. `owner`: without the repositories of others' jobs."""
        ...

    async def resource_limits(self) -> list[TagStatus]: ...

    async def change_resource_limits(self, request: ChangeResourceLimits) -> list[TagStatus]: ...

    async def steps(self) -> list[StepStatus]: ...

    async def plan(self, request: SubmitJob, owner: str = "") -> PlanView:
        """What `submit` would make of it; nothing is made."""
        ...

    async def lag(self, step: str) -> int:
        """Commands of it that wait or run. Raises StepNotOffered."""
        ...

    async def change_step(self, step: str, request: ChangeStep) -> StepStatus:
        """Raises UnknownStep."""
        ...

    async def health(self) -> Health: ...

    async def ready(self) -> bool: ...


def _of_app(connection: HTTPConnection) -> Ingestion:
    return cast("Ingestion", connection.app.state.ingestion)


def possible(job_id: str) -> str:
    """What cannot be an id is no job; it must not reach the store as a key."""
    try:
        return _job_id.validate_python(job_id)
    except ValidationError as error:
        raise JobNotFound(job_id) from error


async def visible(job_id: str, ingestion: Ingestion, caller: Principal) -> str:
    """The id of a job that exists for whoever asks. JobNotFound: another's job, in the words of one that is none."""
    possible(job_id)
    if caller.role is not Role.ADMIN:
        owner = await ingestion.owner(job_id)
        if owner is None or not caller.sees(owner):
            raise JobNotFound(job_id)
    return job_id


async def _in_path(job_id: str, ingestion: Annotated[Ingestion, Depends(_of_app)], caller: Caller) -> str:
    return await visible(job_id, ingestion, caller)


async def refuse_unseen(job_ids: Iterable[str], ingestion: Ingestion, caller: Principal) -> None:
    """Raises UnknownJob for the jobs to be waited for that do not exist for whoever asks."""
    if caller.role is Role.ADMIN:
        return
    owners = [(job_id, await ingestion.owner(job_id)) for job_id in dict.fromkeys(job_ids)]
    if unseen := [job_id for job_id, owner in owners if owner is None or not caller.sees(owner)]:
        raise UnknownJob(unseen)


#: How a route asks for the orchestrator, and for the job in its path.
Orchestrator = Annotated[Ingestion, Depends(_of_app)]
PathJobId = Annotated[str, Depends(_in_path)]
