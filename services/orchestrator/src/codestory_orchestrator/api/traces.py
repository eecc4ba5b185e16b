"""Where the time of a job went: its spans."""

from fastapi import APIRouter

from codestory.contracts.traces import Trace
from codestory_orchestrator.api.history import Historian
from codestory_orchestrator.api.ingestion import PathJobId
from codestory_orchestrator.api.problems import documented

router = APIRouter(prefix="/v1/ingest", tags=["history"])


@router.get("/{job_id}/trace", responses=documented(404, 503))
async def job_trace(job_id: PathJobId, history: Historian) -> Trace:
    """The job's spans: one trace of the request that made it, and one of each attempt, which links to it."""
    return await history.trace(job_id)
