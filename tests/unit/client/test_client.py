"""Both clients against a real server that speaks the API: requests, errors, retries."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from codestory.client import (
    AsyncClient,
    BadAddress,
    ChangedMeanwhile,
    Client,
    CodeStoryError,
    Conflict,
    Forbidden,
    Forgotten,
    Invalid,
    NotFound,
    Patience,
    ProblemError,
    ServiceUnreachable,
    Throttled,
    Unavailable,
    UnexpectedAnswer,
)
from codestory.contracts.api import JobView, SubmitJob

Serve = Callable[[FastAPI], str]
MakeJob = Callable[..., JobView]
Answer = Callable[[Any], Coroutine[Any, Any, Any]]

#: As long as a test has.
QUICK = Patience(back_off=0.01, max_back_off=0.02, poll_interval=0.02)


class Ask(Protocol):
    """Asks one thing of the service at a url, through one of the two clients."""

    def __call__(self, url: str, method: str, *args: Any, **fields: Any) -> Any: ...


def ask_sync(url: str, method: str, *args: Any, **fields: Any) -> Any:
    with Client(url, patience=QUICK) as client:
        return getattr(client, method)(*args, **fields)


def ask_async(url: str, method: str, *args: Any, **fields: Any) -> Any:
    async def asked() -> Any:
        async with AsyncClient(url, patience=QUICK) as client:
            return await getattr(client, method)(*args, **fields)

    return asyncio.run(asked())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def answering(*answers: Response) -> tuple[FastAPI, list[Request]]:
    """An application that gives these answers in turn, the last one for ever, and the requests that it got."""
    app, heard = FastAPI(), list[Request]()

    @app.api_route("/{path:path}", methods=["GET", "POST", "PATCH", "DELETE"])
    async def answer(request: Request) -> Response:
        await request.body()
        heard.append(request)
        return answers[min(len(heard), len(answers)) - 1]

    assert answer
    return app, heard


def problem(status: int, **fields: Any) -> Response:
    content = {"title": "No", "status": status, "detail": "It cannot be.", "code": "no"} | fields
    return json_response(content, status=status, media_type="application/problem+json")


def json_response(content: Any, status: int = 200, **kwargs: Any) -> Response:
    return Response(httpx.Response(200, json=content).content, status, **kwargs)


def view(job: JobView) -> Response:
    return Response(job.model_dump_json(), media_type="application/json")


def test_a_request_arrives_as_it_was_made(ask: Ask, serve: Serve, make_job: MakeJob) -> None:
    bodies: list[SubmitJob] = []
    app = FastAPI()

    @app.post("/v1/ingest", status_code=202)
    async def submit(body: SubmitJob) -> JobView:
        bodies.append(body)
        return make_job()

    job = ask(serve(app), "submit", repository="/srv/flask", steps=("filesystem",), options={"parallel": 4})

    assert submit
    assert job == make_job()
    assert bodies == [SubmitJob(repository="/srv/flask", steps=("filesystem",), options={"parallel": 4})]


def test_a_request_may_be_given_whole(ask: Ask, serve: Serve, make_job: MakeJob) -> None:
    app, heard = answering(view(make_job()))

    job = ask(serve(app), "submit", SubmitJob(repository="/srv/flask"))

    assert job.id == "job1"
    assert heard[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "args", "path"),
    [
        ("get", ["job1"], "/v1/ingest/job1"),
        ("cancel", ["job1"], "/v1/ingest/job1/cancel"),
        ("jobs", [7], "/v1/ingest?limit=7"),
        ("steps", [], "/v1/ingest/steps"),
        ("health", [], "/v1/ingest/health"),
        ("resource_status", [], "/v1/ingest/resource_status"),
    ],
)
def test_each_verb_asks_at_its_own_path(ask: Ask, serve: Serve, method: str, args: list[Any], path: str) -> None:
    app, heard = answering(problem(418))

    with pytest.raises(ProblemError):
        ask(serve(app), method, *args)

    assert str(heard[0].url).endswith(path)


def test_a_path_before_the_api_is_kept(ask: Ask, serve: Serve, make_job: MakeJob) -> None:
    app, heard = answering(view(make_job()))

    ask(f"{serve(app)}/stories/", "get", "job1")

    assert heard[0].url.path == "/stories/v1/ingest/job1"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Forgotten),
        (412, ChangedMeanwhile),
        (422, Invalid),
        (429, Throttled),
        (500, ProblemError),
        (503, Unavailable),
    ],
)
def test_a_problem_is_raised_as_what_it_is(ask: Ask, serve: Serve, status: int, error: type[ProblemError]) -> None:
    app, _ = answering(problem(status, errors=[{"loc": ["body", "steps"], "msg": "unknown"}]))

    with pytest.raises(error) as raised:
        ask(serve(app), "get", "job1")

    assert type(raised.value) is error
    assert (raised.value.status, raised.value.code, raised.value.detail) == (status, "no", "It cannot be.")
    assert str(raised.value) == "It cannot be. (body.steps: unknown)"


def test_a_gateways_page_becomes_a_problem_without_its_markup(ask: Ask, serve: Serve) -> None:
    app, _ = answering(Response("<html>Bad gateway</html>", 502))

    with pytest.raises(Unavailable, match=r"^127.0.0.1 answered 502 Bad Gateway\.$"):
        ask(serve(app), "get", "job1")


@pytest.mark.parametrize("answer", [Response("hello"), json_response({"ok": True}), Response(status_code=307)])
def test_another_servers_answer_is_told_apart(ask: Ask, serve: Serve, answer: Response) -> None:
    app, _ = answering(answer)

    with pytest.raises(UnexpectedAnswer):
        ask(serve(app), "get", "job1")


def test_a_busy_service_is_asked_again_when_it_says_when(ask: Ask, serve: Serve, make_job: MakeJob) -> None:
    busy = problem(503)
    busy.headers["Retry-After"] = "0"
    app, heard = answering(busy, busy, view(make_job()))

    job = ask(serve(app), "get", "job1")

    assert job.id == "job1"
    assert len(heard) == 3


def test_a_time_to_come_back_may_be_given_as_a_date(ask: Ask, serve: Serve, make_job: MakeJob) -> None:
    busy = problem(503)
    busy.headers["Retry-After"] = "Wed, 01 May 2024 12:00:00 GMT"
    app, heard = answering(busy, view(make_job()))

    ask(serve(app), "get", "job1")

    assert len(heard) == 2


def test_what_a_rate_limit_refused_was_not_begun_and_is_sent_again(ask: Ask, serve: Serve, make_job: MakeJob) -> None:
    limited = problem(429, code="rate_limited")
    limited.headers["Retry-After"] = "0"
    app, heard = answering(limited, view(make_job()))

    job = ask(serve(app), "submit", repository="/srv/flask")

    assert job.id == "job1"
    assert len(heard) == 2


def test_a_job_that_may_not_wait_is_refused_at_once(ask: Ask, serve: Serve) -> None:
    throttled = problem(429, code="throttled")
    throttled.headers["Retry-After"] = "0"
    app, heard = answering(throttled)

    with pytest.raises(Throttled) as refused:
        ask(serve(app), "submit", repository="/srv/flask", on_full="fail")

    assert refused.value.retry_after == 0
    assert len(heard) == 1


def test_a_service_that_is_not_well_says_all_the_same_how_it_is(ask: Ask, serve: Serve) -> None:
    report = {"status": "fail", "version": "1", "checks": {"graph": {"status": "fail", "detail": "away"}}}
    app, _ = answering(problem(503, code="unhealthy", health=report))

    health = ask(serve(app), "health")

    assert health.checks["graph"].detail == "away"


def test_a_service_that_cannot_say_how_it_is_is_unavailable(ask: Ask, serve: Serve) -> None:
    app, _ = answering(problem(503, health={"nonsense": 1}))

    with pytest.raises(Unavailable):
        ask(serve(app), "health")


def test_a_service_that_stays_busy_is_not_asked_for_ever(ask: Ask, serve: Serve) -> None:
    busy = problem(503)
    busy.headers["Retry-After"] = "0"
    app, heard = answering(busy)

    with pytest.raises(Unavailable):
        ask(serve(app), "get", "job1")

    assert len(heard) == 1 + QUICK.retries


@pytest.mark.parametrize("retry_after", [None, "3600", "soon", "Wed, 01 May 2999 12:00:00 GMT"])
def test_a_service_that_names_no_near_time_is_not_asked_again(ask: Ask, serve: Serve, retry_after: str | None) -> None:
    busy = problem(503)
    if retry_after:
        busy.headers["Retry-After"] = retry_after
    app, heard = answering(busy)

    with pytest.raises(Unavailable):
        ask(serve(app), "get", "job1")

    assert len(heard) == 1


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("cancel_all", {"all": True}),
        ("retry_all", {"status": "FAILED"}),
        ("delete_schedule", {"schedule_id": "s1"}),
    ],
)
def test_what_a_second_time_would_change_more_is_never_sent_twice(
    ask: Ask, serve: Serve, method: str, args: dict[str, Any]
) -> None:
    busy = problem(503)
    busy.headers["Retry-After"] = "0"
    app, heard = answering(busy)

    with pytest.raises(Unavailable):
        ask(serve(app), method, **args)

    assert len(heard) == 1


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("cancel", {}),
        ("stop", {}),
        ("resume", {}),
        ("retry", {"from_step": "filesystem"}),
        ("change", {"priority": "high"}),
    ],
)
def test_what_a_second_time_changes_nothing_more_is_sent_again(
    ask: Ask, serve: Serve, make_job: MakeJob, method: str, args: dict[str, Any]
) -> None:
    busy = problem(503)
    busy.headers["Retry-After"] = "0"
    app, heard = answering(busy, view(make_job()))

    job = ask(serve(app), method, job_id="job1", **args)

    assert job.id == "job1"
    assert len(heard) == 2
    assert heard[1].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("submit", {"repository": "/srv"}),
        ("create_schedule", {"job": {"repository": "/srv"}, "cron": "0 3 * * *"}),
    ],
)
def test_what_makes_something_is_sent_again_with_the_same_key(
    ask: Ask, serve: Serve, method: str, args: dict[str, Any]
) -> None:
    busy = problem(503)
    busy.headers["Retry-After"] = "0"
    app, heard = answering(busy, problem(418))

    for key in ({}, {}, {"idempotency_key": "mine"}):
        with pytest.raises(ProblemError):
            ask(serve(app), method, **args, **key)

    keys = [request.headers["idempotency-key"] for request in heard]
    assert len(keys) == 4
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == "mine"


def test_nobody_there_is_said_with_the_address(ask: Ask, nobody: str) -> None:
    with pytest.raises(ServiceUnreachable) as raised:
        ask(nobody, "get", "job1")

    assert nobody in str(raised.value)
    assert "may have taken" not in str(raised.value)


def test_a_request_that_may_have_arrived_is_said_to_be_so(serve: Serve) -> None:
    app = FastAPI()

    @app.post("/v1/ingest")
    async def never() -> None:
        await asyncio.sleep(5)

    with Client(serve(app), timeout=0.1) as client, pytest.raises(ServiceUnreachable, match="may have taken"):
        client.submit(repository="/srv")

    assert never


@pytest.mark.parametrize(
    "job_id",
    ["", "../health", "a b", "steps", "health", "resource_status", "resource_limits", "schedules", "a/cancel", "x\n"],
)
def test_what_cannot_be_a_jobs_id_is_not_asked_for(ask: Ask, nobody: str, job_id: str) -> None:
    with pytest.raises(NotFound):
        ask(nobody, "get", job_id)


@pytest.mark.parametrize(
    "fields",
    [
        {"repository": ""},
        {"repository": "/srv", "steps": ["No Step"]},
        {"repository": "/srv", "colour": "red"},
        {"repository": "/srv/\udcff"},
        {"repository": "/srv", "priority": "urgent"},
    ],
)
def test_a_request_that_would_be_refused_is_refused_before_it_is_sent(
    ask: Ask, nobody: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as raised:
        ask(nobody, "submit", **fields)

    assert raised.value.status == 422
    assert raised.value.errors


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://host:port", "/v1/ingest"])
def test_an_address_that_is_none_is_refused(client: type[Client | AsyncClient], url: str) -> None:
    with pytest.raises(BadAddress):
        client(url)


def test_loopback_needs_no_proxy(
    ask: Ask, serve: Serve, make_job: MakeJob, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, nobody)
    monkeypatch.setenv("NO_PROXY", "")
    app, _ = answering(view(make_job(state="COMPLETED")))

    job = ask(serve(app), "wait", "job1")

    assert job.id == "job1"


async def test_an_application_in_this_process_can_be_spoken_to(make_job: MakeJob) -> None:
    app, _ = answering(view(make_job()), view(make_job(state="COMPLETED")))

    async with AsyncClient("http://app", transport=httpx.ASGITransport(app), patience=QUICK) as client:
        job = await client.wait("job1")

    assert job.state == "COMPLETED"


async def test_the_synchronous_client_works_inside_a_running_loop(serve: Serve, make_job: MakeJob) -> None:
    app, _ = answering(view(make_job()))

    with Client(serve(app)) as client:
        job = client.get("job1")

    assert job.id == "job1"


def test_a_password_in_the_address_is_not_shown(nobody: str) -> None:
    client = Client(nobody.replace("http://", "http://me:secret@"))

    with client, pytest.raises(CodeStoryError) as raised:
        client.cancel("job1")

    assert "secret" not in str(raised.value)
    assert "secret" not in client.url
