"""Server-sent events: how items of a feed go over the wire, and when one who does not read is let go."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final, NamedTuple, TypeVar

from fastapi import Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Send

from codestory.contracts.history import EPOCH_HEADER
from codestory_orchestrator.api.problems import Responses
from codestory_orchestrator.api.settings import ApiSettings
from codestory_orchestrator.errors import IngestionError
from codestory_orchestrator.history.place import Feed

MEDIA_TYPE: Final = "text/event-stream"
#: Proxies must neither keep it nor wait until it is complete.
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
#: For OpenAPI: what a route answers that gives a page, or its events as they come.
DOCUMENTED: Final[Responses] = {
    200: {
        "description": "A page; with `follow=true` or `Accept: text/event-stream` all of it as server-sent events",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    },
    204: {"description": "Of server-sent events: all has been told, there is nothing to come back for"},
}

Item = TypeVar("Item")


class Sent(NamedTuple):
    """One event of a stream."""

    seq: int
    kind: str
    data: str


def wanted(accept: str) -> bool:
    """Whether the header asks for a stream. One that names neither it nor JSON is given JSON."""
    return any(_wants(part) for part in accept.lower().split(","))


def _wants(part: str) -> bool:
    media_type, *parameters = (piece.strip() for piece in part.split(";"))
    return media_type == MEDIA_TYPE and not any(p.replace(" ", "").rstrip("0") in {"q=", "q=0."} for p in parameters)


def response(feed: Feed[Item], sent: Callable[[Item], Sent], settings: ApiSettings) -> Response:
    """The feed as events. 204 where it has none, which tells a browser not to come back."""
    headers = HEADERS | {EPOCH_HEADER: str(feed.epoch)}
    if feed.items is None:
        return Response(status_code=204, headers=headers)
    return EventStream(_encoded(feed.items, sent, settings), settings.ws_send_seconds, headers)


async def _encoded(
    items: AsyncGenerator[Item | None], sent: Callable[[Item], Sent], settings: ApiSettings
) -> AsyncGenerator[bytes]:
    yield format_sse_event(retry=round(settings.sse_retry_seconds * 1000))
    async with aclosing(items):
        try:
            async for item in items:
                if item is None:
                    yield KEEPALIVE_COMMENT
                else:
                    seq, kind, data = sent(item)
                    yield format_sse_event(data_str=data, event=kind, id=str(seq))
        except IngestionError:  # too late to say so here: who comes again is told
            return


class EventStream(EventSourceResponse):
    """One that has not taken an event after `send_seconds` is let go: what it missed it asks for."""

    def __init__(self, events: AsyncGenerator[bytes], send_seconds: float, headers: dict[str, str]) -> None:
        super().__init__(events, headers=headers)
        self._events, self._send_seconds = events, send_seconds

    async def stream_response(self, send: Send) -> None:
        async def in_time(message: Any) -> None:
            async with asyncio.timeout(self._send_seconds):
                await send(message)

        async with aclosing(self._events) as events:
            try:
                await in_time({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async for event in events:
                    await in_time({"type": "http.response.body", "body": event, "more_body": True})
                await in_time({"type": "http.response.body", "body": b"", "more_body": False})
            except TimeoutError:
                return
