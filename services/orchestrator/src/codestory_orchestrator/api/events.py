"""What happened to a job: as pages, or as server-sent events that go on until it has ended."""

from typing import cast

from fastapi import APIRouter, Request, Response

from codestory.contracts.history import EventList, JobEvent
from codestory_orchestrator.api import sse
from codestory_orchestrator.api.history import AskedFor, Historian
from codestory_orchestrator.api.problems import documented
from codestory_orchestrator.api.settings import ApiSettings

router = APIRouter(prefix="/v1/ingest", tags=["history"])


@router.get(
    "/{job_id}/events",  # noqa: FAST003 - AskedFor asks for it
    response_model=EventList,
    responses={**sse.DOCUMENTED, **documented(404, 410, 422, 503)},
)
async def job_events(request: Request, asked: AskedFor, history: Historian) -> EventList | Response:
    """What happened to the job and its steps, the oldest first. As a stream also what happens, until it has ended."""
    if not asked.stream:
        return await history.events(asked.place, asked.limit)
    settings = cast("ApiSettings", request.app.state.settings)
    feed = await history.follow_events(asked.place, settings.ws_heartbeat_seconds)
    return sse.response(feed, _sent, settings)


def _sent(event: JobEvent) -> sse.Sent:
    return sse.Sent(event.seq, event.kind, event.model_dump_json())
