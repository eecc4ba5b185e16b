"""The WebSocket that tells what happens to a job, as it happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import cast

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from codestory import cancelling, telemetry
from codestory.contracts.api import StatusMessage
from codestory.contracts.values import now
from codestory_orchestrator.api import closes, ws_history
from codestory_orchestrator.api.access import Caller
from codestory_orchestrator.api.closes import (
    BROKEN,
    CUT_OFF,
    ENDED,
    GONE,
    MALFORMED,
    TOO_SLOW,
    UNKNOWN,
    Close,
)
from codestory_orchestrator.api.history import History
from codestory_orchestrator.api.ingestion import Orchestrator, visible
from codestory_orchestrator.api.latest import Latest
from codestory_orchestrator.api.settings import ApiSettings
from codestory_orchestrator.errors import EventsGone, IngestionError, JobNotFound

router = APIRouter(tags=["jobs"])


@router.websocket("/v1/ingest/{job_id}/ws", name="watch_job_here")
@router.websocket("/ws/status/{job_id}")
async def watch_job(websocket: WebSocket, job_id: str, ingestion: Orchestrator, caller: Caller) -> None:
    """Text frames, each a StatusMessage: the job as it is, then changes and heartbeats, last how it ended.

    With `from_seq`: each of its events from there on, heartbeats, last how it ended."""
    settings = cast("ApiSettings", websocket.app.state.settings)
    await websocket.accept()
    telemetry.LISTENERS.inc()
    close: Close | None = BROKEN
    try:
        known = await visible(job_id, ingestion, caller)
        history = cast("History | None", websocket.app.state.history)
        if history and ws_history.asked(websocket):
            teller = ws_history.Teller(websocket, settings, history, ingestion)
            close = await teller.tell(ws_history.place(websocket, known))
        else:
            close = await Watcher(websocket, settings).watch(ingestion.watch(known))
    except ws_history.Unreadable:
        close = MALFORMED
    except JobNotFound:
        close = UNKNOWN
    except EventsGone:
        close = GONE
    except IngestionError:
        close = CUT_OFF
    finally:
        telemetry.LISTENERS.dec()
        if close:
            await _close(websocket, close, settings.ws_send_seconds)


async def _close(websocket: WebSocket, close: Close, seconds: float) -> None:
    with suppress(TimeoutError, WebSocketDisconnect):
        async with asyncio.timeout(seconds):
            await websocket.close(close.code, close.reason)


class Watcher:
    """Tells one connection what a feed says."""

    def __init__(self, websocket: WebSocket, settings: ApiSettings) -> None:
        self._websocket, self._settings = websocket, settings
        self._latest = Latest()
        #: Sequence of the last message that was sent; None before the first.
        self._sent: int | None = None

    async def watch(self, feed: AsyncIterator[StatusMessage]) -> Close | None:
        """Until the feed or the connection ends. None: the other side has closed, or is gone."""
        hearing = asyncio.create_task(self._hear(feed))
        telling = asyncio.create_task(self._tell())
        gone = asyncio.create_task(closes.gone(self._websocket))
        tasks = (hearing, telling, gone)
        try:
            await asyncio.wait({telling, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelling.end(*tasks)
        if not hearing.cancelled() and (error := hearing.exception()):
            raise error
        return None if telling.cancelled() else telling.result()

    async def _hear(self, feed: AsyncIterator[StatusMessage]) -> None:
        try:
            async for message in feed:
                self._latest.put(message)
        finally:
            self._latest.end()

    async def _tell(self) -> Close | None:
        try:
            while not self._latest.over:
                for message in await self._latest.take(self._settings.ws_heartbeat_seconds) or self._heartbeat():
                    await self._send(message)
                    if message.kind == "ended":
                        return ENDED
        except TimeoutError:
            return TOO_SLOW
        except WebSocketDisconnect:
            return None
        return CUT_OFF

    def _heartbeat(self) -> list[StatusMessage]:
        """Not before the first message, which is the job."""
        if self._sent is None or self._latest.over:
            return []
        return [StatusMessage(kind="heartbeat", seq=self._sent, at=now())]

    async def _send(self, message: StatusMessage) -> None:
        if self._sent is None and message.kind == "ended":
            await self._send(message.model_copy(update={"kind": "job"}))
        async with asyncio.timeout(self._settings.ws_send_seconds):
            await self._websocket.send_text(message.model_dump_json())
        self._sent = message.seq
