"""The WebSocket that tells the events of a job from a sequence on: those that there are, then those that come."""

import asyncio
from contextlib import aclosing
from typing import Final

from fastapi import WebSocket, WebSocketDisconnect

from codestory import cancelling
from codestory.contracts.api import StatusMessage
from codestory.contracts.history import LARGEST, JobEvent
from codestory.contracts.values import now
from codestory_orchestrator.api.closes import CUT_OFF, ENDED, TOO_SLOW, Close, gone
from codestory_orchestrator.api.history import History
from codestory_orchestrator.api.ingestion import Ingestion
from codestory_orchestrator.api.settings import ApiSettings
from codestory_orchestrator.history.place import Place

#: Of a number in an address; none that is longer can be meant.
DIGITS: Final = len(str(LARGEST))


class Unreadable(Exception):
    """What stands in the address is no number."""


def asked(websocket: WebSocket) -> bool:
    return "from_seq" in websocket.query_params


def place(websocket: WebSocket, job_id: str) -> Place:
    """Where the watcher wants to begin. Raises Unreadable."""
    start, epoch = (_number(websocket.query_params.get(name, "0")) for name in ("from_seq", "epoch"))
    return Place(job_id, start, epoch)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        raise Unreadable
    return min(int(text), LARGEST)


class Teller:
    """One connection. Nothing waits here for who is slow: the next events are read when these have been sent."""

    def __init__(self, websocket: WebSocket, settings: ApiSettings, history: History, ingestion: Ingestion) -> None:
        self._websocket, self._settings = websocket, settings
        self._history, self._ingestion = history, ingestion

    async def tell(self, place: Place) -> Close | None:
        """Until the job has ended or the other side is gone. None: it has closed, or is gone."""
        telling = asyncio.create_task(self._tell(place))
        leaving = asyncio.create_task(gone(self._websocket))
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelling.end(telling, leaving)
        return None if telling.cancelled() else telling.result()

    async def _tell(self, place: Place) -> Close | None:
        sent = max(place.start - 1, 0)
        feed = await self._history.follow_events(place, self._settings.ws_heartbeat_seconds)
        try:
            if feed.items is not None:
                async with aclosing(feed.items) as events:
                    async for event in events:
                        sent = event.seq if event else sent
                        await self._send(_message(sent, event))
            job = await self._ingestion.show(place.job)
            if not job.state.ended:  # it runs again, since a moment ago
                return CUT_OFF
            await self._send(StatusMessage(kind="ended", seq=sent, job=job, at=now()))
        except TimeoutError:
            return TOO_SLOW
        except WebSocketDisconnect:
            return None
        return ENDED

    async def _send(self, message: StatusMessage) -> None:
        async with asyncio.timeout(self._settings.ws_send_seconds):
            await self._websocket.send_text(message.model_dump_json())


def _message(seq: int, event: JobEvent | None) -> StatusMessage:
    if event is None:
        return StatusMessage(kind="heartbeat", seq=seq, at=now())
    return StatusMessage(kind="event", seq=seq, event=event, step=event.step, at=event.at)
