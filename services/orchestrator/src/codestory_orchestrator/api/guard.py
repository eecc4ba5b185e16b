"""What is refused before any route sees it: strange hosts, foreign web pages, bodies too large or not JSON."""

from typing import Final
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from codestory.contracts.snapshots import PART_TYPE
from codestory_orchestrator.api.problems import ProblemResponse, respond
from codestory_orchestrator.api.settings import ApiSettings

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Where a body may be something else than JSON.
_SNAPSHOTS: Final = "/v1/ingest/snapshots/"
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class Guard:
    """ASGI middleware. A browser on this machine must not become a way in for a page from elsewhere."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if refusal := self._host(scope) or self._foreign(scope):
                await WebSocket(scope, receive, send).send_denial_response(refusal)
                return
        elif scope["type"] == "http":
            if refusal := self._host(scope) or self._unsafe(scope):
                await refusal(scope, receive, send)
                return
            receive = self._limited(receive, self._limit(scope))
        await self.app(scope, receive, send)

    def _host(self, scope: Scope) -> ProblemResponse | None:
        """Against DNS rebinding: a foreign name that resolves to this machine."""
        host = _name(Headers(scope=scope).get("host", ""))
        if "*" in self.settings.allowed_hosts or host in self.settings.allowed_hosts:
            return None
        detail = f"This service answers to {', '.join(self.settings.allowed_hosts)} only."
        return respond(scope, 421, code="unknown_host", detail=detail)

    def _unsafe(self, scope: Scope) -> ProblemResponse | None:
        if scope["method"] in _SAFE:
            return None
        return self._foreign(scope) or self._body(scope)

    def _foreign(self, scope: Scope) -> ProblemResponse | None:
        """A browser states the page's origin; programs state none."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None or origin in self.settings.cors_origins or _same(origin, headers.get("host", "")):
            return None
        detail = "A web page of another origin may not do this, unless CODESTORY_CORS_ORIGINS names it."
        return respond(scope, 403, code="foreign_origin", detail=detail)

    def _body(self, scope: Scope) -> ProblemResponse | None:
        headers = Headers(scope=scope)
        length, limit = headers.get("content-length", ""), self._limit(scope)
        if length.isdecimal() and int(length[:20]) > limit:
            return respond(scope, 413, code="content_too_large", detail=_too_large(limit))
        empty = length in {"", "0"} and "transfer-encoding" not in headers
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if not empty and media_type != "application/json" and not (media_type == PART_TYPE and _takes_parts(scope)):
            detail = "The body must be JSON, and say so: Content-Type: application/json."
            return respond(scope, 415, code="unsupported_media_type", detail=detail)
        return None

    def _limit(self, scope: Scope) -> int:
        media_type = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        if media_type == PART_TYPE and _takes_parts(scope):
            return self.settings.snapshot_part_bytes
        return self.settings.max_body_bytes

    def _limited(self, receive: Receive, limit: int) -> Receive:
        """A body sent in chunks states no length."""
        total = 0

        async def count() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > limit:
                raise HTTPException(413, _too_large(limit))
            return message

        return count


def _takes_parts(scope: Scope) -> bool:
    return scope["method"] == "PUT" and scope["path"].startswith(_SNAPSHOTS)


def _too_large(limit: int) -> str:
    return f"The body may have at most {limit} bytes."


def _same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    default = _DEFAULT_PORTS.get(parts.scheme)
    return default is not None and parts.netloc.removesuffix(default) == host.lower().removesuffix(default)


def _name(host: str) -> str:
    """`localhost:8420` and `[::1]:8420` without their port."""
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.lower()
