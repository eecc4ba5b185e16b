"""What the steps of a job wrote: as pages, or as server-sent events that go on until it has ended."""

from typing import Annotated, cast

from fastapi import APIRouter, Query, Request, Response

from codestory.contracts.history import LogLine, LogList
from codestory.contracts.values import StepName
from codestory_orchestrator.api import sse
from codestory_orchestrator.api.history import AskedFor, Historian
from codestory_orchestrator.api.problems import documented
from codestory_orchestrator.api.settings import ApiSettings

router = APIRouter(prefix="/v1/ingest", tags=["history"])


@router.get(
    "/{job_id}/logs",  # noqa: FAST003 - AskedFor asks for it
    response_model=LogList,
    responses={**sse.DOCUMENTED, **documented(404, 410, 422, 503)},
)
async def job_logs(
    request: Request,
    asked: AskedFor,
    history: Historian,
    step: Annotated[StepName | None, Query(description="Of this step only.")] = None,
) -> LogList | Response:
    """What the steps of the job wrote, the oldest first. As a stream also what they write, until it has ended."""
    if not asked.stream:
        return await history.logs(asked.place, asked.limit, step=step or "")
    settings = cast("ApiSettings", request.app.state.settings)
    feed = await history.follow_logs(asked.place, settings.ws_heartbeat_seconds, step=step or "")
    return sse.response(feed, _sent, settings)


def _sent(line: LogLine) -> sse.Sent:
    return sse.Sent(line.seq, "line", line.model_dump_json())
