"""The WebSocket over a real connection: what a watcher is told, and that none of them can hold the service up."""

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from threading import Event
from typing import Any, cast

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from codestory.contracts.api import JobView, StatusMessage
from codestory.contracts.results import Progress
from codestory.contracts.values import now
from codestory.testing import wait_until
from codestory_orchestrator.api import ApiSettings, Ingestion, create_app
from codestory_orchestrator.api.latest import Latest
from codestory_orchestrator.errors import JobNotFound, ServiceUnavailable

Serve = Callable[[FastAPI], str]
MakeJob = Callable[..., JobView]
JOB = "job1"
QUICK = ApiSettings(ws_heartbeat_seconds=0.1, ws_send_seconds=0.5)


def told(kind: str, seq: int, **more: Any) -> StatusMessage:
    return StatusMessage.model_validate({"kind": kind, "seq": seq, "at": now()} | more)


def progress(done: int) -> StatusMessage:
    return told("progress", done, step="scan", progress=Progress(done=done))


class Feed:
    """An Ingestion of which only `watch` is asked: it says what it was given, then raises, ends or goes on."""

    def __init__(
        self, messages: Iterable[StatusMessage], *, fails: Exception | None = None, ends: bool = False
    ) -> None:
        self.messages, self.fails, self.ends = messages, fails, ends
        self.said, self.left = Event(), Event()

    async def watch(self, job_id: str) -> AsyncIterator[StatusMessage]:
        if job_id != JOB:
            raise JobNotFound(job_id)
        try:
            for message in self.messages:
                yield message
                await asyncio.sleep(0)
            self.said.set()
            if self.fails:
                raise self.fails
            if not self.ends:
                await asyncio.Event().wait()
        finally:
            self.left.set()

    def app(self, settings: ApiSettings = QUICK) -> FastAPI:
        return create_app(cast("Ingestion", self), settings)

    async def has_said_all(self) -> bool:
        return self.said.is_set()

    async def is_left(self) -> bool:
        return self.left.is_set()


def watching(address: str, job_id: str = JOB, **more: Any) -> connect:
    return connect(f"{address.replace('http', 'ws')}/ws/status/{job_id}", proxy=None, **more)


async def everything(connection: ClientConnection) -> tuple[list[StatusMessage], int | None]:
    """What is told until the connection ends, and the code it ends with."""
    heard: list[StatusMessage] = []
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(20):
            while True:
                heard.append(StatusMessage.model_validate_json(await connection.recv()))
    return heard, connection.close_code


async def test_a_watcher_is_told_the_job_then_what_changes_then_how_it_ended(serve: Serve, make_job: MakeJob) -> None:
    feed = Feed([told("job", 1, job=make_job()), progress(7), told("ended", 9, job=make_job(state="COMPLETED"))])

    async with watching(serve(feed.app())) as connection:
        heard, code = await everything(connection)

    assert [message.kind for message in heard] == ["job", "progress", "ended"]
    assert [message.seq for message in heard] == [1, 7, 9]
    assert heard[0].job == make_job()
    assert code == 1000


async def test_a_job_that_has_ended_already_is_told_as_a_job_first(serve: Serve, make_job: MakeJob) -> None:
    feed = Feed([told("ended", 9, job=make_job(state="FAILED"))])

    async with watching(serve(feed.app())) as connection:
        heard, code = await everything(connection)

    assert [(message.kind, message.job) for message in heard] == [
        ("job", make_job(state="FAILED")),
        ("ended", make_job(state="FAILED")),
    ]
    assert code == 1000


@pytest.mark.parametrize("job_id", ["none", "%00", "x" * 65])
async def test_an_unknown_job_closes_with_a_code_of_its_own(serve: Serve, job_id: str) -> None:
    async with watching(serve(Feed([]).app()), job_id) as connection:
        heard, code = await everything(connection)

    assert (heard, code) == ([], 4404)


async def test_silence_is_filled_with_heartbeats(serve: Serve, make_job: MakeJob) -> None:
    async with watching(serve(Feed([told("job", 3, job=make_job())]).app())) as connection:
        heard = [json.loads(await connection.recv()) for _ in range(4)]

    assert [message["kind"] for message in heard] == ["job", "heartbeat", "heartbeat", "heartbeat"]
    assert {message["seq"] for message in heard} == {3}


@pytest.mark.parametrize("fails", [ServiceUnavailable(), None])
async def test_a_feed_that_breaks_off_tells_the_watcher_to_come_again(
    serve: Serve, make_job: MakeJob, fails: Exception | None
) -> None:
    feed = Feed([told("job", 1, job=make_job())], fails=fails, ends=True)

    async with watching(serve(feed.app())) as connection:
        heard, code = await everything(connection)

    assert [message.kind for message in heard] == ["job"]
    assert code == 1012


async def test_a_bug_closes_the_connection_and_tells_nothing_of_it(serve: Serve, make_job: MakeJob) -> None:
    feed = Feed([told("job", 1, job=make_job())], fails=RuntimeError("password=hunter2"))

    async with watching(serve(feed.app())) as connection:
        _, code = await everything(connection)

    assert code == 1011
    assert "hunter2" not in (connection.close_reason or "")


async def test_a_watcher_that_leaves_leaves_nothing_behind(serve: Serve, make_job: MakeJob) -> None:
    feed = Feed([told("job", 1, job=make_job())])

    async with watching(serve(feed.app())) as connection:
        await connection.recv()

    await wait_until(feed.is_left, "the feed is left", limit=5)


async def test_what_a_watcher_sends_changes_nothing(serve: Serve, make_job: MakeJob) -> None:
    async with watching(serve(Feed([told("job", 1, job=make_job())]).app())) as connection:
        for message in ("cancel", b"\x00\xff", "{}" * 1000):
            await connection.send(message)
        heard = [json.loads(await connection.recv())["kind"] for _ in range(3)]

    assert heard == ["job", "heartbeat", "heartbeat"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_page_of_another_origin_may_not_watch(serve: Serve, origin: str) -> None:
    address = serve(Feed([]).app())

    with pytest.raises(InvalidStatus) as refused:
        async with watching(address, origin=Origin(origin)):
            pass

    response = refused.value.response
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert json.loads(response.body or b"")["code"] == "foreign_origin"


async def test_its_own_page_may_watch(serve: Serve, make_job: MakeJob) -> None:
    address = serve(Feed([told("job", 1, job=make_job())]).app())

    async with watching(address, origin=Origin(address)) as connection:
        first = json.loads(await connection.recv())

    assert first["kind"] == "job"


async def test_a_slow_watcher_is_told_the_newest_and_not_all(serve: Serve, make_job: MakeJob) -> None:
    news = [told("job", n, job=make_job(message="x" * 100_000)) for n in range(1, 400)]
    feed = Feed([*news, told("ended", 400, job=make_job(state="COMPLETED"))])

    async with watching(serve(feed.app(ApiSettings())), max_queue=1, compression=None) as connection:
        await wait_until(feed.has_said_all, "all has been said")
        heard, code = await everything(connection)

    assert [message.seq for message in heard[-2:]] == [399, 400]
    assert len(heard) < len(news)
    assert [message.seq for message in heard] == sorted({message.seq for message in heard})
    assert code == 1000


async def test_a_watcher_that_never_reads_is_let_go(serve: Serve, make_job: MakeJob) -> None:
    endless = (told("job", n, job=make_job(message="x" * 100_000)) for n in itertools.count(1))
    feed = Feed(endless)
    host, port = serve(feed.app()).removeprefix("http://").split(":")

    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"GET /ws/status/{JOB} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await wait_until(feed.is_left, "the watcher is let go", limit=10)


async def test_what_waits_to_be_told_is_one_message_of_each_kind_and_step() -> None:
    latest = Latest()

    for done in range(1000):
        latest.put(told("job", done))
        latest.put(told("progress", done, step="scan"))
        latest.put(told("progress", done, step="link"))
    taken = await latest.take(0)

    assert [(message.kind, message.step, message.seq) for message in taken] == [
        ("job", "", 999),
        ("progress", "scan", 999),
        ("progress", "link", 999),
    ]
    assert await latest.take(0) == []
