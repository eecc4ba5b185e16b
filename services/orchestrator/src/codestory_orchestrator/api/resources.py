"""What the jobs share: admission tokens, and the steps that exist."""

from fastapi import APIRouter

from codestory.contracts.api import ResourceStatus, StepList
from codestory_orchestrator.api.ingestion import Orchestrator
from codestory_orchestrator.api.problems import documented

router = APIRouter(prefix="/v1/ingest", tags=["resources"])


@router.get("/resource_status", responses=documented(503))
async def resource_status(ingestion: Orchestrator) -> ResourceStatus:
    """How many steps may be admitted now, and at most."""
    return await ingestion.resource_status()


@router.get("/steps", responses=documented(503))
async def list_steps(ingestion: Orchestrator) -> StepList:
    """The steps that exist, their options and their workers."""
    return StepList(steps=tuple(await ingestion.steps()))
