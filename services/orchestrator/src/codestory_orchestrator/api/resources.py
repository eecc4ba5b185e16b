"""What the jobs share: admission tokens, the limits of steps and tags, and the steps that exist."""

from fastapi import APIRouter

from codestory.contracts.api import (
    ChangeResourceLimits,
    ChangeResources,
    ChangeStep,
    Holders,
    ResourceStatus,
    StepList,
    StepStatus,
    TagStatus,
)
from codestory_orchestrator.api.access import Caller, only_theirs
from codestory_orchestrator.api.ingestion import Orchestrator
from codestory_orchestrator.api.problems import documented
from codestory_orchestrator.api.roles import ADMIN_ONLY

router = APIRouter(prefix="/v1/ingest", tags=["resources"])


@router.get("/resource_status", responses=documented(503))
async def resource_status(ingestion: Orchestrator) -> ResourceStatus:
    """How many steps may be admitted now, and at most."""
    return await ingestion.resource_status()


@router.patch("/resource_status", responses=documented(403, 413, 415, 422, 503), openapi_extra=ADMIN_ONLY)
async def change_resources(request: ChangeResources, ingestion: Orchestrator) -> ResourceStatus:
    """Change how many steps may be admitted at once. It stays so until the setting changes."""
    return await ingestion.change_resources(request)


@router.get("/resource_status/holders", responses=documented(503))
async def token_holders(ingestion: Orchestrator, caller: Caller) -> Holders:
    """Who holds each token, since when; and how the limited tags stand."""
    return await ingestion.holders(only_theirs(caller))


@router.get("/resource_limits", responses=documented(503))
async def resource_limits(ingestion: Orchestrator) -> list[TagStatus]:
    """Each tag that is limited: how many admitted steps may hold it, and how many do."""
    return await ingestion.resource_limits()


@router.patch("/resource_limits", responses=documented(403, 413, 415, 422, 503), openapi_extra=ADMIN_ONLY)
async def change_resource_limits(request: ChangeResourceLimits, ingestion: Orchestrator) -> list[TagStatus]:
    """Change how many admitted steps may hold a tag. It stays so until the file says something else than now."""
    return await ingestion.change_resource_limits(request)


@router.get("/steps", responses=documented(503))
async def list_steps(ingestion: Orchestrator) -> StepList:
    """The steps that exist, their options and their workers."""
    return StepList(steps=tuple(await ingestion.steps()))


@router.patch("/steps/{step}", responses=documented(403, 413, 415, 422, 503), openapi_extra=ADMIN_ONLY)
async def change_concurrency(step: str, request: ChangeStep, ingestion: Orchestrator) -> StepStatus:
    """Change how many of a step may run at once. It stays so until the file says something else than now."""
    return await ingestion.change_step(step, request)
