"""ETags and conditions, keys of requests that may come twice, pages, and requests for many jobs."""

from typing import Any

import pytest

from codestory.contracts.listing import BulkRequest, BulkRetry, JobFilter, ListJobs, Sort
from codestory.contracts.values import JobState
from codestory_orchestrator.testing_api import ASK, JOB, REVISION, ScriptedIngestion, call, problem

VERBS: list[tuple[str, str, dict[str, str] | None]] = [
    ("POST", f"/v1/ingest/{JOB}/cancel", None),
    ("POST", f"/v1/ingest/{JOB}/stop", None),
    ("POST", f"/v1/ingest/{JOB}/resume", None),
    ("POST", f"/v1/ingest/{JOB}/retry", {}),
    ("PATCH", f"/v1/ingest/{JOB}", {"priority": "high"}),
]


async def test_an_answer_that_the_client_has_is_not_sent_again() -> None:
    shown = await call("GET", f"/v1/ingest/{JOB}")
    etag = shown.headers["etag"]

    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = await call("GET", f"/v1/ingest/{JOB}", headers={"If-None-Match": known})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
    for known in (etag.replace("-", "-0"), '"x"', "nonsense", ""):
        response = await call("GET", f"/v1/ingest/{JOB}", headers={"If-None-Match": known})
        assert response.json() == shown.json()


@pytest.mark.parametrize(("method", "path", "body"), VERBS)
@pytest.mark.parametrize(
    ("if_match", "revisions"),
    [
        (None, None),
        ("*", None),
        (f'"{REVISION}-ab"', {REVISION}),
        (f'"1-ab" , "{REVISION}-cd"', {1, REVISION}),
        (f'"x", W/"8-ab", "{REVISION}-0"', {REVISION}),
    ],
)
async def test_a_job_that_is_as_it_was_is_changed(
    method: str, path: str, body: Any, if_match: str | None, revisions: set[int] | None
) -> None:
    ingestion = ScriptedIngestion()

    response = await call(method, path, ingestion, json=body, headers={"If-Match": if_match} if if_match else {})

    assert response.is_success
    assert response.headers["etag"].startswith(f'"{REVISION}-')
    assert ingestion.revisions == [revisions]


@pytest.mark.parametrize(("method", "path", "body"), VERBS)
@pytest.mark.parametrize("if_match", ['"6-ab"', f'W/"{REVISION}-ab"', '"x"', '"1-a", "2-b"'])
async def test_a_job_that_has_changed_is_left_and_its_etag_told(
    method: str, path: str, body: Any, if_match: str
) -> None:
    response = await call(method, path, json=body, headers={"If-Match": if_match})

    assert (response.status_code, problem(response).code) == (412, "changed_meanwhile")
    assert response.headers["etag"] == (await call("GET", f"/v1/ingest/{JOB}")).headers["etag"]


@pytest.mark.parametrize("if_match", ["", "7", '"7-ab', '"a" "b"', "x" * 1000, ",", '"\x7f"'])
async def test_a_condition_that_is_none_is_refused(if_match: str) -> None:
    ingestion = ScriptedIngestion()

    response = await call("POST", f"/v1/ingest/{JOB}/cancel", ingestion, headers={"If-Match": if_match})

    assert (response.status_code, problem(response).code) == (400, "condition_malformed")
    assert not ingestion.revisions


async def test_a_key_goes_with_its_request() -> None:
    ingestion = ScriptedIngestion()

    for key in ("a key, of 1 to 255 ~ characters", "x" * 255):
        assert (
            await call("POST", "/v1/ingest", ingestion, json=ASK, headers={"Idempotency-Key": key})
        ).status_code == 202
    await call("POST", "/v1/ingest", ingestion, json=ASK)

    assert ingestion.keys == ["a key, of 1 to 255 ~ characters", "x" * 255, ""]


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"\xe9", b"a\x7fb", b"a\tb"])
async def test_what_is_no_key_is_refused(key: bytes) -> None:
    ingestion = ScriptedIngestion()

    response = await call("POST", "/v1/ingest", ingestion, json=ASK, headers={"Idempotency-Key": key})

    assert response.status_code == 422
    assert problem(response).errors[0]["loc"] == ["header", "idempotency-key"]
    assert not ingestion.asked


async def test_a_list_is_asked_for_by_filters_and_leads_to_its_next_page() -> None:
    ingestion = ScriptedIngestion()
    query = "status=FAILED&status=STOPPED&repository=a%26b&sort=-ended&limit=1"

    response = await call("GET", f"/v1/ingest?{query}", ingestion)

    states = (JobState.FAILED, JobState.STOPPED)
    wished = ListJobs(status=states, repository="a&b", sort=Sort.LAST_ENDED, limit=1)
    assert ingestion.listed == [(wished, None)]
    assert response.json()["next"] == "next"
    following = response.links["next"]["url"]
    await call("GET", following, ingestion)
    assert ingestion.listed[1] == (wished.model_copy(update={"cursor": "next"}), None)


async def test_the_last_page_leads_nowhere() -> None:
    response = await call("GET", "/v1/ingest")

    assert response.json()["next"] is None
    assert "link" not in response.headers


@pytest.mark.parametrize(
    "query",
    [
        "status=running",
        "priority=urgent",
        "since=2026-01-01T00:00:00",
        "sort=name",
        "state=FAILED",
        "step=A",
        "cursor=",
    ],
)
async def test_a_filter_that_means_nothing_is_refused(query: str) -> None:
    ingestion = ScriptedIngestion()

    response = await call("GET", f"/v1/ingest?{query}", ingestion)

    assert response.status_code == 422
    assert problem(response).errors[0]["loc"][1] == query.partition("=")[0]
    assert not ingestion.listed


async def test_the_same_is_asked_of_many_jobs() -> None:
    ingestion = ScriptedIngestion()
    filters = {"status": ["FAILED"], "repository": "shop"}

    for verb in ("cancel", "stop"):
        body = {"filter": filters, "limit": 7, "dry_run": True}
        assert (await call("POST", f"/v1/ingest/{verb}", ingestion, json=body)).status_code == 202
    response = await call("POST", "/v1/ingest/retry", ingestion, json={"all": True, "from_step": "scan"})

    meant = JobFilter(status=(JobState.FAILED,), repository="shop")
    one = BulkRequest(filter=meant, limit=7, dry_run=True)
    assert ingestion.said == [one, one, BulkRetry(all=True, from_step="scan")]
    assert ingestion.owners == [None] * 3
    assert response.json() == {"matched": 1, "done": [JOB], "refused": [], "more": False}


@pytest.mark.parametrize(
    "body",
    [{}, {"filter": {}}, {"all": False}, {"all": True, "limit": 1001}, {"all": True, "limit": 0}, {"filter": {"x": 1}}],
)
@pytest.mark.parametrize("verb", ["cancel", "stop", "retry"])
async def test_what_could_mean_every_job_is_refused(verb: str, body: dict[str, Any]) -> None:
    ingestion = ScriptedIngestion()

    response = await call("POST", f"/v1/ingest/{verb}", ingestion, json=body)

    assert response.status_code == 422
    assert problem(response).errors
    assert not ingestion.said
