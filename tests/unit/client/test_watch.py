"""Both clients watch a job over a real WebSocket: reconnect, fall back to requests, give up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import pytest
from fastapi import FastAPI, Response, WebSocket
from starlette.websockets import WebSocketDisconnect

from codestory.client import (
    AsyncClient,
    Client,
    Forbidden,
    NotFound,
    Patience,
    ServiceUnreachable,
    StillRunning,
    Unavailable,
    UnexpectedAnswer,
)
from codestory.contracts.api import JobView, StatusMessage
from codestory.contracts.values import JobState, now

Serve = Callable[[FastAPI], str]
MakeJob = Callable[..., JobView]
#: What one connection says: frames, then the code it closes with. None: it breaks off without a word.
Connection = tuple[list[str], int | None]

QUICK = Patience(back_off=0.01, max_back_off=0.02, poll_interval=0.02, silence=5, give_up_after=0.2)


class Watch(Protocol):
    """Everything that a client says of a job until it ends."""

    def __call__(self, url: str, job_id: str = "job1", patience: Patience = QUICK) -> list[StatusMessage]: ...


def watch_sync(url: str, job_id: str = "job1", patience: Patience = QUICK) -> list[StatusMessage]:
    with Client(url, patience=patience) as client:
        return list(client.watch(job_id))


def watch_async(url: str, job_id: str = "job1", patience: Patience = QUICK) -> list[StatusMessage]:
    async def watched() -> list[StatusMessage]:
        async with AsyncClient(url, patience=patience) as client:
            return [message async for message in client.watch(job_id)]

    return asyncio.run(watched())


@pytest.fixture(params=[watch_sync, watch_async], ids=["sync", "async"])
def watch(request: pytest.FixtureRequest) -> Watch:
    return request.param


class Service:
    """Speaks the status feed as its script says, and answers requests about the job."""

    def __init__(self, job: JobView, *connections: Connection) -> None:
        self.job = job
        self.connections = list(connections)
        self.connected = 0
        self.looked = 0
        self.answers: list[Response] = []
        self.ends_after_looks = 0
        self.app = FastAPI()
        self.app.websocket("/ws/status/{job_id}")(self.feed)
        self.app.get("/v1/ingest/{job_id}")(self.look)

    async def feed(self, socket: WebSocket, job_id: str) -> None:
        del job_id
        self.connected += 1
        frames, code = self.connections.pop(0) if self.connections else ([], 1013)
        await socket.accept()
        for frame in frames:
            await socket.send_text(frame)
        if code is not None:
            await socket.close(code)
            return
        async for _ in received(socket):
            pass

    async def look(self, job_id: str) -> Response:
        del job_id
        self.looked += 1
        if self.answers:
            return self.answers.pop(0)
        if self.ends_after_looks and self.looked >= self.ends_after_looks:
            self.job = self.job.model_copy(update={"state": JobState.COMPLETED})
        return Response(self.job.model_dump_json(), media_type="application/json")


async def received(socket: WebSocket) -> AsyncIterator[str]:
    try:
        while True:
            yield await socket.receive_text()
    except WebSocketDisconnect:
        return


def frame(kind: str, seq: int, **fields: Any) -> str:
    return StatusMessage.model_validate({"kind": kind, "seq": seq, "at": now()} | fields).model_dump_json()


def kinds(messages: list[StatusMessage]) -> list[str]:
    return [message.kind for message in messages]


def test_a_job_is_told_from_its_first_state_to_its_end(watch: Watch, serve: Serve, make_job: MakeJob) -> None:
    frames = [
        frame("job", 1, job=make_job()),
        frame("progress", 2, step="documentation_grapher", progress={"done": 3, "total": 9}),
        frame("heartbeat", 2),
        frame("ended", 5, job=make_job(state="COMPLETED")),
    ]
    service = Service(make_job(), (frames, 1000))

    messages = watch(serve(service.app))

    assert kinds(messages) == ["job", "progress", "heartbeat", "ended"]
    assert messages[-1].job is not None
    assert messages[-1].job.state == "COMPLETED"
    assert (service.connected, service.looked) == (1, 0)


def test_a_feed_that_breaks_off_is_taken_up_again(watch: Watch, serve: Serve, make_job: MakeJob) -> None:
    service = Service(
        make_job(),
        ([frame("job", 1, job=make_job())], 1012),
        ([frame("job", 4, job=make_job()), frame("ended", 6, job=make_job(state="FAILED"))], 1000),
    )

    messages = watch(serve(service.app))

    assert kinds(messages) == ["job", "job", "job", "ended"]  # the third is the look in between
    assert service.connected == 2


def test_an_end_that_was_missed_is_found(watch: Watch, serve: Serve, make_job: MakeJob) -> None:
    service = Service(make_job(state="CANCELLED"), ([frame("job", 1, job=make_job())], 1012))

    messages = watch(serve(service.app))

    assert kinds(messages) == ["job", "ended"]
    assert messages[-1].seq == 2


def test_without_a_feed_the_job_is_looked_at_until_it_ends(watch: Watch, serve: Serve, make_job: MakeJob) -> None:
    service = Service(make_job())
    service.app.router.routes = [route for route in service.app.router.routes if "status" not in str(route)]
    service.ends_after_looks = 6

    messages = watch(serve(service.app))

    assert kinds(messages) == ["job"] * 5 + ["ended"]
    assert service.connected == 0


def test_a_feed_that_never_comes_to_anything_is_given_up(watch: Watch, serve: Serve, make_job: MakeJob) -> None:
    service = Service(make_job())
    service.ends_after_looks = 8

    watch(serve(service.app))

    assert service.connected == 3


def test_a_silent_feed_is_taken_for_dead(watch: Watch, serve: Serve, make_job: MakeJob) -> None:
    service = Service(make_job(state="COMPLETED"), ([frame("job", 1, job=make_job())], None))

    messages = watch(serve(service.app), patience=Patience(silence=0.05, back_off=0.01))

    assert kinds(messages) == ["job", "ended"]


def test_a_service_that_is_away_for_a_while_is_waited_for(watch: Watch, serve: Serve, make_job: MakeJob) -> None:
    ended = [frame("ended", 9, job=make_job(state="COMPLETED"))]
    service = Service(make_job(), ([], 1012), ([], 1012), (ended, 1000))
    service.answers = [Response(status_code=503), Response(status_code=502)]

    messages = watch(serve(service.app), patience=Patience(back_off=0.01, max_back_off=0.02))

    assert kinds(messages) == ["ended"]


def test_a_service_that_stays_away_is_given_up(watch: Watch, serve: Serve, make_job: MakeJob) -> None:
    service = Service(make_job())
    service.answers = [Response(status_code=503)] * 1000

    with pytest.raises(Unavailable):
        watch(serve(service.app))


def test_nobody_there_is_said_after_a_while(watch: Watch) -> None:
    with pytest.raises(ServiceUnreachable):
        watch("http://127.0.0.1:9")


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (403, Forbidden)])
def test_a_job_that_cannot_be_watched_is_said_at_once(
    watch: Watch, serve: Serve, make_job: MakeJob, status: int, error: type[Exception]
) -> None:
    service = Service(make_job(), ([], 4404))
    service.answers = [Response(status_code=status)]

    with pytest.raises(error):
        watch(serve(service.app))


def test_what_only_newer_clients_know_is_passed_over(watch: Watch, serve: Serve, make_job: MakeJob) -> None:
    newer = '{"kind": "rumour", "seq": 2, "at": "2024-05-01T12:00:00Z", "who": "me"}'
    service = Service(make_job(), ([newer, frame("ended", 3, job=make_job(state="COMPLETED"))], 1000))

    messages = watch(serve(service.app))

    assert kinds(messages) == ["ended"]


@pytest.mark.parametrize("nonsense", ["hello", "[]", '{"kind": "job"}', "null", '{"kind": ["job"]}'])
def test_a_feed_of_another_make_is_told_apart(watch: Watch, serve: Serve, make_job: MakeJob, nonsense: str) -> None:
    service = Service(make_job(), ([nonsense], 1000))

    with pytest.raises(UnexpectedAnswer):
        watch(serve(service.app))


def test_a_job_of_many_megabytes_can_be_told(watch: Watch, serve: Serve, make_job: MakeJob) -> None:
    long = make_job(state="COMPLETED", message="x" * 3_000_000)
    service = Service(make_job(), ([frame("ended", 1, job=long)], 1000))

    [message] = watch(serve(service.app))

    assert message.job == long


@pytest.mark.parametrize("feed", [True, False], ids=["listening", "looking"])
def test_waiting_ends_when_its_time_is_over(serve: Serve, make_job: MakeJob, *, feed: bool) -> None:
    connections = [([frame("job", 1, job=make_job())], None)] * 9 if feed else []
    service = Service(make_job(), *connections)

    with Client(serve(service.app), patience=QUICK) as client, pytest.raises(StillRunning):
        client.wait("job1", timeout=0.1)


async def test_waiting_asynchronously_ends_when_its_time_is_over(serve: Serve, make_job: MakeJob) -> None:
    service = Service(make_job(), ([frame("job", 1, job=make_job())], None))
    url = await asyncio.to_thread(serve, service.app)

    async with AsyncClient(url, patience=QUICK) as client:
        with pytest.raises(StillRunning):
            await client.wait("job1", timeout=0.1)


def test_the_job_as_it_ended_is_what_waiting_gives(serve: Serve, make_job: MakeJob) -> None:
    ended = make_job(state="COMPLETED", complete=True)
    service = Service(make_job(), ([frame("job", 1, job=make_job()), frame("ended", 2, job=ended)], 1000))

    with Client(serve(service.app), patience=QUICK) as client:
        job = client.wait("job1")

    assert job == ended


def test_a_watch_can_be_left(serve: Serve, make_job: MakeJob) -> None:
    service = Service(make_job(), ([frame("job", 1, job=make_job())], None))

    with Client(serve(service.app), patience=QUICK) as client:
        messages = client.watch("job1")
        first = next(messages)
        messages.close()

    assert first.kind == "job"
    assert service.connected == 1
