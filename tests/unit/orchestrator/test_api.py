"""The API's routes over HTTP, and what it answers when something is wrong."""

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from codestory.contracts.api import (
    ChangeResourceLimits,
    ChangeResources,
    ChangeStep,
    Check,
    Health,
    JobView,
    StepStatus,
    SubmitJob,
)
from codestory.contracts.values import JobState, Priority
from codestory.repository_identity import RepositoryError
from codestory_orchestrator import errors
from codestory_orchestrator.api import ApiSettings, create_app
from codestory_orchestrator.testing_api import APP, JOB, ScriptedIngestion, call, client, problem

ASK = {"repository": "/srv/shop"}


async def test_a_submitted_job_is_accepted_and_says_where_to_follow_it() -> None:
    ingestion = ScriptedIngestion()

    response = await call("POST", "/v1/ingest", ingestion, json=ASK | {"steps": ["scan"], "priority": "high"})

    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/ingest/{JOB}"
    assert JobView.model_validate_json(response.content).id == JOB
    assert ingestion.asked == [SubmitJob(repository="/srv/shop", steps=("scan",), priority=Priority.HIGH)]


async def test_jobs_are_listed_as_many_as_asked_for() -> None:
    ingestion = ScriptedIngestion()

    first = await call("GET", "/v1/ingest", ingestion)
    await call("GET", "/v1/ingest?limit=200", ingestion)

    assert [job["id"] for job in first.json()["jobs"]] == [JOB]
    assert [(query.limit, owner) for query, owner in ingestion.listed] == [(50, None), (200, None)]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1.5", ""])
async def test_a_limit_out_of_range_is_refused(limit: str) -> None:
    response = await call("GET", f"/v1/ingest?limit={limit}")

    assert response.status_code == 422
    assert problem(response).errors[0]["loc"] == ["query", "limit"]


@pytest.mark.parametrize("job_id", ["none", "%00", "..%2f..", "x" * 65, "a.b", "%F0%9F%92%A9"])
async def test_a_job_that_does_not_exist_is_not_found_whatever_its_id(job_id: str) -> None:
    for response in (
        await call("GET", f"/v1/ingest/{job_id}"),
        await call("POST", f"/v1/ingest/{job_id}/cancel"),
    ):
        assert response.status_code == 404
        problem(response)


@pytest.mark.parametrize(("state", "status"), [(JobState.CANCELLING, 202), (JobState.CANCELLED, 200)])
async def test_cancel_says_whether_it_is_done_already(state: JobState, status: int) -> None:
    ingestion = ScriptedIngestion()
    ingestion.state = state

    response = await call("POST", f"/v1/ingest/{JOB}/cancel", ingestion)

    assert response.status_code == status
    assert response.json()["state"] == state


async def test_what_is_no_job_is_not_taken_for_one() -> None:
    tokens = await call("GET", "/v1/ingest/resource_status")
    steps = await call("GET", "/v1/ingest/steps")
    health = await call("GET", "/v1/ingest/health")

    assert tokens.json() == {"available_tokens": 3, "max_tokens": 4}
    assert [step["name"] for step in steps.json()["steps"]] == ["scan"]
    assert Health.model_validate_json(health.content).status == "pass"


async def test_a_failed_check_makes_health_a_problem_that_names_it_and_holds_the_report() -> None:
    ingestion = ScriptedIngestion()
    ingestion.checks = {"nats": Check(status="fail", detail="not connected"), "graph": Check(status="pass")}

    response = await call("GET", "/v1/ingest/health", ingestion)

    assert response.status_code == 503
    assert problem(response).detail == "nats: not connected"
    assert Health.model_validate(response.json()["health"]).checks == ingestion.checks


async def test_a_process_without_its_bus_lives_and_is_not_ready() -> None:
    ingestion = ScriptedIngestion()
    ingestion.is_ready = False

    live, ready = await call("GET", "/livez", ingestion), await call("GET", "/readyz", ingestion)

    assert (live.status_code, ready.status_code) == (200, 503)
    assert "retry-after" in ready.headers
    problem(ready)


async def test_metrics_are_those_of_the_process() -> None:
    response = await call("GET", "/metrics")

    assert response.headers["content-type"].startswith("text/plain")
    assert "ingest_resource_tokens" in response.text


@pytest.mark.parametrize(
    "error",
    [
        errors.JobConflict(JOB, "COMPLETED"),
        errors.NameTaken("shop", "https://h.org/shop"),
        errors.OutsideRoots(),
        errors.RepositoryRefused("The repository is empty."),
        errors.UnknownStep("The pipeline has no", ["x"], ["scan"]),
        errors.UnknownOption("scan", "x\x1b[31m", []),
        errors.InvalidOption("scan", "depth", "no number"),
        errors.PipelineInvalid("The pipeline goes in a circle."),
        errors.Throttled("all 4 tokens are held"),
        errors.ConfigInvalid("pipeline_config.yml:7: unknown key 'x'"),
        errors.ServiceUnavailable(),
    ],
)
async def test_each_refusal_is_a_problem_with_its_own_status_and_code(error: errors.IngestionError) -> None:
    response = await call("POST", "/v1/ingest", ScriptedIngestion(error), json=ASK)

    stated = problem(response)
    assert (stated.status, stated.code) == (error.status, error.code)
    assert stated.detail == str(error)
    assert stated.detail.isprintable()
    assert response.headers.get("retry-after") == (str(error.retry_after) if error.retry_after else None)


async def test_a_directory_that_cannot_be_ingested_is_refused() -> None:
    error = RepositoryError("/srv/shop does not exist")

    response = await call("POST", "/v1/ingest", ScriptedIngestion(error), json=ASK)

    assert problem(response).code == "repository_refused"
    assert problem(response).detail == "The repository /srv/shop does not exist."


ROUTES = [
    ("POST", "/v1/ingest"),
    ("GET", "/v1/ingest"),
    ("GET", f"/v1/ingest/{JOB}"),
    ("PATCH", f"/v1/ingest/{JOB}"),
    ("POST", "/v1/ingest/cancel"),
    ("POST", "/v1/ingest/stop"),
    ("POST", "/v1/ingest/retry"),
    ("POST", f"/v1/ingest/{JOB}/cancel"),
    ("POST", f"/v1/ingest/{JOB}/stop"),
    ("POST", f"/v1/ingest/{JOB}/resume"),
    ("POST", f"/v1/ingest/{JOB}/retry"),
    ("GET", f"/v1/ingest/{JOB}/why"),
    ("GET", f"/v1/ingest/{JOB}/steps/scan"),
    ("GET", "/v1/ingest/resource_status"),
    ("PATCH", "/v1/ingest/resource_status"),
    ("GET", "/v1/ingest/resource_status/holders"),
    ("GET", "/v1/ingest/resource_limits"),
    ("PATCH", "/v1/ingest/resource_limits"),
    ("GET", "/v1/ingest/steps"),
    ("PATCH", "/v1/ingest/steps/scan"),
    ("POST", "/v1/ingest/plan"),
    ("GET", "/v1/ingest/scale/scan"),
    ("GET", "/v1/ingest/health"),
    ("GET", "/readyz"),
]


#: What the routes take that must be given something.
BODIES: dict[tuple[str, str], JsonValue] = {
    ("POST", "/v1/ingest"): {**ASK},
    ("POST", "/v1/ingest/cancel"): {"all": True},
    ("POST", "/v1/ingest/stop"): {"all": True},
    ("POST", "/v1/ingest/retry"): {"all": True},
    ("POST", "/v1/ingest/plan"): {**ASK},
    ("PATCH", f"/v1/ingest/{JOB}"): {"priority": "high"},
    ("PATCH", "/v1/ingest/resource_status"): {"max_tokens": 8},
    ("PATCH", "/v1/ingest/resource_limits"): {"limits": {"gpu": 2, "tpu": None}},
    ("PATCH", "/v1/ingest/steps/scan"): {"concurrency": 3},
}


async def test_limits_are_changed_and_shown() -> None:
    ingestion = ScriptedIngestion()

    answers = [await call(*route, ingestion, json=body) for route, body in BODIES.items() if route[0] == "PATCH"][1:]

    assert [answer.json() for answer in answers] == [
        {"available_tokens": 5, "max_tokens": 8},
        [{"tag": "gpu", "limit": 2, "held": 1}],
        StepStatus(name="scan", version="1", concurrency=3).model_dump(mode="json"),
    ]
    assert ingestion.said[1:] == [
        ChangeResources(max_tokens=8),
        ChangeResourceLimits(limits={"gpu": 2, "tpu": None}),
        ChangeStep(concurrency=3),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("resource_status", {"max_tokens": 0}),
        ("resource_status", {"max_tokens": 100_001}),
        ("resource_status", {"max_tokens": 4, "tokens": 4}),
        ("resource_status", {}),
        ("resource_limits", {"limits": {"GPU": 1}}),
        ("resource_limits", {"limits": {"gpu": -1}}),
        ("resource_limits", {"gpu": 1}),
        ("steps/scan", {"concurrency": 0}),
        ("steps/scan", {"concurrency": 1001}),
    ],
)
async def test_a_limit_that_makes_no_sense_is_refused(path: str, body: JsonValue) -> None:
    ingestion = ScriptedIngestion()

    response = await call("PATCH", f"/v1/ingest/{path}", ingestion, json=body)

    assert problem(response).errors
    assert response.status_code == 422
    assert not ingestion.said


def test_the_routes_tested_for_their_errors_are_all_that_there_are() -> None:
    paths = APP.openapi()["paths"]
    stated = {(method.upper(), path) for path, operations in paths.items() for method in operations}

    tested = {(m, path.replace(JOB, "{job_id}").replace("/scan", "/{step}")) for m, path in ROUTES}

    assert stated - tested == {
        ("GET", "/livez"),
        ("GET", "/metrics"),
        ("POST", "/v1/ingest/tickets"),
    }  # They ask nobody.


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_error_of_any_route_shows_what_went_on_inside(method: str, path: str) -> None:
    body = {"json": BODIES[method, path]} if (method, path) in BODIES else {}

    lost = await call(method, path, ScriptedIngestion(errors.ServiceUnavailable()), **body)
    bug = await call(method, path, ScriptedIngestion(RuntimeError("password=hunter2")), **body)

    assert (problem(lost).status, lost.headers["retry-after"]) == (503, "2")
    assert (problem(bug).status, problem(bug).code) == (500, "internal_error")
    assert "hunter2" not in bug.text


@pytest.mark.parametrize("path", [path for _, path in ROUTES] + ["/livez", "/metrics"])
async def test_a_method_that_an_address_does_not_take_is_a_problem(path: str) -> None:
    response = await call("DELETE", path)

    assert problem(response).code == "method_not_allowed"
    assert response.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/ingest/", "/v1/ingest/a/b", "/docs", "/ws/status/x", "/%00%ff"])
async def test_an_address_where_nothing_is_is_a_problem(path: str) -> None:
    assert problem(await call("GET", path)).code == "not_found"


@pytest.mark.parametrize(
    ("body", "place", "told"),
    [
        ("", ["body"], "Field required"),
        ("{", ["body", 1], "JSON decode error"),
        ("[]", ["body"], "dictionary"),
        ("{}", ["body", "repository"], "Field required"),
        ('{"repository": ""}', ["body", "repository"], "at least 1 character"),
        ('{"repository": "/x", "repo": 1}', ["body", "repo"], "Extra inputs are not permitted"),
        ('{"repository": "/x", "steps": ["A b"]}', ["body", "steps", 0], "pattern"),
        ('{"repository": "/x", "steps": ["job"]}', ["body", "steps", 0], "word of the bus"),
        ('{"repository": "/x", "priority": "urgent"}', ["body", "priority"], "'high', 'default' or 'low'"),
        ('{"repository": "\\ud800"}', ["body", "repository"], "valid string"),
        ('{"repository": "/x", "options": {"a": "\\ud800"}}', ["body", "options"], "not valid Unicode"),
        ('{"repository": "/x", "options": {"\\ud800": 1}}', ["body", "options"], "not valid Unicode"),
        ('{"repository": "/x", "\\ud800": 1}', ["body"], "valid string"),
        ('{"repository": "/x", "options": {"a": NaN}}', ["body", "options"], "not finite"),
        ('{"repository": "/x", "options": {"a": 1' + "0" * 30 + "}}", ["body", "options"], "64 bits"),
        ('{"repository": "/x", "options": {"a": ' + "[" * 25 + "]" * 25 + "}}", ["body", "options"], "nested deeper"),
        ('{"repository": "/x", "pipeline": {"steps": []}}', ["body", "pipeline", "steps"], "at least 1 item"),
        (
            '{"repository": "/x", "pipeline": {"steps": [{"name": "a", "x": 1}]}}',
            ["body", "pipeline", "steps", 0, "x"],
            "",
        ),
    ],
)
async def test_a_body_that_is_no_request_is_told_where_it_is_wrong(
    body: str, place: list[str | int], told: str
) -> None:
    response = await call("POST", "/v1/ingest", content=body, headers={"content-type": "application/json"})

    assert response.status_code == 422
    error = problem(response).errors[0]
    assert error["loc"] == place
    assert told in error["msg"]


async def test_a_body_wrong_in_many_places_gets_a_short_answer_that_does_not_repeat_it() -> None:
    secret = "hunter2" * 1000
    body = json.dumps({"repository": "/x", "steps": [secret] * 90})

    response = await call("POST", "/v1/ingest", content=body, headers={"content-type": "application/json"})

    assert len(problem(response).errors) == 20
    assert "hunter2" not in response.text


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 50_000, '{"repository": ' + "9" * 10_000 + "}"])
async def test_a_body_made_to_exhaust_the_parser_is_refused(body: str) -> None:
    response = await call("POST", "/v1/ingest", content=body, headers={"content-type": "application/json"})

    assert problem(response).status in {400, 422}


async def test_a_body_too_large_is_refused_whether_it_states_its_length_or_not() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    stated = await call("POST", "/v1/ingest", content=b" " * 2_000_000, headers={"content-type": "application/json"})
    unstated = await call("POST", "/v1/ingest", content=chunks(), headers={"content-type": "application/json"})

    assert problem(stated).code == problem(unstated).code == "content_too_large"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_a_body_that_does_not_say_it_is_json_is_refused(media_type: str) -> None:
    ingestion = ScriptedIngestion()

    response = await call("POST", "/v1/ingest", ingestion, content="{}", headers={"content-type": media_type})

    assert problem(response).code == "unsupported_media_type"
    assert not ingestion.asked


@pytest.mark.parametrize("host", ["127.0.0.1:8420", "localhost", "LOCALHOST:1", "[::1]:8420", "[::1]"])
async def test_this_machines_own_names_are_answered(host: str) -> None:
    assert (await call("GET", "/livez", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8420", "localhost.evil.example", "[::2]", "", "::1", ":"]
)
async def test_a_foreign_name_for_this_machine_is_not_answered(host: str) -> None:
    response = await call("GET", "/v1/ingest", headers={"host": host})

    assert problem(response).code == "unknown_host"


async def test_any_name_is_answered_where_the_settings_say_so() -> None:
    async with client(create_app(ScriptedIngestion(), ApiSettings(allowed_hosts=("*",)))) as asking:
        response = await asking.get("/livez", headers={"host": "codestory.example"})

    assert response.status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://", "http://[", ""])
async def test_a_page_of_another_origin_can_start_and_cancel_nothing(origin: str) -> None:
    ingestion = ScriptedIngestion()

    submit = await call("POST", "/v1/ingest", ingestion, json=ASK, headers={"origin": origin})
    cancel = await call("POST", f"/v1/ingest/{JOB}/cancel", ingestion, headers={"origin": origin})

    assert problem(submit).code == problem(cancel).code == "foreign_origin"
    assert not ingestion.asked


async def test_no_other_origin_may_read_and_its_own_page_may_post() -> None:
    read = await call("GET", "/v1/ingest", headers={"origin": "https://evil.example"})
    own = await call("POST", "/v1/ingest", json=ASK, headers={"origin": "http://127.0.0.1:8420"})

    assert "access-control-allow-origin" not in read.headers
    assert own.status_code == 202


def test_the_document_states_every_error_as_a_problem() -> None:
    document = APP.openapi()

    operations = [operation for path in document["paths"].values() for operation in path.values()]
    failures = [r for o in operations for status, r in o["responses"].items() if status >= "4"]
    assert document["openapi"].startswith("3.1")
    assert all(list(failure["content"]) == ["application/problem+json"] for failure in failures)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert "HTTPValidationError" not in document["components"]["schemas"]


JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([*SubmitJob.model_fields, "nonsense"])


@settings(max_examples=150, deadline=None, database=None)
@given(st.dictionaries(FIELDS, JSON) | JSON)
async def test_no_body_makes_the_service_fail(body: JsonValue) -> None:
    ingestion = ScriptedIngestion()

    response = await call(
        "POST", "/v1/ingest", ingestion, content=json.dumps(body), headers={"content-type": "application/json"}
    )

    assert response.status_code in {202, 422}
    for request in ingestion.asked:
        assert SubmitJob.model_validate_json(request.model_dump_json()) == request
