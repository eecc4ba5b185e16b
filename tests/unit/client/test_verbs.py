"""Both clients: each verb asks what it says, and gives what is answered."""

import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from codestory import telemetry
from codestory.client import (
    AsyncClient,
    Client,
    Invalid,
    NotFound,
    Patience,
    ServiceUnreachable,
    StillRunning,
    Throttled,
    UnexpectedAnswer,
)
from codestory.contracts.api import JobView, RetryJob, SubmitJob
from codestory.contracts.schedules import CreateSchedule, Schedule

MakeJob = Callable[..., JobView]

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOLDER = {"job": "job1", "step": "filesystem", "attempt": 1, "since": AT.isoformat()}
HOLDERS = {"available_tokens": 3, "max_tokens": 4, "holders": [HOLDER], "tags": []}
TAGS = [{"tag": "gpu", "limit": 1, "held": 0}]
STEP = {"name": "filesystem", "state": "RUNNING", "attempt": 1, "retries": 0, "max_retries": 3}
STATUS = {"name": "filesystem", "version": "1", "concurrency": 2}
WHY = {"job": "job1", "state": "PENDING", "text": "it waits", "waits": [{"cause": "token", "text": "for a token"}]}
SCHEDULE = {"id": "s1", "job": {"repository": "/srv"}, "cron": "0 3 * * *", "created_at": AT.isoformat()}
QUICK = Patience(back_off=0.01, max_back_off=0.02)


class Service:
    """Answers every request with one answer, and remembers what it was asked."""

    def __init__(
        self, content: Any = None, status: int = 200, headers: Mapping[str, str] | None = None, packed: bytes = b""
    ) -> None:
        self.asked: list[httpx.Request] = []
        self._packed = packed
        self._content = content
        self._status = status
        self._headers = dict(headers or {})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self._packed:
            return httpx.Response(200, content=self._packed, headers={"Content-Type": "application/zip"})
        if self._content is None:
            return httpx.Response(self._status, headers=self._headers)
        return httpx.Response(self._status, json=self._content, headers=self._headers)

    @property
    def last(self) -> tuple[str, str, Any]:
        request = self.asked[-1]
        return request.method, request.url.path, json.loads(request.content) if request.content else None


Ask = Callable[..., Coroutine[Any, Any, Any]]


async def ask_async(service: Service, method: str, *args: Any, **fields: Any) -> Any:
    async with AsyncClient("http://app", transport=httpx.MockTransport(service), patience=QUICK) as client:
        return await getattr(client, method)(*args, **fields)


async def ask_sync(service: Service, method: str, *args: Any, **fields: Any) -> Any:
    with Client("http://app", transport=httpx.MockTransport(service), patience=QUICK) as client:
        return getattr(client, method)(*args, **fields)


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param


@pytest.mark.parametrize(
    ("method", "fields", "asked", "body"),
    [
        ("cancel", {}, "POST /v1/ingest/job1/cancel", None),
        ("stop", {}, "POST /v1/ingest/job1/stop", None),
        ("resume", {}, "POST /v1/ingest/job1/resume", None),
        ("retry", {}, "POST /v1/ingest/job1/retry", "{}"),
        ("retry", {"from_step": "docs"}, "POST /v1/ingest/job1/retry", '{"from_step":"docs"}'),
        ("retry", {"request": RetryJob(options={"a": 1})}, "POST /v1/ingest/job1/retry", '{"options":{"a":1}}'),
        ("change", {"priority": "high"}, "PATCH /v1/ingest/job1", '{"priority":"high"}'),
    ],
)
async def test_a_verb_of_a_job_is_asked_for_and_gives_the_job(
    ask: Ask, make_job: MakeJob, *, method: str, fields: dict[str, Any], asked: str, body: str | None
) -> None:
    service = Service(make_job().model_dump(mode="json"), 202)

    job = await ask(service, method, "job1", **fields)

    assert job == make_job()
    assert service.last == (*asked.split(), json.loads(body) if body else None)


async def test_why_says_it_in_words_and_as_data(ask: Ask) -> None:
    service = Service(WHY)

    why = await ask(service, "why", "job1")

    assert (why.text, why.waits[0].cause) == ("it waits", "token")
    assert service.last == ("GET", "/v1/ingest/job1/why", None)


async def test_one_step_of_a_job_is_asked_for(ask: Ask) -> None:
    service = Service(STEP)

    step = await ask(service, "step", "job1", "filesystem")

    assert step.attempt == 1
    assert service.last == ("GET", "/v1/ingest/job1/steps/filesystem", None)


async def test_who_holds_the_tokens_is_asked_for(ask: Ask) -> None:
    service = Service(HOLDERS)

    holders = await ask(service, "holders")

    assert (holders.available_tokens, holders.holders[0].since) == (3, AT)
    assert service.last == ("GET", "/v1/ingest/resource_status/holders", None)


async def test_the_number_of_tokens_is_set(ask: Ask) -> None:
    service = Service({"available_tokens": 7, "max_tokens": 8})

    status = await ask(service, "set_max_tokens", 8)

    assert status.max_tokens == 8
    assert service.last == ("PATCH", "/v1/ingest/resource_status", {"max_tokens": 8})


async def test_the_limits_of_tags_are_asked_for_and_set(ask: Ask) -> None:
    service = Service(TAGS)

    asked = await ask(service, "resource_limits")
    set_now = await ask(service, "set_resource_limits", {"gpu": 1, "disk": None})

    assert asked == set_now
    assert [(tag.tag, tag.limit) for tag in asked] == [("gpu", 1)]
    assert service.last == ("PATCH", "/v1/ingest/resource_limits", {"limits": {"gpu": 1, "disk": None}})


async def test_the_concurrency_of_a_step_is_set(ask: Ask) -> None:
    service = Service(STATUS)

    step = await ask(service, "set_concurrency", "filesystem", 2)

    assert step.concurrency == 2
    assert service.last == ("PATCH", "/v1/ingest/steps/filesystem", {"concurrency": 2})


async def test_a_schedule_is_made_from_fields_or_whole(ask: Ask) -> None:
    service, whole = Service(SCHEDULE, 201), CreateSchedule(job=SubmitJob(repository="/srv"), cron="0 3 * * *")
    body = {"job": {"repository": "/srv"}, "cron": "0 3 * * *"}

    made = await ask(service, "create_schedule", job={"repository": "/srv"}, cron="0 3 * * *")
    from_fields = service.last
    await ask(service, "create_schedule", whole)

    assert made == Schedule.model_validate(SCHEDULE)
    assert from_fields == service.last == ("POST", "/v1/ingest/schedules", body)


async def test_schedules_are_listed_shown_changed_and_deleted(ask: Ask) -> None:
    shown, listed, gone = Service(SCHEDULE), Service({"schedules": [SCHEDULE]}), Service(status=204)

    assert [schedule.id for schedule in await ask(listed, "schedules")] == ["s1"]
    assert (await ask(shown, "schedule", "s1")).cron == "0 3 * * *"
    assert shown.last == ("GET", "/v1/ingest/schedules/s1", None)
    assert (await ask(shown, "change_schedule", "s1", paused=False)).id == "s1"
    assert shown.last == ("PATCH", "/v1/ingest/schedules/s1", {"paused": False})
    assert await ask(gone, "delete_schedule", "s1") is None
    assert gone.last == ("DELETE", "/v1/ingest/schedules/s1", None)


async def test_a_job_is_submitted_with_all_that_it_may_wish(ask: Ask, make_job: MakeJob) -> None:
    service = Service(make_job().model_dump(mode="json"), 202)
    eta = AT.astimezone(timezone(timedelta(hours=2)))

    await ask(
        service,
        "submit",
        repository="/srv",
        mode="update",
        eta=eta,
        after=["job0"],
        when="always",
        dependencies={"docs": []},
        resources=["gpu"],
    )

    assert service.last[2] == {
        "repository": "/srv",
        "mode": "update",
        "eta": "2024-05-01T14:00:00+02:00",
        "after": ["job0"],
        "when": "always",
        "dependencies": {"docs": []},
        "resources": ["gpu"],
    }


async def test_no_room_is_throttled_and_says_when_to_come_back(ask: Ask) -> None:
    content = {"title": "Too Many Requests", "status": 429, "code": "throttled", "detail": "All 4 tokens are held."}
    service = Service(content, 429, {"Retry-After": "7"})

    with pytest.raises(Throttled) as raised:
        await ask(service, "submit", repository="/srv", on_full="fail")

    assert (raised.value.code, raised.value.retry_after) == ("throttled", 7)
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("method", "args", "fields", "error"),
    [
        ("submit", [], {"repository": "/srv", "eta": AT, "countdown": 1}, Invalid),
        ("submit", [], {"repository": "/srv", "eta": datetime(2024, 5, 1, 12)}, Invalid),  # noqa: DTZ001 - no zone: refused
        ("submit", [], {"repository": "/srv", "countdown": -1}, Invalid),
        ("change", ["job1"], {"priority": "urgent"}, Invalid),
        ("retry", ["job1"], {"from": "docs"}, Invalid),
        ("set_max_tokens", [0], {}, Invalid),
        ("set_concurrency", ["docs", 0], {}, Invalid),
        ("set_resource_limits", [{"No Tag": 1}], {}, Invalid),
        ("create_schedule", [], {"job": {"repository": "/srv"}}, Invalid),
        ("change_schedule", ["s1"], {"colour": "red"}, Invalid),
        ("stop", ["../health"], {}, NotFound),
        ("why", ["schedules"], {}, NotFound),
        ("step", ["job1", "../x"], {}, NotFound),
        ("set_concurrency", ["No Step", 1], {}, NotFound),
        ("schedule", ["a/b"], {}, NotFound),
        ("delete_schedule", [""], {}, NotFound),
    ],
)
async def test_what_would_be_refused_is_not_sent(
    ask: Ask, method: str, args: list[Any], fields: dict[str, Any], error: type[Exception]
) -> None:
    service = Service({})

    with pytest.raises(error):
        await ask(service, method, *args, **fields)

    assert service.asked == []


async def test_an_answer_that_is_lost_is_asked_for_again(ask: Ask, make_job: MakeJob) -> None:
    answers = iter([httpx.ReadError("lost"), None])

    class Lossy(Service):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            answer = super().__call__(request)
            if error := next(answers):
                raise error
            return answer

    service = Lossy(make_job(state="STOPPING").model_dump(mode="json"), 202)

    job = await ask(service, "stop", "job1")

    assert job.state == "STOPPING"
    assert len(service.asked) == 2


async def test_a_verb_whose_answers_are_all_lost_may_be_sent_again_says_the_error(ask: Ask) -> None:
    def lost(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("lost")

    with pytest.raises(ServiceUnreachable, match="to send it again changes nothing more"):
        await ask(lost, "cancel", "job1")


async def test_jobs_are_listed_by_filters(ask: Ask, make_job: MakeJob) -> None:
    service = Service({"jobs": [make_job().model_dump(mode="json")], "next": "more"})

    page = await ask(
        service,
        "job_page",
        7,
        status=["FAILED", "STOPPED"],
        repository="shop",
        since=AT,
        sort="created",
        cursor="here",
    )

    assert (page.jobs, page.next) == ((make_job(),), "more")
    assert service.asked[-1].url.params.multi_items() == [
        ("limit", "7"),
        ("status", "FAILED"),
        ("status", "STOPPED"),
        ("repository", "shop"),
        ("since", "2024-05-01T12:00:00Z"),
        ("sort", "created"),
        ("cursor", "here"),
    ]


async def test_a_filter_that_there_is_not_is_refused_here(ask: Ask) -> None:
    service = Service()

    for method in ("jobs", "cancel_all"):
        with pytest.raises(Invalid, match="priority"):
            await ask(service, method, priority="urgent")
    assert service.asked == []


async def test_the_trace_of_a_job_is_asked_for(ask: Ask) -> None:
    span = {"trace_id": "a" * 32, "span_id": "b" * 16, "name": "submit job", "started_at": AT.isoformat()}
    service = Service({"job": "job1", "spans": [span]})

    trace = await ask(service, "trace", "job1")

    assert (trace.job, trace.spans[0].name, trace.spans[0].started_at) == ("job1", "submit job", AT)
    assert service.last == ("GET", "/v1/ingest/job1/trace", None)


async def test_a_submission_from_without_a_span_leaves_it_to_the_service_to_begin_a_trace(
    ask: Ask, make_job: MakeJob
) -> None:
    service = Service(make_job().model_dump(mode="json"), 202)

    await ask(service, "submit", repository="/srv")

    assert "traceparent" not in service.asked[0].headers


async def test_the_bundle_of_a_job_is_the_file_that_is_answered(ask: Ask) -> None:
    file = Service(packed=b"PK and more")

    content = await ask(file, "bundle", "job1")

    assert content == b"PK and more"
    assert file.last == ("GET", "/v1/ingest/job1/bundle", None)
    assert file.asked[0].headers["accept"] == "application/zip"


async def test_what_is_no_file_is_not_taken_for_a_bundle(ask: Ask) -> None:
    with pytest.raises(UnexpectedAnswer):
        await ask(Service({"job": "job1"}), "bundle", "job1")


async def test_a_submission_from_within_a_span_is_part_of_its_trace(ask: Ask, make_job: MakeJob) -> None:
    service = Service(make_job().model_dump(mode="json"), 202)
    own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    with telemetry.within({"traceparent": own, "tracestate": "vendor=1"}):
        await ask(service, "submit", repository="/srv")

    headers = service.asked[0].headers
    assert (headers["traceparent"], headers["tracestate"]) == (own, "vendor=1")


@pytest.mark.parametrize("verb", ["cancel", "stop", "retry"])
async def test_the_same_is_asked_of_many_jobs(ask: Ask, verb: str) -> None:
    refused = {"id": "job2", "code": "job_conflict", "detail": "It has ended."}
    service = Service({"matched": 3, "done": ["job1"], "refused": [refused], "more": True}, 202)
    more: dict[str, Any] = {"again": {"from_step": "start"}} if verb == "retry" else {}

    result = await ask(service, f"{verb}_all", status="FAILED", limit=2, dry_run=True, **more)

    assert (result.matched, result.done, result.refused[0].code, result.more) == (3, ("job1",), "job_conflict", True)
    body = {"filter": {"status": ["FAILED"]}, "limit": 2, "dry_run": True, **more.get("again", {})}
    assert service.last == ("POST", f"/v1/ingest/{verb}", body)


async def test_every_job_is_asked_for_only_when_that_is_said(ask: Ask) -> None:
    service = Service({"matched": 0}, 202)

    with pytest.raises(Invalid, match="means every job"):
        await ask(service, "cancel_all")
    await ask(service, "cancel_all", all=True)

    assert service.last == ("POST", "/v1/ingest/cancel", {"all": True})


async def test_all_pages_are_gone_through(make_job: MakeJob) -> None:
    pages = {None: (["a", "b"], "2"), "2": (["c"], "3"), "3": (["d"], None)}

    def answer(request: httpx.Request) -> httpx.Response:
        names, then = pages[request.url.params.get("cursor")]
        return httpx.Response(
            200, json={"jobs": [make_job(id=name).model_dump(mode="json") for name in names], "next": then}
        )

    with Client("http://app", transport=httpx.MockTransport(answer)) as client:
        synchronously = [job.id for job in client.iter_jobs(page=2)]
    async with AsyncClient("http://app", transport=httpx.MockTransport(answer)) as client:
        asynchronously = [job.id async for job in client.iter_jobs(page=2)]

    assert synchronously == asynchronously == ["a", "b", "c", "d"]


REPOSITORY = {"id": "f" * 32, "name": "h.org/shop", "in_graph": True, "nodes": {"File": 1}}
GOING = REPOSITORY | {"deleting": True, "deletion": {"since": AT.isoformat()}}


class InTurn(Service):
    """Answers each request with the next of its answers."""

    def __init__(self, *answers: httpx.Response) -> None:
        super().__init__()
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._answers.pop(0)


async def test_repositories_are_asked_for_page_by_page(ask: Ask) -> None:
    pages = [{"repositories": [REPOSITORY], "next": "c1"}, {"repositories": [REPOSITORY]}]
    service = InTurn(*(httpx.Response(200, json=page) for page in pages))

    found = await ask(service, "repositories", "h.org/")

    assert [each.name for each in found] == ["h.org/shop"] * 2
    assert [dict(request.url.params) for request in service.asked] == [
        {"limit": "200", "name": "h.org/"},
        {"limit": "200", "name": "h.org/", "cursor": "c1"},
    ]


async def test_a_repository_is_asked_for_by_a_name_that_stays_one_place(ask: Ask) -> None:
    service = Service(REPOSITORY)

    found = await ask(service, "repository", "h.org/shop & co")

    assert found.nodes == {"File": 1}
    assert service.asked[-1].url.raw_path == b"/v1/repositories/h.org%2Fshop%20%26%20co"


async def test_a_deletion_is_waited_for_until_it_is_gone_or_another_has_begun(ask: Ask) -> None:
    gone = httpx.Response(404, json={"title": "Not Found", "status": 404})
    other = httpx.Response(200, json=GOING | {"deletion": {"since": (AT + timedelta(days=1)).isoformat()}})
    for last in (gone, other, httpx.Response(200, json=REPOSITORY)):
        service = InTurn(httpx.Response(202, json=GOING), httpx.Response(200, json=GOING), last)

        assert (await ask(service, "delete_repository", "shop")).deleting
        assert [request.method for request in service.asked] == ["DELETE", "GET", "GET"]

    service = InTurn(httpx.Response(202, json=GOING))
    await ask(service, "delete_repository", "shop", wait=False)


async def test_a_deletion_that_takes_too_long_goes_on_without_us(ask: Ask) -> None:
    with pytest.raises(StillRunning, match="still being deleted"):
        await ask(Service(GOING, 202), "delete_repository", "shop", timeout=0.0)


async def test_a_plan_is_asked_for_as_a_job_is(ask: Ask) -> None:
    repository = {"id": "1", "name": "shop", "path": "/srv/shop"}
    service = Service({"repository": repository, "steps": [{"name": "scan"}], "files": 3})

    planned = await ask(service, "plan", repository="/srv/shop", steps=["scan"])

    assert (planned.files, planned.steps[0].name) == (3, "scan")
    assert service.last == ("POST", "/v1/ingest/plan", {"repository": "/srv/shop", "steps": ["scan"]})
