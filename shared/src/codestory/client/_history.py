"""Reads the history of a job: as it comes, over breaks and restarts, each item once. What to do next, and both ways to
do it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import httpx
from httpx_sse import EventSource
from pydantic import ValidationError

from codestory.client._calls import Call
from codestory.client._errors import ServiceUnreachable, Unavailable, UnexpectedAnswer
from codestory.client._transport import Address, Patience, read, unreachable
from codestory.contracts.api import JobView
from codestory.contracts.history import EPOCH_HEADER, EventList, JobEvent, LogLine, LogList

STREAM = "text/event-stream"
#: Looks at a job that has ended, with nothing new, until it is believed that nothing will come. Its end is said a
#: moment after it can be seen.
LAST_LOOKS = 3
#: Nobody answers, or nobody who can.
AWAY = (httpx.TransportError, ServiceUnreachable, Unavailable)

Item = TypeVar("Item", JobEvent, LogLine)
Pages = TypeVar("Pages", EventList, LogList)


class Following(Generic[Pages, Item]):
    """Where somebody stands in the history of one job. Times are seconds of one monotonic clock. Knows no socket."""

    def __init__(
        self,
        ask: Callable[[int, int], Call[Pages]],
        items: Callable[[Pages], tuple[Item, ...]],
        item: type[Item],
        *,
        start: int,
        follow: bool,
        streams: bool,
        patience: Patience,
        now: float,
    ) -> None:
        self._ask, self._items, self._item = ask, items, item
        self.start, self.epoch = start, 0
        self._follow, self._streams = follow, streams
        self._patience, self._contact = patience, now
        self._failures = self._looks = 0
        self._more = self._told_the_end = False
        self.over = False

    @property
    def listens(self) -> bool:
        """Whether to ask for a stream. Who only wants what is there asks for pages."""
        return self._follow and self._streams

    @property
    def polls(self) -> bool:
        """Whether the job must be looked at, to know when it is over."""
        return self._follow and not self._streams

    @property
    def call(self) -> Call[Pages]:
        return self._ask(self.start, self.epoch)

    def begun(self, response: httpx.Response, now: float) -> bool:
        """The service answers: whether by a stream. False: by something else, or there is nothing more to say."""
        self.over = response.status_code == HTTPStatus.NO_CONTENT
        if self.over or response.is_error:
            return False
        self._contact = now
        self._failures, self._told_the_end = 0, False
        self.epoch = _number(response.headers.get(EPOCH_HEADER, "")) or self.epoch
        streams = response.headers.get("content-type", "").partition(";")[0].strip() == STREAM
        self._streams = streams
        return streams

    def heard(self, data: str) -> Item | None:
        """What an event of the stream tells; None: nothing, or what has been told."""
        if not data:
            return None
        try:
            item = self._item.model_validate_json(data)
        except ValidationError as error:
            raise UnexpectedAnswer("The history does not read like that of a Code Story service.") from error
        return self._new(item)

    def _new(self, item: Item) -> Item | None:
        if item.seq < self.start:
            return None
        self.start = item.seq + 1
        self._looks = 0
        self._told_the_end = isinstance(item, JobEvent) and not item.step and item.kind == "ended"
        return item

    def read(self, page: Pages, job: JobView | None, now: float) -> list[Item]:
        """What is new on a page. `job`: as it was before the page was asked for, where that has to be known."""
        self._contact, self._failures = now, 0
        self.epoch, self._more = page.epoch, page.more
        new = [item for item in self._items(page) if self._new(item) is not None]
        self.start = max(self.start, page.next_seq)
        if not page.more:
            self._looks += bool(job and job.state.ended)
            self.over = self._looks >= LAST_LOOKS or not self._follow
        return new

    def lost(self, now: float) -> None:
        """A stream that was there has broken off: until then there was somebody."""
        self._contact = now

    def away(self, now: float) -> bool:
        """Nobody answers who can. True: for too long."""
        self._failures += 1
        return now - self._contact > self._patience.give_up_after

    def pause(self) -> float:
        if self._failures:
            return self._patience.pause(self._failures)
        if self._more or self._told_the_end:
            return 0.0
        return self._patience.back_off if self._streams else self._patience.poll_interval


@dataclass(frozen=True)
class Wire:
    """How a stream is asked for, and what comes of a request that gets none."""

    address: Address
    patience: Patience
    timeout: float

    def asking(self, call: Call[Any]) -> dict[str, Any]:
        """The arguments of the request. Who hears nothing for too long, not even a heartbeat, has lost the stream."""
        silence = httpx.Timeout(self.timeout, read=self.patience.silence)
        headers = {"Accept": STREAM, "Cache-Control": "no-store"}
        return {"params": call.query, "headers": headers, "timeout": silence}

    def refused(self, call: Call[Any], response: httpx.Response) -> None:
        """Raises what the service states, if it is an error."""
        if response.is_error:
            read(self.address, call, response)

    def gave_up(self, call: Call[Any], error: Exception) -> Exception:
        return unreachable(self.address, call, error) if isinstance(error, httpx.TransportError) else error


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


async def follow_async(
    http: httpx.AsyncClient,
    following: Following[Pages, Item],
    *,
    send: Callable[[Call[Pages]], Awaitable[Pages]],
    look: Callable[[], Awaitable[JobView]],
    wire: Wire,
) -> AsyncGenerator[Item]:
    while True:
        try:
            if following.listens:
                async with aclosing(_listen_async(http, following, wire)) as items:
                    async for item in items:
                        yield item
            else:
                job = await look() if following.polls else None
                for item in following.read(await send(following.call), job, time.monotonic()):
                    yield item
        except AWAY as error:
            if following.away(time.monotonic()):
                raise wire.gave_up(following.call, error) from error
        if following.over:
            return
        await asyncio.sleep(following.pause())


async def _listen_async(http: httpx.AsyncClient, following: Following[Pages, Item], wire: Wire) -> AsyncGenerator[Item]:
    async with http.stream("GET", following.call.path, **wire.asking(following.call)) as response:
        if not following.begun(response, time.monotonic()):
            await response.aread()
            wire.refused(following.call, response)
            return
        try:
            async with aclosing(EventSource(response).aiter_sse()) as events:
                async for event in events:
                    if item := following.heard(event.data):
                        yield item
        except httpx.TransportError:
            following.lost(time.monotonic())
            raise


def follow_sync(
    http: httpx.Client,
    following: Following[Pages, Item],
    *,
    send: Callable[[Call[Pages]], Pages],
    look: Callable[[], JobView],
    wire: Wire,
) -> Generator[Item]:
    while True:
        try:
            if following.listens:
                yield from _listen_sync(http, following, wire)
            else:
                job = look() if following.polls else None
                yield from following.read(send(following.call), job, time.monotonic())
        except AWAY as error:
            if following.away(time.monotonic()):
                raise wire.gave_up(following.call, error) from error
        if following.over:
            return
        time.sleep(following.pause())


def _listen_sync(http: httpx.Client, following: Following[Pages, Item], wire: Wire) -> Generator[Item]:
    with http.stream("GET", following.call.path, **wire.asking(following.call)) as response:
        if not following.begun(response, time.monotonic()):
            response.read()
            wire.refused(following.call, response)
            return
        try:
            for event in EventSource(response).iter_sse():
                if item := following.heard(event.data):
                    yield item
        except httpx.TransportError:
            following.lost(time.monotonic())
            raise
