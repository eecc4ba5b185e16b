"""What a job would do, before it is made; and how much there is to do of a step."""

from fastapi import APIRouter

from codestory.contracts.api import SubmitJob
from codestory.contracts.planning import Lag, PlanView
from codestory_orchestrator.api.access import Caller
from codestory_orchestrator.api.ingestion import Orchestrator, refuse_unseen
from codestory_orchestrator.api.problems import documented

router = APIRouter(prefix="/v1/ingest", tags=["planning"])


@router.post("/plan", responses=documented(403, 413, 415, 422, 503))
async def plan_job(request: SubmitJob, ingestion: Orchestrator, caller: Caller) -> PlanView:
    """What the same request to `/v1/ingest` would do: steps, options, files, time. Nothing is made."""
    await refuse_unseen(request.after, ingestion, caller)
    ingestion.refuse_secret(request, caller)
    return await ingestion.plan(request, caller.owner)


@router.get("/scale/{step}", responses=documented(404, 503))
async def scale(step: str, ingestion: Orchestrator) -> Lag:
    """How many commands of a step are not done, for what scales its workers."""
    return Lag(lag=await ingestion.lag(step))
