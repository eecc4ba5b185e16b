"""Reads a stream from a sequence on, in order, and waits for what comes. It keeps nothing: no consumer, no queue.

Reads are direct gets, which any replica of the stream answers. One that lags holds the beginning of what the leader
holds, never something later with a gap before it, for a stream is written in the order of its sequences; so what is not
there yet is read the next time, and nothing is skipped. What is missing inside has been deleted, and does not come
back."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from codestory import cancelling
from codestory.bus import LONG_AGO, LOST, NOTHING_THERE, Bus, BusLost, Stored, parsed

#: The answer that says that a batch is through.
END_OF_BATCH = "204"


class Remade(Exception):
    """The stream was made anew. Its sequences are others now."""


@dataclass(frozen=True)
class Page:
    messages: tuple[Stored, ...] = ()
    #: There was more when this was read.
    more: bool = False

    @property
    def end(self) -> int:
        """Sequence of the last message; 0: there is none."""
        return self.messages[-1].sequence if self.messages else 0


@dataclass(frozen=True)
class Kept:
    """What a stream holds: the first sequence and since when; the last that it ever gave."""

    #: When the stream was made, microseconds since 1970. Sequences of two epochs cannot be compared.
    epoch: int
    first: int
    last: int
    #: None: it holds nothing.
    since: datetime | None


class Reader:
    """`most`, `most_bytes`: of one batch; so much a watcher costs at most. `poll_seconds`: it looks again after so long
    even if nothing woke it, for a bell that was lost."""

    def __init__(self, bus: Bus, stream: str, *, most: int, most_bytes: int, poll_seconds: float) -> None:
        self.bus, self.stream = bus, stream
        self.most, self.most_bytes, self.poll_seconds = most, most_bytes, poll_seconds

    async def kept(self) -> Kept:
        """As the leader has it."""
        subject, timeout = f"$JS.API.STREAM.INFO.{self.bus.stream(self.stream)}", self.bus.settings.nats_request_seconds
        answer = parsed((await self.bus.nc.request(subject, timeout=timeout)).data)
        if "state" not in answer:
            raise BusLost(f"there is no stream {self.stream} now")
        state, created = answer["state"], datetime.fromisoformat(answer["created"])
        since = datetime.fromisoformat(state["first_ts"]) if state["messages"] else None
        return Kept(int(created.timestamp() * 1_000_000), state["first_seq"], state["last_seq"], since)

    async def page(self, subjects: str, start: int, most: int = 0) -> Page:
        """The messages on these subjects from `start` on: at most `most`, and fewer where they are large."""
        wished = {"seq": max(start, 1), "next_by_subj": subjects, "batch": most or self.most}
        request = json.dumps(wished | {"max_bytes": self.most_bytes}).encode()
        inbox = self.bus.nc.new_inbox()
        answers = await self.bus.nc.subscribe(inbox)
        try:
            await self.bus.nc.publish(f"$JS.API.DIRECT.GET.{self.bus.stream(self.stream)}", request, reply=inbox)
            return await self._batch(answers)
        finally:
            with suppress(*LOST):
                await answers.unsubscribe()

    async def _batch(self, answers: Subscription) -> Page:
        found: list[Stored] = []
        before = 0
        while True:
            msg = await answers.next_msg(timeout=self.bus.settings.nats_request_seconds)
            headers = msg.headers or {}
            if "Nats-Sequence" not in headers:
                return _closed(found, headers)
            if int(headers.get("Nats-Last-Sequence", before)) != before:  # one between was lost on its way
                return Page(tuple(found), more=True)
            found.append(_stored(msg, headers))
            before = found[-1].sequence

    async def follow(
        self, subjects: str, bell: str, start: int, *, epoch: int, seconds: float
    ) -> AsyncGenerator[tuple[Stored, ...]]:
        """What there is from `start` on, then what comes, in order, each once. An empty batch: all has been told for
        now; one comes each `seconds` at least. `bell`: what rings when there is more. Raises Remade when it is not the
        stream of this epoch any more."""
        lives = Lives(self, epoch)
        async with self._woken(bell) as news:
            while not cancelling.cancelled():
                news.clear()
                page = Page()
                with suppress(*LOST):  # it comes back; until then there is nothing
                    read = await self.page(subjects, start)
                    await lives.check()
                    page = read
                if page.messages:
                    start = page.end + 1
                    yield page.messages
                if not page.more:
                    yield ()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(min(self.poll_seconds, seconds)):
                            await news.wait()

    @asynccontextmanager
    async def _woken(self, bell: str) -> AsyncGenerator[asyncio.Event]:
        news = asyncio.Event()

        async def ring(_: Msg) -> None:
            news.set()

        subscription = await self.bus.nc.subscribe(bell, cb=ring)
        try:
            yield news
        finally:
            with suppress(*LOST):
                await subscription.unsubscribe()


class Lives:
    """Notices when the stream is made anew: then the orchestrator's epoch changes, a while after the connection did."""

    def __init__(self, reader: Reader, epoch: int) -> None:
        self._reader, self._epoch = reader, epoch
        self._seen = self._now()

    def _now(self) -> tuple[int, int]:
        bus = self._reader.bus
        return bus.epoch, bus.nc.stats["reconnects"]

    async def check(self) -> None:
        """Raises Remade. What has been read before this is asked was in the same stream, if it does not."""
        now = self._now()
        if now != self._seen:
            if (await self._reader.kept()).epoch != self._epoch:
                raise Remade
            self._seen = now


def _closed(found: list[Stored], headers: dict[str, str]) -> Page:
    """By the answer that bears no message."""
    status = headers.get("Status", "")
    if status not in {END_OF_BATCH, NOTHING_THERE}:
        raise BusLost(f"the stream cannot be read now: {status} {headers.get('Description', '')}".strip())
    return Page(tuple(found), more=int(headers.get("Nats-Num-Pending", 0)) > 0)


def _stored(msg: Msg, headers: dict[str, str]) -> Stored:
    try:
        at = datetime.fromisoformat(headers["Nats-Time-Stamp"])
    except (KeyError, ValueError):
        at = LONG_AGO
    return Stored(headers["Nats-Subject"], int(headers["Nats-Sequence"]), msg.data, headers, at)
