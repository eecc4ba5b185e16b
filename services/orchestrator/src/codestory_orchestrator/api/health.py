"""How the service is: for people, for probes and for Prometheus."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from codestory.contracts.api import Health
from codestory.contracts.values import Value
from codestory_orchestrator.api.ingestion import Orchestrator
from codestory_orchestrator.api.problems import ProblemResponse, documented, respond
from codestory_orchestrator.errors import ServiceUnavailable

router = APIRouter(tags=["health"])


class Probe(Value):
    status: Literal["pass"] = "pass"


@router.get("/v1/ingest/health", response_model=Health, responses=documented(503))
async def health(request: Request, ingestion: Orchestrator) -> Health | ProblemResponse:
    """The service and what it depends on. When a check fails: 503, the whole report in the problem's `health`."""
    report = await ingestion.health()
    if report.status != "fail":
        return report
    failed = "; ".join(f"{name}: {check.detail}" for name, check in report.checks.items() if check.status == "fail")
    return respond(request.scope, 503, code="unhealthy", detail=failed, health=report.model_dump(mode="json"))


@router.get("/livez")
async def livez() -> Probe:
    """The process answers. Says nothing of what it depends on."""
    return Probe()


@router.get("/readyz", responses=documented(503))
async def readyz(ingestion: Orchestrator) -> Probe:
    """The bus answers and all is declared."""
    if not await ingestion.ready():
        raise ServiceUnavailable("Not ready: the message bus does not answer, or the service is still starting.")
    return Probe()


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), headers={"Content-Type": media_type})
