"""What the API needs of the orchestrator."""

from collections.abc import AsyncIterator
from typing import Annotated, Protocol, cast

from fastapi import Depends
from fastapi.requests import HTTPConnection
from pydantic import TypeAdapter, ValidationError

from codestory.contracts.api import Health, JobView, ResourceStatus, StatusMessage, StepStatus, SubmitJob
from codestory.contracts.values import JobId
from codestory_orchestrator.errors import JobNotFound

_job_id = TypeAdapter[str](JobId)


class Ingestion(Protocol):
    """The verbs. Each raises an IngestionError for what it refuses."""

    async def submit(self, request: SubmitJob) -> JobView:
        """Make a job. Once this returns the job is not lost."""
        ...

    async def show(self, job_id: str) -> JobView: ...

    async def list_jobs(self, limit: int) -> list[JobView]:
        """The newest jobs, the newest first."""
        ...

    async def cancel(self, job_id: str) -> JobView:
        """Begin to cancel. A job that is cancelled already is returned as it is; JobConflict if it ended otherwise."""
        ...

    def watch(self, job_id: str) -> AsyncIterator[StatusMessage]:
        """The job as it is, then each change, last how it ended. Raises JobNotFound at the first message."""
        ...

    async def resource_status(self) -> ResourceStatus: ...

    async def steps(self) -> list[StepStatus]: ...

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
