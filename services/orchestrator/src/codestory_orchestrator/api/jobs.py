"""Jobs: submit, list, show, and what may be asked of them."""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from codestory import telemetry
from codestory.contracts.api import ChangeJob, JobList, JobView, RetryJob, StepView, SubmitJob, Why
from codestory.contracts.listing import BulkRequest, BulkResult, BulkRetry, ListJobs
from codestory.contracts.values import JobState
from codestory_orchestrator.api.access import Caller, only_theirs
from codestory_orchestrator.api.conditions import (
    ETAG,
    NOT_MODIFIED,
    IfMatch,
    IfNoneMatch,
    tagged,
    telling_the_present,
    unless_same,
)
from codestory_orchestrator.api.idempotency import IdempotencyKey
from codestory_orchestrator.api.ingestion import Orchestrator, PathJobId, refuse_unseen
from codestory_orchestrator.api.problems import documented

router = APIRouter(prefix="/v1/ingest", tags=["jobs"])

#: Seconds until it is worth asking how the job goes. Most take longer; `/ws/status/{id}` says it at once.
LOOK_AGAIN_SECONDS = 1

_LINKS: Final[dict[str, Any]] = {
    name: {"operationId": operation, "parameters": {"job_id": "$response.body#/id"}}
    for name, operation in {
        "show": "show_job",
        "cancel": "cancel_job",
        "stop": "stop_job",
        "retry": "retry_job",
        "why": "why_job_waits",
    }.items()
}
_LOCATION: Final[dict[str, Any]] = {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}


def _answers(status: int, done: str = "") -> dict[int | str, dict[str, Any]]:
    """A job. `done`: what 200 means beside it."""
    also = {200: {"model": JobView, "description": done, "headers": ETAG}} if done else {}
    return {status: {"model": JobView, "headers": ETAG}, **also}


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    responses={
        202: {"model": JobView, "headers": ETAG | _LOCATION, "links": _LINKS},
        **documented(400, 403, 409, 410, 413, 415, 422, 429, 503),
    },
)
async def submit_job(
    request: SubmitJob,
    http: Request,
    ingestion: Orchestrator,
    *,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Start to ingest a repository. The job is safe once this answers; `Location` is where to follow it.

    With `traceparent` (W3C Trace Context) the job's traces link to the caller's."""
    await refuse_unseen(request.after, ingestion, caller)
    ingestion.refuse_secret(request, caller)
    with telemetry.within(http.headers):
        job = await ingestion.submit(request, owner=caller.owner, key=idempotency_key or "")
    where = {"Location": f"/v1/ingest/{job.id}", "Retry-After": str(LOOK_AGAIN_SECONDS)}
    return tagged(job, 202, **where)


@router.get("", responses=documented(422, 503))
async def list_jobs(
    query: Annotated[ListJobs, Query()], ingestion: Orchestrator, caller: Caller, response: Response
) -> JobList:
    """One page of the jobs, the newest first unless `sort` says otherwise. `next`, and the header Link, lead on."""
    page = await ingestion.list_jobs(query, only_theirs(caller))
    if page.next:
        asked = query.model_dump(mode="json", exclude_defaults=True) | {"cursor": page.next}
        response.headers["Link"] = f'<{router.prefix}?{urlencode(asked, doseq=True)}>; rel="next"'
    return page


@router.post("/cancel", status_code=202, responses=documented(400, 413, 415, 422, 503))
async def cancel_jobs(request: BulkRequest, ingestion: Orchestrator, caller: Caller) -> BulkResult:
    """Cancel every job that the filter lets through. Those that cannot be are named, with the reason."""
    return await ingestion.cancel_all(request, only_theirs(caller))


@router.post("/stop", status_code=202, responses=documented(400, 413, 415, 422, 503))
async def stop_jobs(request: BulkRequest, ingestion: Orchestrator, caller: Caller) -> BulkResult:
    """Stop every job that the filter lets through, to be resumed. Those that cannot be are named, with the reason."""
    return await ingestion.stop_all(request, only_theirs(caller))


@router.post("/retry", status_code=202, responses=documented(400, 413, 415, 422, 503))
async def retry_jobs(request: BulkRetry, ingestion: Orchestrator, caller: Caller) -> BulkResult:
    """Run every job again that the filter lets through and that did not complete."""
    return await ingestion.retry_all(request, only_theirs(caller))


@router.get(
    "/{job_id}",
    response_model=JobView,
    responses={**_answers(200), **NOT_MODIFIED, **documented(404, 422, 503)},
)
async def show_job(job_id: PathJobId, ingestion: Orchestrator, if_none_match: IfNoneMatch = None) -> Response:
    """One job: its state, its steps, what they did, skipped and used."""
    return unless_same(await ingestion.show(job_id), if_none_match)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    response_model=JobView,
    responses={**_answers(202, "Cancelled already"), **documented(400, 404, 409, 412, 413, 415, 422, 503)},
)
async def cancel_job(job_id: PathJobId, ingestion: Orchestrator, revisions: IfMatch) -> Response:
    """End a job for good. 409 if it has ended otherwise, and then nothing changes."""
    async with telling_the_present(lambda: ingestion.show(job_id)):
        job = await ingestion.cancel(job_id, revisions)
    return tagged(job, 200 if job.state is JobState.CANCELLED else 202)


@router.post(
    "/{job_id}/stop",
    status_code=202,
    response_model=JobView,
    responses={**_answers(202, "Stopped already"), **documented(400, 404, 409, 412, 413, 415, 422, 503)},
)
async def stop_job(job_id: PathJobId, ingestion: Orchestrator, revisions: IfMatch) -> Response:
    """End a job so that it can be resumed: what its steps have completed stays. 409 if it has ended otherwise."""
    async with telling_the_present(lambda: ingestion.show(job_id)):
        job = await ingestion.stop(job_id, revisions)
    return tagged(job, 200 if job.state is JobState.STOPPED else 202)


@router.post(
    "/{job_id}/resume",
    status_code=202,
    response_model=JobView,
    responses={**_answers(202), **documented(400, 404, 409, 412, 413, 415, 422, 503)},
)
async def resume_job(job_id: PathJobId, ingestion: Orchestrator, revisions: IfMatch) -> Response:
    """Let a stopped job go on with the steps that did not complete."""
    async with telling_the_present(lambda: ingestion.show(job_id)):
        return tagged(await ingestion.resume(job_id, revisions), 202)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=JobView,
    responses={**_answers(202), **documented(400, 404, 409, 412, 413, 415, 422, 503)},
)
async def retry_job(
    job_id: PathJobId, ingestion: Orchestrator, revisions: IfMatch, request: RetryJob | None = None
) -> Response:
    """Run again what did not complete of a job that failed, was stopped or was cancelled; or from a step on."""
    async with telling_the_present(lambda: ingestion.show(job_id)):
        return tagged(await ingestion.retry(job_id, request or RetryJob(), revisions), 202)


@router.patch(
    "/{job_id}",
    response_model=JobView,
    responses={**_answers(200), **documented(400, 404, 409, 412, 413, 415, 422, 503)},
)
async def change_job(job_id: PathJobId, ingestion: Orchestrator, revisions: IfMatch, request: ChangeJob) -> Response:
    """Change the priority of a job that has not ended."""
    async with telling_the_present(lambda: ingestion.show(job_id)):
        return tagged(await ingestion.change(job_id, request, revisions))


@router.get("/{job_id}/why", responses=documented(404, 503))
async def why_job_waits(job_id: PathJobId, ingestion: Orchestrator, caller: Caller) -> Why:
    """What a job waits for, link by link, in words and as data."""
    return await ingestion.why(job_id, only_theirs(caller))


@router.get("/{job_id}/steps/{step}", responses=documented(404, 503))
async def show_step(job_id: PathJobId, step: str, ingestion: Orchestrator) -> StepView:
    """One step of a job: its attempts with times, reasons and workers, its options, what it did and used."""
    return await ingestion.show_step(job_id, step)
