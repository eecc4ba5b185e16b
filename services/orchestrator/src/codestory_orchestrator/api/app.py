"""Puts the API together."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

from codestory_orchestrator.access.door import Door
from codestory_orchestrator.access.settings import AccessSettings
from codestory_orchestrator.api import bundles as bundles_api
from codestory_orchestrator.api import (
    events,
    health,
    jobs,
    logs,
    openapi,
    planning,
    problems,
    resources,
    security,
    tickets,
    traces,
    ws,
)
from codestory_orchestrator.api import repositories as repositories_api
from codestory_orchestrator.api import schedules as schedules_api
from codestory_orchestrator.api import snapshots as snapshots_api
from codestory_orchestrator.api.bundles import Bundles
from codestory_orchestrator.api.gate import Gate
from codestory_orchestrator.api.guard import Guard
from codestory_orchestrator.api.history import History
from codestory_orchestrator.api.ingestion import Ingestion
from codestory_orchestrator.api.repositories import Repositories
from codestory_orchestrator.api.schedules import Schedules
from codestory_orchestrator.api.settings import ApiSettings
from codestory_orchestrator.api.snapshots import Snapshots

#: What a page of another origin may send, and see of the answer. It bears its key itself: no cookies.
CORS: Final[dict[str, Any]] = {
    "allow_methods": ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    "allow_headers": (
        "Authorization",
        "X-API-Key",
        "Content-Type",
        "Idempotency-Key",
        "If-Match",
        "If-None-Match",
        "Last-Event-ID",
        "traceparent",
        "tracestate",
    ),
    "expose_headers": ("Location", "Link", "ETag", "Retry-After", "WWW-Authenticate"),
    "allow_credentials": False,
}

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Api(FastAPI):
    """FastAPI, whose OpenAPI document says what our errors are sent as."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        security.state(document)
        openapi.complete(document)
        return document


def create_app(
    ingestion: Ingestion,
    settings: ApiSettings,
    lifespan: Lifespan | None = None,
    *,
    schedules: Schedules | None = None,
    history: History | None = None,
    repositories: Repositories | None = None,
    snapshots: Snapshots | None = None,
    bundles: Bundles | None = None,
    door: Door | None = None,
) -> FastAPI:
    """The ASGI application. It answers from the start; `/readyz` says when `ingestion` can work.

    `door`: who is let in; otherwise everybody."""
    app = Api(
        title="Code Story ingestion",
        version=settings.version,
        lifespan=lifespan,
        docs_url=None,  # Their pages load scripts from elsewhere.
        redoc_url=None,
        redirect_slashes=False,
        # Of its own it makes four spans of every request, of each probe and poll too.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        responses=problems.documented(),
        generate_unique_id_function=_operation_id,
    )
    app.state.ingestion, app.state.settings, app.state.schedules = ingestion, settings, schedules
    app.state.history, app.state.repositories, app.state.snapshots = history, repositories, snapshots
    app.state.bundles = bundles
    app.state.door = door = door or Door(AccessSettings.model_construct())
    scheduling = [schedules_api.router] if schedules else []
    keeping = [repositories_api.router] if repositories else []
    uploading = [snapshots_api.router] if snapshots else []
    telling = [events.router, logs.router, traces.router] if history else []
    helping = [bundles_api.router] if bundles else []
    # Those with fixed paths first: `/v1/ingest/steps` is no job.
    fixed = (resources.router, health.router, planning.router, tickets.router, *scheduling, *keeping, *uploading)
    for router in (*fixed, jobs.router, *telling, *helping, ws.router):
        app.include_router(router)
    problems.install(app)
    app.add_middleware(Gate, api=app, door=door, metrics_public=settings.metrics_public)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS)
    app.add_middleware(Guard, settings=settings)  # the last one added is asked first
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
