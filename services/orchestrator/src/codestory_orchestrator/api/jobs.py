"""Jobs: submit, list, show, cancel."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from codestory.contracts.api import JobList, JobView, SubmitJob
from codestory.contracts.values import JobState
from codestory_orchestrator.api.ingestion import Orchestrator, PathJobId
from codestory_orchestrator.api.problems import documented

router = APIRouter(prefix="/v1/ingest", tags=["jobs"])

#: Seconds until it is worth asking how the job goes. Most take longer; `/ws/status/{id}` says it at once.
LOOK_AGAIN_SECONDS = 1


@router.post("", status_code=202, responses=documented(403, 409, 413, 415, 422, 503))
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
    """Cancel a pending or running job. 409 if it has ended otherwise, and then nothing changes."""
    job = await ingestion.cancel(job_id)
    if job.state is JobState.CANCELLED:
        response.status_code = 200
    return job
