"""Tickets for WebSockets, for programs that cannot send a header with one: web pages."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from codestory.contracts.access import Ticket
from codestory_orchestrator.access.door import Door
from codestory_orchestrator.api.access import Granted, door
from codestory_orchestrator.api.problems import documented
from codestory_orchestrator.api.roles import VIEWER_TOO

router = APIRouter(prefix="/v1/ingest/tickets", tags=["access"])


@router.post("", status_code=201, responses=documented(413, 415, 503), openapi_extra=VIEWER_TOO)
async def give_ticket(granted: Granted, doorkeeper: Annotated[Door, Depends(door)], response: Response) -> Ticket:
    """A ticket with which whoever asked may open one WebSocket: `?ticket=`. It is good once, and not for long."""
    response.headers["Cache-Control"] = "no-store"
    return await doorkeeper.ticket(granted)
