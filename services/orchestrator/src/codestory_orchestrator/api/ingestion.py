"""What the API needs of the orchestrator."""

from collections.abc import AsyncIterator
from typing import Annotated, Protocol, cast

from fastapi import Depends
from fastapi.requests import HTTPConnection
from pydantic import TypeAdapter, ValidationError

from codestory.contracts.api import (
    ChangeJob,
    ChangeResourceLimits,
    ChangeResources,
    ChangeStep,
    Health,
    Holders,
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
from codestory.contracts.values import JobId
from codestory_orchestrator.errors import JobNotFound

_job_id = TypeAdapter[str](JobId)


class Ingestion(Protocol):
    """The verbs. Each raises an IngestionError for what it refuses."""

    async def submit(self, request: SubmitJob, *, job_id: str = "", owner: str = "") -> JobView:
        """Make a job. Once this returns it is not lost. With a `job_id` that exists already: that job, as it is."""
        ...

    async def show(self, job_id: str) -> JobView: ...

    async def list_jobs(self, limit: int) -> list[JobView]:
        """The newest jobs, the newest first."""
        ...

    async def show_step(self, job_id: str, step: str) -> StepView: ...

    async def cancel(self, job_id: str) -> JobView:
        """Begin to cancel. A job that is cancelled already is returned as it is; JobConflict if it ended otherwise."""
        ...

    async def stop(self, job_id: str) -> JobView:
        """Begin to stop. A job that is stopped already is returned as it is; JobConflict if it ended otherwise."""
        ...

    async def resume(self, job_id: str) -> JobView:
        """JobConflict unless it is stopped, or has been resumed and not ended since."""
        ...

    async def retry(self, job_id: str, request: RetryJob) -> JobView:
        """JobConflict unless it ended without completing, or this very retry goes on."""
        ...

    async def change(self, job_id: str, request: ChangeJob) -> JobView: ...

    async def why(self, job_id: str) -> Why: ...

    def watch(self, job_id: str) -> AsyncIterator[StatusMessage]:
        """The job as it is, then each change, last how it ended. Raises JobNotFound at the first message."""
        ...

    async def resource_status(self) -> ResourceStatus: ...

    async def change_resources(self, request: ChangeResources) -> ResourceStatus: ...

    async def holders(self) -> Holders:
        """The longest first."""
        ...

    async def resource_limits(self) -> list[TagStatus]: ...

    async def change_resource_limits(self, request: ChangeResourceLimits) -> list[TagStatus]: ...

    async def steps(self) -> list[StepStatus]: ...

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


#: How a route asks for the orchestrator, and for the job in its path.
Orchestrator = Annotated[Ingestion, Depends(_of_app)]
PathJobId = Annotated[str, Depends(possible)]
