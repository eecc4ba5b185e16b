"""Which role each route asks for, read from the routes themselves."""

from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute, RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import Scope

from codestory.contracts.access import Role

#: Where a route, and the OpenAPI document, say which role an operation asks for.
EXTENSION: Final = "x-codestory-role"
ADMIN_ONLY: Final[dict[str, Any]] = {EXTENSION: Role.ADMIN.value}
VIEWER_TOO: Final[dict[str, Any]] = {EXTENSION: Role.VIEWER.value}

PROBES: Final = frozenset({"/livez", "/readyz"})
METRICS: Final = "/metrics"
DOCUMENT: Final = "/openapi.json"
#: What is removed there belongs to more than one owner.
REPOSITORIES: Final = "/v1/repositories"
_LOOKING: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Way:
    """One route. `role` None: anybody, unasked."""

    name: str
    role: Role | None
    matcher: BaseRoute

    def fits(self, scope: Scope) -> bool:
        return self.matcher.matches(scope)[0] is Match.FULL


def ways(app: FastAPI, *, metrics_public: bool) -> tuple[Way, ...]:
    """In the order in which the application looks for them. What is none of these is for admins."""
    return tuple(_way(context, metrics_public=metrics_public) for context in iter_route_contexts(app.routes))


def role_of(path: str, method: str, stated: str | None) -> Role | None:
    """`stated`: what the route says itself. None: a probe, for which nobody has to say who they are."""
    if path in PROBES:
        return None
    if stated:
        return Role(stated)
    if method == "DELETE" and path.startswith(REPOSITORIES):
        return Role.ADMIN
    return Role.VIEWER if method in _LOOKING else Role.OPERATOR


def _way(context: RouteContext, *, metrics_public: bool) -> Way:
    route, path, name = context.original_route, context.path or "", context.name or ""
    if isinstance(route, APIWebSocketRoute | WebSocketRoute):
        return Way(name, Role.VIEWER, WebSocketRoute(path, _nothing))
    methods = sorted(context.methods or ())
    matcher = Route(path, _nothing, methods=methods)
    matcher.methods = set(methods)  # Starlette adds HEAD to GET, the application does not
    if isinstance(route, APIRoute):
        extra = route.openapi_extra or {}
        roles = [role_of(path, method, extra.get(EXTENSION)) for method in methods]
        role = max((role for role in roles if role), key=list(Role).index, default=None)
        return Way(name, None if path == METRICS and metrics_public else role, matcher)
    return Way(name, Role.VIEWER if path == DOCUMENT else Role.ADMIN, matcher)


async def _nothing() -> None: ...
