"""The names on the bus, and the few ways to write and read. No other file knows a header or an expected sequence."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, cast

import nats.errors
import nats.js.errors
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from pydantic import BaseModel

from codestory import bus_tls, cancelling, telemetry
from codestory.bus_settings import BusSettings, security
from codestory.contracts.events import TERMINAL, StepEvent
from codestory.contracts.values import Priority

log = telemetry.logger(__name__)

PRIORITIES = tuple(Priority)
#: Consumer of EVENTS that the orchestrators share.
ORCHESTRATOR = "orchestrator"
#: Consumer of READY that they share too: what timers have brought.
DUE = "due"
#: Room for the headers beside a message's content.
HEADER_BYTES = 4096
WRONG_SEQUENCE, NO_ROOM, NO_MESSAGE = 10071, 10077, 10037
#: Of a direct read.
NOTHING_THERE = "404"
#: Older than anything stored.
LONG_AGO = datetime.min.replace(tzinfo=UTC)
#: Header names. Attempt and After stand here too, so that a command whose body is unreadable can still be fenced.
ATTEMPT, AFTER, TRACE = "Codestory-Attempt", "Codestory-After", telemetry.TRACEPARENT
TRACE_STATE = telemetry.TRACESTATE


class BusLost(Exception):
    """The message bus does not answer. Nothing is lost: what was asked for is tried again once it is back."""


#: The broker is away or empty: wait, look again.
LOST = (BusLost, nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)


class TooLarge(Exception):
    """The message is larger than the server takes. No waiting mends that."""


class Refused(Exception):
    """The server did not store the message: another got there first, or there is no room."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["description"])
        #: This very subject holds a message already.
        self.held = "per subject" in error["description"]
        #: Something has been stored since the sequence that was named.
        self.outrun = error.get("err_code") == WRONG_SEQUENCE


@dataclass(frozen=True)
class Stored:
    """One message as a stream holds it."""

    subject: str
    sequence: int
    data: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])
    #: When the server stored it.
    at: datetime = LONG_AGO

    @property
    def kind(self) -> str:
        return self.subject.rpartition(".")[2]

    @property
    def body(self) -> dict[str, Any]:
        """The content as an object; an empty one where it cannot be read as such."""
        return parsed(self.data)

    @property
    def attempt(self) -> int:
        attempt = self.body.get("attempt")
        return attempt if isinstance(attempt, int) else 0

    def ends(self, attempt: int) -> bool:
        """A terminal event of this attempt, or of a later one."""
        return self.kind in TERMINAL and self.attempt >= attempt


def attempt_in(headers: dict[str, str] | None) -> int | None:
    """The attempt that a command's headers name. None where they name none: anybody may write anything there."""
    text = (headers or {}).get(ATTEMPT, "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def parsed(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}


class Waker(Protocol):
    def wake(self) -> None: ...


class Bus:
    """One connection: what FastStream's subscribers and everything here share.

    `before_write` is called with a name before each write; a test may let the process die there."""

    def __init__(self, settings: BusSettings, name: str, before_write: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings
        self.before_write = before_write
        #: When EVENTS was made, microseconds since 1970. Sequences of two epochs cannot be compared. 0: not known yet.
        self.epoch = 0
        #: The server's time less our monotonic clock's, in seconds. None: it has not been asked yet.
        self._offset: float | None = None
        self._js: JetStreamContext | None = None
        #: What asks the server for more, and must ask again after a reconnection.
        self.pullers: list[Waker] = []
        self._on_reconnect: list[Callable[[], Awaitable[None]]] = []
        #: What is wrong with TLS, since the last connection; and that something is.
        self._said, self._failed = "", asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self.broker = NatsBroker(
            settings.nats_url,
            name=name,
            security=security(settings),
            inbox_prefix=settings.inbox_prefix_of(name),
            connect_timeout=int(settings.nats_connect_seconds) or 1,
            reconnect_time_wait=settings.nats_reconnect_seconds,  # type: ignore[arg-type]  # nats-py takes a float
            max_reconnect_attempts=-1,
            ping_interval=settings.nats_ping_seconds,
            max_outstanding_pings=2,
            reconnected_cb=self._reconnected,
            disconnected_cb=self._disconnected,
            error_cb=self._error,
            logger=None,
        )

    async def connect(self) -> None:
        """Tried for ever: a broker that is not there yet is one that is away."""
        while True:
            if await self._connected_once():
                break
            await asyncio.sleep(self.settings.nats_reconnect_seconds)
        self._js = self.broker.connection.jetstream(timeout=self.settings.nats_request_seconds)

    async def _connected_once(self) -> bool:
        """False: it must be tried anew. The client itself would wait for ever for the end of a broken handshake."""
        if not self.settings.tls():
            await self.broker.connect()
            return True
        if not self.settings.nats_tls_first:
            await self._until_encrypted()
        self._failed.clear()
        connecting, failing = asyncio.create_task(self.broker.connect()), asyncio.create_task(self._failed.wait())
        try:
            await asyncio.wait({connecting, failing}, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                await connecting
            return connecting.done()
        finally:
            await cancelling.end(connecting, failing)

    async def _until_encrypted(self) -> None:
        seconds, said = self.settings.nats_connect_seconds, ""
        while True:
            try:
                problem = await bus_tls.refused(self.settings.nats_url, seconds)
            except (OSError, TimeoutError) as error:
                problem = f"the server cannot be reached: {error!r}"
            if not problem:
                return
            if problem != said:
                log.error("bus.refused", error=problem)
            said = problem
            await asyncio.sleep(self.settings.nats_reconnect_seconds)

    async def close(self) -> None:
        for task in self._background:
            task.cancel()
        with suppress(*LOST):
            await self.broker.stop()
        self._js = None

    @property
    def nc(self) -> Client:
        if self._js is None:
            raise BusLost("not connected yet")
        return self.broker.connection

    @property
    def js(self) -> JetStreamContext:
        if self._js is None:
            raise BusLost("not connected yet")
        return self._js

    @property
    def connected(self) -> bool:
        return self._js is not None and self.broker.connection.is_connected

    def on_reconnect(self, work: Callable[[], Awaitable[None]]) -> None:
        """`work` runs at each reconnection, after the pullers ask anew."""
        self._on_reconnect.append(work)

    async def _reconnected(self) -> None:
        log.info("bus.reconnected")
        self._said = ""
        for puller in self.pullers:
            puller.wake()
        for work in self._on_reconnect:  # only started here: an exception in this callback would leave the client deaf
            self.in_background(_survive(work))

    async def _disconnected(self) -> None:
        log.warning("bus.disconnected")

    async def _error(self, error: Exception) -> None:
        self._failed.set()
        if advice := bus_tls.advice(error):
            if advice != self._said:  # each of the tries, five a second, meets the same
                log.error("bus.refused", error=repr(error), advice=advice)
            self._said = advice
            return
        log.warning("bus.error", error=repr(error))  # a refused permission shows here only

    def in_background(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # names

    def stream(self, name: str) -> str:
        kind = name[: name.find("_") + 1] if name.startswith(("KV_", "OBJ_")) else ""
        return f"{kind}{self.settings.namespace}_{name.removeprefix(kind)}"

    def subject(self, *tokens: str) -> str:
        return ".".join((self.settings.namespace, *tokens))

    def key(self, bucket: str, key: str) -> str:
        return f"$KV.{self.stream(bucket)}.{key}"

    def events_of(self, job: str, step: str) -> str:
        return self.subject("evt", job, step, "*")

    # writing

    async def publish(
        self,
        subject: str,
        body: BaseModel | dict[str, Any] | bytes = b"",
        *,
        after: int | None = None,
        among: str = "",
        last: int | None = None,
        headers: dict[str, str] | None = None,
        what: str = "",
        patience: float | None = None,
        epoch: int | None = None,
    ) -> int:
        """Store one message and return its sequence. `after`: the last sequence we know among these subjects, and
        `epoch`: which broker's sequences these are; another one's could match by chance. `last`: the last sequence of
        the whole stream.

        Sent until the server answers, for `patience` seconds at most. An unanswered message may have landed: then
        `after` refuses the next try, and the caller, who must look at what is there anyway, finds its own."""
        sent = {**(headers or {}), **_expecting(after, among or subject)}
        if last is not None:
            sent["Nats-Expected-Last-Sequence"] = str(last)
        data = encoded(body)
        if len(data) > self.nc.max_payload - HEADER_BYTES:
            raise TooLarge(f"{subject}: {len(data):,} bytes, {self.nc.max_payload:,} are the server's limit")
        self.before_write(what or subject)
        deadline = asyncio.get_running_loop().time() + (patience or self.settings.nats_patience_seconds)
        undisturbed = self.connected
        while asyncio.get_running_loop().time() < deadline:
            if epoch is None or undisturbed or await self._answers(epoch):
                answer = await self._offer(subject, data, sent)
                error = answer.get("error", {})  # looked at first: a refusal bears a sequence too, 0
                if "seq" in answer and not error:
                    return answer["seq"]
                if error.get("err_code") in {WRONG_SEQUENCE, NO_ROOM}:
                    raise Refused(error)
            undisturbed = False
            await asyncio.sleep(0.1)  # no answer, no disk, no leader: try again
        raise BusLost(f"{subject} could not be stored within {patience or self.settings.nats_patience_seconds:g} s")

    async def _offer(self, subject: str, data: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """The server's answer; an empty one where there is none."""
        with suppress(nats.errors.Error, TimeoutError, OSError):
            timeout = self.settings.nats_request_seconds
            return parsed((await self.nc.request(subject, data, timeout=timeout, headers=headers or None)).data)
        return {}

    async def _answers(self, epoch: int) -> bool:
        """The broker of this epoch does; False where none does. Raises Refused where another one does."""
        with suppress(*LOST):
            if await self.current_epoch() != epoch:
                raise Refused({"description": "the broker that gave these sequences is gone"})
            return True
        return False

    async def say(self, *tokens: str, body: BaseModel | dict[str, Any] | bytes = b"") -> None:
        """Core NATS: heard by who listens now, kept by nobody."""
        await self.nc.publish(self.subject(*tokens), encoded(body))

    async def record(
        self,
        subject: str,
        body: BaseModel | dict[str, Any] | bytes,
        *,
        after: int | None = None,
        among: str = "",
        alone: bool = False,
    ) -> None:
        """Into a stream, without waiting for the answer: progress, presence, log lines. One lost is no harm.

        `after`: as in `publish`; one that is refused is lost. `alone`: it takes the place of those before it on its
        subject, so that they do not fill the stream."""
        headers = _expecting(after, among or subject) | ({"Nats-Rollup": "sub"} if alone else {})
        await self.nc.publish(subject, encoded(body), headers=headers or None)

    async def purge(self, stream: str, *subjects: str) -> None:
        for subject in subjects:
            self.before_write("purge")
            await self.js.purge_stream(self.stream(stream), subject=subject)

    async def delete(self, stream: str, sequence: int) -> None:
        self.before_write("delete")
        with suppress(nats.js.errors.APIError):  # gone already
            await self.js.delete_msg(self.stream(stream), sequence)

    async def ack(self, msg: Msg, what: str = "ack") -> None:
        self.before_write(what)
        await self.nc.publish(msg.reply)

    async def terminate(self, msg: Msg, reason: str) -> None:
        """Take it off its stream for good; the reason appears in the server's advisory."""
        await self.nc.publish(msg.reply, f"+TERM {reason}".encode())

    # reading

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The last message on these subjects, as the leader has it. Wildcards allowed."""
        deadline = asyncio.get_running_loop().time() + self.settings.nats_patience_seconds
        while asyncio.get_running_loop().time() < deadline:
            try:
                msg = await self.js.get_msg(self.stream(stream), subject=subject)
                headers = cast("dict[str, str]", msg.headers or {})
                at = msg.time or LONG_AGO
                return Stored(msg.subject or "", msg.seq or 0, msg.data or b"", dict(headers), at)
            except nats.js.errors.NotFoundError as error:
                if error.err_code == NO_MESSAGE:  # anything else: the stream itself is missing
                    return None
            except (nats.errors.Error, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.1)
        raise BusLost(f"{stream} does not answer")

    async def subjects(self, stream: str, pattern: str) -> set[str]:
        """Which subjects hold a message now."""
        info = await self.js.stream_info(self.stream(stream), subjects_filter=pattern)
        return set(info.state.subjects or ())

    async def waiting(self, stream: str, pattern: str, since: int = 1) -> tuple[int, int]:
        """Sequence of the first message on these subjects from `since` on, and how many there are with it; 0, 0: none.

        By the server's own count, whatever the length of the stream, which must allow direct reading."""
        asked = json.dumps({"seq": since, "next_by_subj": pattern, "batch": 1}).encode()
        subject = f"$JS.API.DIRECT.GET.{self.stream(stream)}"
        answer = await self.nc.request(subject, asked, timeout=self.settings.nats_request_seconds)
        headers = answer.headers or {}
        if headers.get("Status") == NOTHING_THERE:
            return 0, 0
        if "Nats-Num-Pending" not in headers:
            raise BusLost(f"{stream} cannot be counted: {headers.get('Description', 'no answer')}")
        return int(headers["Nats-Sequence"]), int(headers["Nats-Num-Pending"]) + 1

    async def value(self, bucket: str, key: str) -> Stored | None:
        """The value of a key; None where there is none or it was deleted."""
        found = await self.last(f"KV_{bucket}", self.key(bucket, key))
        return found if found and "KV-Operation" not in found.headers else None

    async def current_epoch(self) -> int:
        created = (await self.js.stream_info(self.stream("EVENTS"))).created
        return int(created.timestamp() * 1_000_000) if created else 0

    # the clock

    def now(self) -> datetime:
        """The server's time, by which due messages travel; this host's until `sync_clock` has asked for it."""
        if self._offset is None:
            return datetime.now(UTC)
        return datetime.fromtimestamp(self._offset + time.monotonic(), UTC)

    async def sync_clock(self) -> None:
        """Ask the server what time it is. From then on this host's clock may be wrong, or jump, without harm."""
        timeout, asked = self.settings.nats_request_seconds, time.monotonic()
        answer = await self.nc.request(f"$JS.API.STREAM.INFO.{self.stream('EVENTS')}", timeout=timeout)
        said = parsed(answer.data).get("ts")
        if not isinstance(said, str):
            raise BusLost("the server does not say what time it is: it has no stream EVENTS yet")
        self._offset = datetime.fromisoformat(said).timestamp() - (asked + time.monotonic()) / 2

    def heard(self, at: datetime) -> None:
        """A message that the server stored then is here: it cannot be earlier now."""
        least = at.timestamp() - time.monotonic()
        if self._offset is not None and self._offset < least:
            self._offset = least

    # the fence

    async def event(
        self,
        job: str,
        step: str,
        event: StepEvent,
        after: int,
        *,
        patience: float | None = None,
        epoch: int | None = None,
    ) -> int:
        """Say what happened to an attempt, if `after` is still the last that was said of this step."""
        subject = self.subject("evt", job, step, event.kind)
        among = self.events_of(job, step)
        return await self.publish(
            subject, event, after=after, among=among, what=event.kind, patience=patience, epoch=epoch
        )

    async def overrule(self, job: str, step: str, event: StepEvent) -> None:
        """End an attempt that no worker will end, whatever came last, unless it has ended, or a later one has begun."""
        for _ in range(100):
            last = await self.last("EVENTS", self.events_of(job, step))
            if last and (last.ends(event.attempt) or last.attempt > event.attempt):
                return
            with suppress(Refused):
                await self.event(job, step, event, last.sequence if last else 0)
                return
        raise BusLost(f"the events of {job}.{step} do not hold still")


def _expecting(after: int | None, among: str) -> dict[str, str]:
    """The headers that let the server refuse a message when the last one among these subjects is another."""
    if after is None:
        return {}
    return {"Nats-Expected-Last-Subject-Sequence": str(after), "Nats-Expected-Last-Subject-Sequence-Subject": among}


async def _survive(work: Callable[[], Awaitable[None]]) -> None:
    with suppress(*LOST):
        await work()


def encoded(body: BaseModel | dict[str, Any] | bytes) -> bytes:
    match body:
        case bytes():
            return body
        case BaseModel():
            return body.model_dump_json(exclude_defaults=True).encode()
        case _:
            return json.dumps(body).encode()
