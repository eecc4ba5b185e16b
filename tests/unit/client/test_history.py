"""Both clients read a job's history: each item once, over streams that break off, and by pages where there is none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from codestory.client import AsyncClient, Client, Forgotten, Patience, ServiceUnreachable, Unavailable, UnexpectedAnswer
from codestory.contracts.api import JobView
from codestory.contracts.history import EPOCH_HEADER, EventList, JobEvent, LogLine, LogList
from codestory.contracts.values import JobState, now

Serve = Callable[[FastAPI], str]
MakeJob = Callable[..., JobView]
QUICK = Patience(back_off=0.01, max_back_off=0.02, poll_interval=0.01, silence=5, give_up_after=0.3)


class Read(Protocol):
    """Everything that a client gives."""

    def __call__(self, url: str, method: str, *args: Any, transport: Any = None, **fields: Any) -> list[Any]: ...


def read_sync(url: str, method: str, *args: Any, transport: Any = None, **fields: Any) -> list[Any]:
    with Client(url, patience=QUICK, transport=transport) as client:
        return list(getattr(client, method)(*args, **fields))


def read_async(url: str, method: str, *args: Any, transport: Any = None, **fields: Any) -> list[Any]:
    async def read() -> list[Any]:
        async with AsyncClient(url, patience=QUICK, transport=transport) as client:
            return [item async for item in getattr(client, method)(*args, **fields)]

    return asyncio.run(read())


@pytest.fixture(params=[read_sync, read_async], ids=["sync", "async"])
def read(request: pytest.FixtureRequest) -> Read:
    return request.param


def event(seq: int, kind: str = "started", step: str = "scan") -> JobEvent:
    return JobEvent(seq=seq, at=now(), job="job1", step=step, kind=kind)


ENDED = event(9, "ended", "")


def sent(*events: JobEvent) -> str:
    return "".join(f"event: {e.kind}\ndata: {e.model_dump_json()}\nid: {e.seq}\n\n" for e in events)


class Service:
    """Answers each request for a stream by what its script says; 204 once that is over."""

    def __init__(self, *answers: Response | str) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []
        self.app = FastAPI()
        self.app.get("/v1/ingest/{job_id}/{what}")(self.answer)

    async def answer(self, job_id: str, what: str, request: Request) -> Response:
        del job_id, what
        self.asked.append(dict(request.query_params))
        assert request.headers["accept"] == "text/event-stream"
        answer = self.answers.pop(0) if self.answers else Response(status_code=204)
        return answer if isinstance(answer, Response) else stream(answer)


def stream(text: str, *, breaks: bool = False) -> Response:
    async def body() -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        yield text
        if breaks:
            raise ConnectionError

    return StreamingResponse(body(), media_type="text/event-stream", headers={EPOCH_HEADER: "5"})


def refusal(status: int, code: str) -> Response:
    body = {"title": "No", "status": status, "code": code, "detail": "No."}
    return Response(httpx.Response(status, json=body).content, status, media_type="application/problem+json")


def test_a_history_is_told_to_its_end(read: Read, serve: Serve) -> None:
    service = Service(sent(event(3), ENDED))

    told = read(serve(service.app), "events", "job1", 2)

    assert [item.seq for item in told] == [3, 9]
    assert service.asked == [{"from_seq": "2"}, {"from_seq": "10", "epoch": "5"}]


def test_after_a_break_it_goes_on_where_it_was(read: Read, serve: Serve) -> None:
    half = sent(event(4))[:-20]
    service = Service(
        stream(sent(event(3)) + half, breaks=True), refusal(503, "unavailable"), sent(event(4)), sent(event(5), ENDED)
    )

    told = read(serve(service.app), "events", "job1")

    assert [item.seq for item in told] == [3, 4, 5, 9]
    assert [asked["from_seq"] for asked in service.asked] == ["0", "4", "4", "5", "10"]


def test_what_has_been_told_is_not_told_again(read: Read, serve: Serve) -> None:
    service = Service(sent(event(3), event(4)), sent(event(3), event(4), ENDED))

    assert [item.seq for item in read(serve(service.app), "events", "job1")] == [3, 4, 9]


def test_a_history_that_is_gone_is_an_error_of_its_own(read: Read, serve: Serve) -> None:
    service = Service(sent(event(3)), refusal(410, "events_gone"))

    with pytest.raises(Forgotten) as gone:
        read(serve(service.app), "events", "job1")

    assert gone.value.code == "events_gone"


def test_nobody_is_waited_for_for_ever(read: Read, serve: Serve) -> None:
    service = Service(*[refusal(503, "unavailable") for _ in range(1000)])

    with pytest.raises(Unavailable):
        read(serve(service.app), "events", "job1")
    with pytest.raises(ServiceUnreachable):
        read("http://127.0.0.1:9", "events", "job1")


@pytest.mark.parametrize("text", ["data: no json\n\n", 'data: {"seq": "x"}\n\n'])
def test_a_stream_of_something_else_is_named(read: Read, serve: Serve, text: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        read(serve(Service(text).app), "events", "job1")


def test_log_lines_are_followed_alike(read: Read, serve: Serve) -> None:
    line = LogLine(seq=4, at=now(), step="scan", fields={"line": "hi"})
    service = Service(f"event: line\ndata: {line.model_dump_json()}\nid: 4\n\n")

    assert read(serve(service.app), "logs", "job1", "scan", follow=True) == [line]
    assert service.asked[0] == {"from_seq": "0", "step": "scan"}


class Pages:
    """A service of which only pages can be had. The job ends after so many looks at it."""

    def __init__(self, job: JobView, *pages: EventList | LogList, ends_after: int = 1) -> None:
        self.job, self.pages, self.ends_after = job, list(pages), ends_after
        self.asked: list[str] = []
        self.looks = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/ingest/job1":
            self.looks += 1
            ended = {"state": JobState.COMPLETED} if self.looks >= self.ends_after else {}
            return httpx.Response(200, text=self.job.model_copy(update=ended).model_dump_json())
        self.asked.append(request.url.params["from_seq"])
        if self.pages:
            return httpx.Response(200, text=self.pages.pop(0).model_dump_json())
        return httpx.Response(200, json={"events": [], "lines": [], "next_seq": 10, "more": False})


def page(*events: JobEvent, more: bool = False) -> EventList:
    return EventList(events=events, next_seq=events[-1].seq + 1 if events else 1, more=more, epoch=5)


def test_where_no_stream_can_be_had_pages_are_asked_for_until_the_end(read: Read, make_job: MakeJob) -> None:
    service = Pages(make_job(), page(event(3), event(4), more=True), page(), page(event(5)), page(ENDED), ends_after=4)

    told = read("http://app", "events", "job1", transport=httpx.MockTransport(service))

    assert [item.seq for item in told] == [3, 4, 5, 9]


def test_who_only_wants_what_is_there_is_given_all_pages_of_it(read: Read, make_job: MakeJob) -> None:
    service = Pages(make_job(), page(event(3), more=True), page(event(4)), ends_after=100)
    transport = httpx.MockTransport(service)

    told = read("http://app", "events", "job1", follow=False, transport=transport)
    lines = read("http://app", "logs", "job1", from_seq=7, transport=transport)

    assert [item.seq for item in told] == [3, 4]
    assert lines == []
    assert (service.asked, service.looks) == (["0", "4", "7"], 0)


def test_a_service_that_answers_a_page_where_a_stream_was_asked_for_is_asked_for_pages(
    read: Read, serve: Serve, make_job: MakeJob
) -> None:
    app = FastAPI()
    job = make_job(state="COMPLETED")

    @app.get("/v1/ingest/{job_id}")
    async def show(job_id: str) -> JobView:
        return job.model_copy(update={"id": job_id})

    @app.get("/v1/ingest/{job_id}/events")
    async def events(job_id: str, from_seq: int) -> EventList:
        del job_id
        return page(*[one for one in (event(3), ENDED) if one.seq >= from_seq])

    assert [show, events]
    assert [item.seq for item in read(serve(app), "events", "job1")] == [3, 9]
