"""What the routes of a job's history share: who answers them, and where somebody begins to read."""

from dataclasses import dataclass
from typing import Annotated, Protocol, cast

from fastapi import Depends, Header, Query
from fastapi.requests import HTTPConnection

from codestory.contracts.history import LARGEST, EventList, JobEvent, LogLine, LogList
from codestory.contracts.traces import Trace
from codestory_orchestrator.api import sse
from codestory_orchestrator.api.ingestion import PathJobId
from codestory_orchestrator.history.place import Feed, Place

#: Of one page.
MOST = 1000


class History(Protocol):
    """Each raises an IngestionError for what it refuses: JobNotFound, StepNotFound, EventsGone, ServiceUnavailable."""

    async def events(self, place: Place, limit: int) -> EventList: ...

    async def logs(self, place: Place, limit: int, *, step: str = "") -> LogList: ...

    async def trace(self, job_id: str) -> Trace: ...

    async def follow_events(self, place: Place, quiet_seconds: float) -> Feed[JobEvent]:
        """What happened, then what happens, until the job's present run has ended."""
        ...

    async def follow_logs(self, place: Place, quiet_seconds: float, *, step: str = "") -> Feed[LogLine]: ...


@dataclass(frozen=True)
class Reading:
    """What is to be read, and how."""

    place: Place
    limit: int
    #: As it comes, not as a page.
    stream: bool


def _of_app(connection: HTTPConnection) -> History:
    return cast("History", connection.app.state.history)


def _reading(
    job_id: PathJobId,
    *,
    from_seq: Annotated[int, Query(ge=0, le=LARGEST, description="The first to be told. 0: what is kept.")] = 0,
    epoch: Annotated[
        int, Query(ge=0, le=LARGEST, description="Of an earlier answer: 410 if its numbers mean nothing any more.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Of a page; it may be shorter, see `more`.")] = 200,
    follow: Annotated[bool, Query(description="The same as `Accept: text/event-stream`.")] = False,
    last_event_id: Annotated[
        int | None, Header(ge=0, lt=LARGEST, description="Instead of `from_seq`: what comes after this one.")
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Reading:
    start = from_seq if last_event_id is None else last_event_id + 1
    return Reading(Place(job_id, start, epoch), limit, follow or sse.wanted(accept))


Historian = Annotated[History, Depends(_of_app)]
AskedFor = Annotated[Reading, Depends(_reading)]
