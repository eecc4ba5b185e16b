"""Events and log lines over real connections: pages, server-sent events, the WebSocket with `from_seq`."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, Callable, Iterable
from threading import Event
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from httpx_sse import EventSource
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from codestory.contracts.api import JobView, StatusMessage
from codestory.contracts.history import EPOCH_HEADER, EventList, JobEvent, LogLine, LogList
from codestory.contracts.traces import SpanView, Trace
from codestory.contracts.values import JobState, now
from codestory.testing import wait_until
from codestory_orchestrator.api import ApiSettings, Ingestion, create_app
from codestory_orchestrator.api.history import History
from codestory_orchestrator.errors import EventsGone, IngestionError, ServiceUnavailable
from codestory_orchestrator.history.place import Feed, Place
from codestory_orchestrator.testing_api import JOB, ScriptedIngestion, problem, view

Serve = Callable[[FastAPI], str]
QUICK = ApiSettings(ws_heartbeat_seconds=0.1, ws_send_seconds=0.5, sse_retry_seconds=0.25)
EVENTS = "/v1/ingest/" + JOB + "/events"
STREAM = {"Accept": "text/event-stream"}


def event(seq: int, kind: str = "started", step: str = "scan", **data: Any) -> JobEvent:
    return JobEvent(seq=seq, at=now(), job=JOB, step=step, kind=kind, attempt=1, data=data)


ENDED = event(9, "ended", "", run=1)
TRACE = Trace(job=JOB, spans=(SpanView(trace_id="a" * 32, span_id="b" * 16, name="submit job", started_at=now()),))
LINE = LogLine(seq=4, at=now(), step="scan", event="step.output", fields={"line": "hello"})


class Told:
    """A History that says what it was given, then ends, raises, or goes on."""

    def __init__(
        self, items: Iterable[JobEvent | None] | None = (), *, fails: IngestionError | None = None, ends: bool = True
    ) -> None:
        self.items, self.fails, self.ends = items, fails, ends
        self.refuses: IngestionError | None = None
        self.asked: list[tuple[Place, Any]] = []
        self.left = Event()

    def _ask(self, place: Place, what: Any) -> None:
        self.asked.append((place, what))
        if self.refuses:
            raise self.refuses

    async def trace(self, job_id: str) -> Trace:
        self._ask(Place(job_id), "trace")
        return TRACE

    async def events(self, place: Place, limit: int) -> EventList:
        self._ask(place, limit)
        return EventList(events=(event(3), ENDED), next_seq=10, more=False, epoch=5)

    async def logs(self, place: Place, limit: int, *, step: str = "") -> LogList:
        self._ask(place, (limit, step))
        return LogList(lines=(LINE,), next_seq=5, more=True, epoch=5)

    async def follow_events(self, place: Place, quiet_seconds: float) -> Feed[JobEvent]:
        self._ask(place, quiet_seconds)
        return Feed(None if self.items is None else self._said(self.items), 5)

    async def follow_logs(self, place: Place, quiet_seconds: float, *, step: str = "") -> Feed[LogLine]:
        self._ask(place, (quiet_seconds, step))

        async def lines() -> AsyncGenerator[LogLine | None]:
            yield LINE

        return Feed(lines(), 5)

    async def _said(self, items: Iterable[JobEvent | None]) -> AsyncGenerator[JobEvent | None]:
        try:
            for item in items:
                yield item
                await asyncio.sleep(0)
            if self.fails:
                raise self.fails
            if not self.ends:
                await asyncio.Event().wait()
        finally:
            self.left.set()

    async def is_left(self) -> bool:
        return self.left.is_set()

    def app(self, settings: ApiSettings = QUICK, state: JobState = JobState.COMPLETED) -> FastAPI:
        ingestion = Ended(state)
        return create_app(cast("Ingestion", ingestion), settings, history=cast("History", self))


class Ended(ScriptedIngestion):
    def __init__(self, state: JobState) -> None:
        super().__init__()
        self.ended_as = state

    async def show(self, job_id: str) -> JobView:
        await super().show(job_id)
        return view(self.ended_as)


async def get(address: str, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        return await http.get(address + path, headers=headers)


# pages


async def test_a_page_is_given_as_json(serve: Serve) -> None:
    told = Told()

    answer = await get(serve(told.app()), f"{EVENTS}?from_seq=3&limit=2&epoch=5")

    assert [one["seq"] for one in answer.json()["events"]] == [3, 9]
    assert (answer.json()["next_seq"], answer.json()["more"], answer.json()["epoch"]) == (10, False, 5)
    assert told.asked == [(Place(JOB, 3, 5), 2)]


async def test_log_lines_are_asked_for_by_step(serve: Serve) -> None:
    told = Told()

    answer = await get(serve(told.app()), f"/v1/ingest/{JOB}/logs?step=scan")

    assert answer.json()["lines"][0]["fields"] == {"line": "hello"}
    assert told.asked == [(Place(JOB), (200, "scan"))]


async def test_the_spans_of_a_job_are_asked_for(serve: Serve) -> None:
    told = Told()

    answer = await get(serve(told.app()), f"/v1/ingest/{JOB}/trace")

    assert Trace.model_validate(answer.json()) == TRACE
    assert told.asked == [(Place(JOB), "trace")]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("events?from_seq=-1", {}),
        ("events?from_seq=9223372036854775808", {}),
        ("events?limit=1001", {}),
        ("events?follow=perhaps", {}),
        ("events", STREAM | {"Last-Event-ID": "seven"}),
        ("logs?step=NO", {}),
        ("logs?step=job", {}),
    ],
)
async def test_what_is_malformed_is_refused_in_words(serve: Serve, path: str, headers: dict[str, str]) -> None:
    answer = await get(serve(Told().app()), f"/v1/ingest/{JOB}/{path}", **headers)

    assert problem(answer).code == "invalid_request"


@pytest.mark.parametrize("headers", [{}, STREAM])
async def test_a_history_that_is_gone_says_where_to_begin(serve: Serve, headers: dict[str, str]) -> None:
    told = Told()
    told.refuses = EventsGone(JOB, 7)

    answer = await get(serve(told.app()), f"{EVENTS}?from_seq=7", **headers)

    stated = problem(answer)
    assert (stated.status, stated.code) == (410, "events_gone")
    assert f"GET /v1/ingest/{JOB}" in stated.detail


@pytest.mark.parametrize("what", ["events", "logs"])
async def test_what_cannot_be_an_id_has_no_history(serve: Serve, what: str) -> None:
    told = Told()

    answer = await get(serve(told.app()), f"/v1/ingest/%00/{what}")

    assert problem(answer).code == "job_not_found"
    assert not told.asked


# server-sent events


async def test_a_stream_names_each_event_and_says_when_to_come_back(serve: Serve) -> None:
    answer = await get(serve(Told([event(3), None, ENDED]).app()), EVENTS, **STREAM)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers[EPOCH_HEADER] == "5"
    first, started, silence, ended, _ = answer.text.split("\n\n")
    assert first == "retry: 250"
    assert {line.partition(":")[0] for line in started.splitlines()} == {"id", "event", "data"}
    assert silence.startswith(":")
    assert "id: 9" in ended.splitlines()
    assert "event: ended" in ended.splitlines()
    told = [sse for sse in EventSource(answer).iter_sse() if sse.data]
    assert [JobEvent.model_validate_json(sse.data).seq for sse in told] == [3, 9]


async def test_the_last_event_id_counts_more_than_from_seq(serve: Serve) -> None:
    told = Told([ENDED])

    await get(serve(told.app()), f"{EVENTS}?from_seq=1", **STREAM, **{"Last-Event-ID": "7"})

    assert told.asked == [(Place(JOB, 8), QUICK.ws_heartbeat_seconds)]


async def test_follow_asks_for_the_same(serve: Serve) -> None:
    answer = await get(serve(Told().app()), f"/v1/ingest/{JOB}/logs?follow=true")

    [line] = [sse for sse in EventSource(answer).iter_sse() if sse.data]
    assert (line.id, line.event) == ("4", "line")


async def test_a_browser_that_has_been_told_all_is_told_not_to_come_back(serve: Serve) -> None:
    answer = await get(serve(Told(None).app()), EVENTS, **STREAM)

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("fails", [ServiceUnavailable(), EventsGone(JOB, 7)])
async def test_a_feed_that_breaks_off_ends_the_stream(serve: Serve, fails: IngestionError) -> None:
    answer = await get(serve(Told([event(3)], fails=fails).app()), EVENTS, **STREAM)

    assert answer.text.count("data:") == 1


async def test_whoever_leaves_a_stream_costs_nothing_more(serve: Serve) -> None:
    told = Told([event(3)], ends=False)
    address = serve(told.app())

    async with httpx.AsyncClient(trust_env=False) as http, http.stream("GET", address + EVENTS, headers=STREAM) as it:
        assert await anext(it.aiter_bytes())

    await wait_until(told.is_left, "the feed is closed")


async def test_whoever_does_not_read_a_stream_is_let_go(serve: Serve) -> None:
    told = Told((event(seq, text="x" * 100_000) for seq in range(1, 5000)), ends=False)
    host, port = serve(told.app()).removeprefix("http://").split(":")

    with socket.create_connection((host, int(port))) as asking:
        asking.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode())
        await wait_until(told.is_left, "the feed is closed")


# the WebSocket


def watching(address: str, query: str, path: str = f"/ws/status/{JOB}", **more: Any) -> connect:
    return connect(f"{address.replace('http', 'ws')}{path}{query}", proxy=None, **more)


async def everything(connection: ClientConnection) -> tuple[list[StatusMessage], int | None]:
    heard: list[StatusMessage] = []
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(20):
            while True:
                heard.append(StatusMessage.model_validate_json(await connection.recv()))
    return heard, connection.close_code


@pytest.mark.parametrize("path", [f"/ws/status/{JOB}", f"/v1/ingest/{JOB}/ws"])
async def test_with_from_seq_each_event_is_a_frame_then_the_job_as_it_ended(serve: Serve, path: str) -> None:
    told = Told([event(3), None, ENDED])

    async with watching(serve(told.app()), "?from_seq=3&epoch=5", path) as connection:
        heard, code = await everything(connection)

    assert [message.kind for message in heard] == ["event", "heartbeat", "event", "ended"]
    assert [message.seq for message in heard] == [3, 3, 9, 9]
    assert heard[0].event
    assert (heard[0].event.kind, heard[0].step) == ("started", "scan")
    assert heard[-1].job
    assert heard[-1].job.state is JobState.COMPLETED
    assert code == 1000
    assert told.asked[0][0] == Place(JOB, 3, 5)


@pytest.mark.parametrize("path", [f"/ws/status/{JOB}", f"/v1/ingest/{JOB}/ws"])
async def test_without_from_seq_the_job_itself_is_told(serve: Serve, path: str) -> None:
    async with watching(serve(Told([event(3)]).app()), "", path) as connection:
        heard, code = await everything(connection)

    assert [message.kind for message in heard] == ["job", "ended"]
    assert code == 1000


async def test_whoever_knows_everything_is_told_how_the_job_ended(serve: Serve) -> None:
    async with watching(serve(Told(None).app()), "?from_seq=10") as connection:
        heard, code = await everything(connection)

    assert ([message.kind for message in heard], code) == (["ended"], 1000)
    assert heard[0].seq == 9


@pytest.mark.parametrize("number", ["", "-1", "x", "1.5", "%D9%A3", "9" * 40])
async def test_a_from_seq_that_is_no_number_closes_with_a_code_of_its_own(serve: Serve, number: str) -> None:
    async with watching(serve(Told().app()), f"?from_seq={number}") as connection:
        heard, code = await everything(connection)

    assert (heard, code) == ([], 4400)


@pytest.mark.parametrize(("fails", "code"), [(EventsGone(JOB, 7), 4410), (ServiceUnavailable(), 1012)])
async def test_why_a_feed_ends_shows_in_the_code(serve: Serve, fails: IngestionError, code: int) -> None:
    async with watching(serve(Told([event(3)], fails=fails).app()), "?from_seq=0") as connection:
        heard, closed = await everything(connection)

    assert ([message.kind for message in heard], closed) == (["event"], code)


async def test_a_job_that_runs_again_is_not_called_ended(serve: Serve) -> None:
    async with watching(serve(Told([ENDED]).app(state=JobState.RUNNING)), "?from_seq=0") as connection:
        heard, code = await everything(connection)

    assert ([message.kind for message in heard], code) == (["event"], 1012)


async def test_a_slow_watcher_is_let_go_and_nothing_waits_for_it(serve: Serve) -> None:
    told = Told((event(seq, text="x" * 100_000) for seq in range(1, 5000)), ends=False)

    async with watching(serve(told.app()), "?from_seq=1", max_queue=1, compression=None) as connection:
        await wait_until(told.is_left, "the feed is closed")
        heard, code = await everything(connection)

    assert len(heard) < 4999
    assert [message.seq for message in heard] == list(range(1, len(heard) + 1))
    assert code in {1013, 1006}


async def test_a_watcher_that_leaves_costs_nothing_more(serve: Serve) -> None:
    told = Told([event(3)], ends=False)

    async with watching(serve(told.app()), "?from_seq=0") as connection:
        assert json.loads(await connection.recv())["kind"] == "event"

    await wait_until(told.is_left, "the feed is closed")
