"""Nobody reaches a route who may not: who asks, whether they may, how often they have."""

from typing import Final
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from codestory import telemetry
from codestory.contracts.access import Role
from codestory_orchestrator.access.door import Door
from codestory_orchestrator.access.grants import NOBODY, Grant
from codestory_orchestrator.api.problems import MAX_TEXT, refusal
from codestory_orchestrator.api.roles import Way, ways
from codestory_orchestrator.errors import IngestionError, RoleMissing

log = telemetry.logger(__name__)

#: Each of these may begin work.
SUBMISSIONS: Final = frozenset({"submit_job", "create_schedule", "retry_job", "retry_jobs", "resume_job"})
_LOOKING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: How a grant is called among the state of a connection.
GRANT: Final = "grant"
#: Messages of an answer that has begun, and how such an answer ends.
_GOES_ON: Final[dict[str, Message]] = {
    "http.response.body": {"type": "http.response.body", "body": b"", "more_body": False},
    "websocket.send": {"type": "websocket.close", "code": 4401, "reason": "the key or token is not valid any more"},
}
_OVER: Final = "codestory.over"


class Expired(OSError):
    """Whoever is answered may not hear more. For the answer it is as if they had gone."""


class Gate:
    """ASGI middleware, before the routes and what they read of a request. `api`: whose routes they are."""

    def __init__(self, app: ASGIApp, *, api: FastAPI, door: Door, metrics_public: bool) -> None:
        self.app, self._api, self._door, self._metrics_public = app, api, door, metrics_public
        self._ways: tuple[Way, ...] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            try:
                grant = await self._enter(scope)
            except IngestionError as error:
                log.info("access.refused", code=error.code, path=scope["path"][:MAX_TEXT])
                answer = refusal(scope, error)
                if scope["type"] == "websocket":
                    await WebSocket(scope, receive, send).send_denial_response(answer)
                else:
                    await answer(scope, receive, send)
                return
            if scope.get("method", "GET") not in _LOOKING and not self._door.open:
                who = grant.principal.name
                log.info("access.used", who=who, method=scope["method"], path=scope["path"][:MAX_TEXT])
            scope.setdefault("state", {})[GRANT] = grant
            send = self._while_valid(grant, scope, send)
        try:
            await self.app(scope, receive, send)
        except (Expired, ClientDisconnect, WebSocketDisconnect):
            if not scope.get(_OVER):
                raise

    def _while_valid(self, grant: Grant, scope: Scope, send: Send) -> Send:
        """Who listens hears no more once they might not ask any more. Heartbeats see to it that this is soon."""

        async def sent(message: Message) -> None:
            kind = message["type"]
            if kind not in _GOES_ON or self._door.still_valid(grant):
                await send(message)
                return
            scope[_OVER] = True
            await send(_GOES_ON[kind])
            raise Expired

        return send if self._door.open or grant is NOBODY else sent

    async def _enter(self, scope: Scope) -> Grant:
        way = self._way(scope)
        if way and way.role is None:
            return NOBODY
        grant = await self._door.grant(Headers(scope=scope), _ticket(scope))
        if way and way.role and not grant.principal.role.may(way.role):
            raise RoleMissing(
                f"This takes the role {way.role.value}; {grant.principal.name} is {_a(grant.principal.role)}."
            )
        self._door.count(grant.principal)
        if way and way.name in SUBMISSIONS:
            self._door.count(grant.principal, "submissions")
        return grant

    def _way(self, scope: Scope) -> Way | None:
        """None: there is nothing at this address, or it does not take this method. Who may ask is told so."""
        if self._ways is None:
            self._ways = ways(self._api, metrics_public=self._metrics_public)
        return next((way for way in self._ways if way.fits(scope)), None)


def _a(role: Role) -> str:
    return f"{'a' if role is Role.VIEWER else 'an'} {role.value}"


def _ticket(scope: Scope) -> str:
    """Of a WebSocket only: an address is kept in places where no secret should be."""
    if scope["type"] != "websocket":
        return ""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=20)
    return query.get("ticket", [""])[0]
