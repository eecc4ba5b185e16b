"""How a WebSocket ends: the codes, and what is told with them."""

from typing import NamedTuple

from fastapi import WebSocket


class Close(NamedTuple):
    code: int
    reason: str


ENDED = Close(1000, "the job has ended")
BROKEN = Close(1011, "something went wrong in the service; its log has the details")
CUT_OFF = Close(1012, "the service lost sight of the job; connect again")
TOO_SLOW = Close(1013, "too slow; connect again")
MALFORMED = Close(4400, "from_seq and epoch must be whole numbers from 0 on")
UNKNOWN = Close(4404, "there is no such job")
GONE = Close(4410, "the history does not go back so far any more; begin again with from_seq=0")


async def gone(websocket: WebSocket) -> None:
    """Until the other side has closed, or is gone. What it sends meanwhile is not for us."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
