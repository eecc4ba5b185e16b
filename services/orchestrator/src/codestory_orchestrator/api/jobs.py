"""Jobs: submit, list, show, and what may be asked of them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from codestory.contracts.api import ChangeJob, JobList, JobView, RetryJob, StepView, SubmitJob, Why
from codestory.contracts.values import JobState
from codestory_orchestrator.api.ingestion import Orchestrator, PathJobId
from codestory_orchestrator.api.problems import documented

router = APIRouter(prefix="/v1/ingest", tags=["jobs"])

#: Seconds until it is worth asking how the job goes. Most take longer; `/ws/status/{id}` says it at once.
LOOK_AGAIN_SECONDS = 1


@router.post("", status_code=202, responses=documented(403, 409, 413, 415, 422, 429, 503))
async def submit_job(request: SubmitJob, response: Response, ingestion: Orchestrator) -> JobView:
    """Start to ingest a repository. The job is safe once this answers; `Location` is where to follow it."""
    job = await ingestion.submit(request)
    response.headers["Location"] = f"/v1/ingest/{job.id}"
    response.headers["Retry-After"] = str(LOOK_AGAIN_SECONDS)
    return job


@router.get("", responses=documented(422, 503))
async def list_jobs(ingestion: Orchestrator, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> JobList:
    """The newest jobs, the newest first."""
    return JobList(jobs=tuple(await ingestion.list_jobs(limit)))


@router.get("/{job_id}", responses=documented(404, 503))
async def show_job(job_id: PathJobId, ingestion: Orchestrator) -> JobView:
    """One job: its state, its steps, what they did, skipped and used."""
    return await ingestion.show(job_id)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    responses={200: {"model": JobView, "description": "Cancelled already"}, **documented(404, 409, 503)},
)
async def cancel_job(job_id: PathJobId, response: Response, ingestion: Orchestrator) -> JobView:
    """End a job for good. 409 if it has ended otherwise, and then nothing changes."""
    job = await ingestion.cancel(job_id)
    if job.state is JobState.CANCELLED:
        response.status_code = 200
    return job


@router.post(
    "/{job_id}/stop",
    status_code=202,
    responses={200: {"model": JobView, "description": "Stopped already"}, **documented(404, 409, 503)},
)
async def stop_job(job_id: PathJobId, response: Response, ingestion: Orchestrator) -> JobView:
    """End a job so that it can be resumed: what its steps have completed stays. 409 if it has ended otherwise."""
    job = await ingestion.stop(job_id)
    if job.state is JobState.STOPPED:
        response.status_code = 200
    return job


@router.post("/{job_id}/resume", status_code=202, responses=documented(404, 409, 503))
async def resume_job(job_id: PathJobId, ingestion: Orchestrator) -> JobView:
    """Let a stopped job go on with the steps that did not complete."""
    return await ingestion.resume(job_id)


@router.post("/{job_id}/retry", status_code=202, responses=documented(404, 409, 413, 415, 422, 503))
async def retry_job(job_id: PathJobId, ingestion: Orchestrator, request: RetryJob | None = None) -> JobView:
    """Run again what did not complete of a job that failed, was stopped or was cancelled; or from a step on."""
    return await ingestion.retry(job_id, request or RetryJob())


@router.patch("/{job_id}", responses=documented(404, 409, 413, 415, 422, 503))
async def change_job(job_id: PathJobId, ingestion: Orchestrator, request: ChangeJob) -> JobView:
    """Change the priority of a job that has not ended."""
    return await ingestion.change(job_id, request)


@router.get("/{job_id}/why", responses=documented(404, 503))
async def why_job_waits(job_id: PathJobId, ingestion: Orchestrator) -> Why:
    """What a job waits for, link by link, in words and as data."""
    return await ingestion.why(job_id)


@router.get("/{job_id}/steps/{step}", responses=documented(404, 503))
async def show_step(job_id: PathJobId, step: str, ingestion: Orchestrator) -> StepView:
    """One step of a job: its attempts with times, reasons and workers, its options, what it did and used."""
    return await ingestion.show_step(job_id, step)
