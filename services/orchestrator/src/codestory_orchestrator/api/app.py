"""Puts the API together."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from codestory_orchestrator.api import health, jobs, problems, resources, ws
from codestory_orchestrator.api import schedules as schedules_api
from codestory_orchestrator.api.guard import Guard
from codestory_orchestrator.api.ingestion import Ingestion
from codestory_orchestrator.api.schedules import Schedules
from codestory_orchestrator.api.settings import ApiSettings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Api(FastAPI):
    """FastAPI, whose OpenAPI document says what our errors are sent as."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        for path in document["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if status >= "4" and "application/json" in response.get("content", {}):
                        response["content"][problems.MEDIA_TYPE] = response["content"].pop("application/json")
        return document


def create_app(
    ingestion: Ingestion,
    settings: ApiSettings,
    lifespan: Lifespan | None = None,
    *,
    schedules: Schedules | None = None,
) -> FastAPI:
    """The ASGI application. It answers from the start; `/readyz` says when `ingestion` can work."""
    app = Api(
        title="Code Story ingestion",
        version=settings.version,
        lifespan=lifespan,
        docs_url=None,  # Their pages load scripts from elsewhere.
        redoc_url=None,
        redirect_slashes=False,
        responses=problems.documented(),
        generate_unique_id_function=_operation_id,
    )
    app.state.ingestion, app.state.settings, app.state.schedules = ingestion, settings, schedules
    scheduling = [schedules_api.router] if schedules else []
    # Those with fixed paths first: `/v1/ingest/steps` is no job.
    for router in (resources.router, health.router, *scheduling, jobs.router, ws.router):
        app.include_router(router)
    problems.install(app)
    app.add_middleware(Guard, settings=settings)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
