"""Takes messages from a pull consumer: what is there now, or the first that comes."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from nats.aio.msg import Msg

from codestory.bus import LOST, Bus

#: The statuses of a pull that has simply found nothing, or no more.
NOTHING = frozenset({"404", "408"})
#: A consumer or stream that is not there, or a pull that was refused: looked for again after so long.
MISSING_SECONDS = 0.2


class Puller:
    """One pull consumer, asked one request at a time."""

    def __init__(self, bus: Bus, stream: str, consumer: str) -> None:
        self.bus = bus
        #: What came, and when. None: ask again.
        self._queue = asyncio.Queue[tuple[float, Msg] | None]()
        self._asking = False
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{bus.stream(stream)}.{consumer}"

    async def start(self) -> "Puller":
        self._inbox = self.bus.nc.new_inbox()
        self._subscription = await self.bus.nc.subscribe(self._inbox, cb=self._heard)
        self.bus.pullers.append(self)
        return self

    async def _heard(self, msg: Msg) -> None:
        self._queue.put_nowait((asyncio.get_running_loop().time(), msg))

    async def stop(self) -> None:
        """What has come and was not taken goes to another at once."""
        self.bus.pullers.remove(self)
        with suppress(*LOST):
            await self._subscription.unsubscribe()
            for msg in self._left():
                await msg.nak()

    def wake(self) -> None:
        """The broker came back and has forgotten what was asked: ask again."""
        if self._asking:
            self._queue.put_nowait(None)

    async def take(self, most: int, wait: float = 0) -> list[Msg]:
        """Up to `most` messages that are there now; with `wait`, in seconds, the first one that comes."""
        if left := self._left():
            for msg in left[most:]:
                await msg.nak()
            return left[:most]
        found = await self._ask({"batch": most, "no_wait": True}, most, 2.0) if most > 1 or not wait else []
        if found or not wait:
            return found
        return await self._ask({"batch": 1, "expires": int(wait * 1e9)}, 1, wait + 2.0)

    async def _ask(self, request: dict[str, Any], most: int, patience: float) -> list[Msg]:
        self._asking = True
        try:
            await self.bus.nc.publish(self._next, json.dumps(request).encode(), reply=self._inbox)
            return await self._answer(most, patience)
        finally:
            self._asking = False

    async def _answer(self, most: int, patience: float) -> list[Msg]:
        found: list[Msg] = []
        while len(found) < most:
            try:
                async with asyncio.timeout(patience):
                    came = await self._queue.get()
            except TimeoutError:
                break
            if came is None:
                break
            msg = came[1]
            if status := _status(msg):
                if status not in NOTHING:
                    await asyncio.sleep(MISSING_SECONDS)  # the answer came at once: without a pause we would spin
                break
            found.append(msg)
        return found

    def _left(self) -> list[Msg]:
        """Messages that answered an earlier request, too late for it. Answers without a message are of no use any more;
        a message that has lain here for long may be another's by now: the server gives it out again by itself."""
        left: list[Msg] = []
        oldest = asyncio.get_running_loop().time() - self.bus.settings.ack_wait_seconds / 2
        while not self._queue.empty():
            came = self._queue.get_nowait()
            if came and not _status(came[1]) and came[0] > oldest:
                left.append(came[1])
        return left


def _status(msg: Msg) -> str:
    """Of an answer that bears no message; empty for one that does."""
    return (msg.headers or {}).get("Status", "") if not msg.reply else ""
