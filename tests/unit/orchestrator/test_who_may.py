"""Who may do what: each operation that the OpenAPI document states, by whoever may ask."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from codestory.contracts.access import EVERYBODY, Role
from codestory_orchestrator.access.door import Door
from codestory_orchestrator.access.settings import AccessSettings
from codestory_orchestrator.api import ApiSettings
from codestory_orchestrator.errors import RepositoryRefused
from codestory_orchestrator.testing_access import OTHERS, TEAM, KeysFile, guarded
from codestory_orchestrator.testing_api import APP, ASK, JOB, ScriptedIngestion, client, problem

VALUES = {"job_id": JOB, "step": "scan", "schedule_id": "s1", "sha256": "0" * 64, "repository": "shop"}
CALLERS = ("nobody", "unknown", "expired", "viewer", "operator", "admin")
RANK = {"viewer": 0, "operator": 1, "admin": 2}


def _app(keys: KeysFile) -> FastAPI:
    return guarded(keys.door(requests_per_minute=0, submissions_per_minute=0), _ingestion())


def _ingestion() -> ScriptedIngestion:
    ingestion = ScriptedIngestion()
    ingestion.whose[JOB] = TEAM
    return ingestion


def _operations() -> Iterator[tuple[str, str, str | None]]:
    document = guarded(Door(AccessSettings.model_construct()), _ingestion()).openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method.upper(), path, operation.get("x-codestory-role")


OPERATIONS = tuple(_operations())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeysFile:
    return KeysFile(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="module")
def app(keys: KeysFile) -> FastAPI:
    return _app(keys)


def _headers(keys: KeysFile, name: str) -> dict[str, str]:
    return {"X-API-Key": f"csk_abcdef_{'x' * 43}"} if name == "unknown" else keys.headers(name)


async def _ask(app: FastAPI, method: str, path: str, **more: Any) -> httpx.Response:
    async with client(app) as asking:
        return await asking.request(method, path, **more)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "path", "role"), OPERATIONS)
async def test_each_operation_lets_in_whom_the_document_says_and_nobody_else(
    keys: KeysFile, app: FastAPI, method: str, path: str, *, role: str | None, caller: str
) -> None:
    filled = re.sub(r"{(\w+)(?::\w+)?}", lambda found: VALUES.get(found[1], "x"), path)

    response = await _ask(app, method, filled, headers=_headers(keys, caller))

    if role is None:
        assert response.status_code not in {401, 403}
    elif caller not in RANK:
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith('Bearer realm="codestory"')
        if method != "HEAD":
            assert problem(response).code == "unauthenticated"
    elif RANK[caller] < RANK[role]:
        assert response.status_code == 403
        if method != "HEAD":
            assert problem(response).code == "role_missing"
            assert role in problem(response).detail
    else:
        assert response.status_code not in {401, 403}


def test_what_changes_things_for_everybody_is_for_admins() -> None:
    admins = {(method, path) for method, path, role in OPERATIONS if role == "admin"}

    assert admins >= {
        ("PATCH", "/v1/ingest/resource_status"),
        ("PATCH", "/v1/ingest/resource_limits"),
        ("PATCH", "/v1/ingest/steps/{step}"),
    }
    assert all(role == "admin" for method, path, role in OPERATIONS if method == "DELETE" and "/repositories" in path)
    assert all(role == "viewer" for method, _, role in OPERATIONS if method == "GET" and role)
    assert {path for _, path, role in OPERATIONS if role is None} == {"/livez", "/readyz"}


@pytest.mark.parametrize("caller", ["nobody", "expired", "viewer"])
async def test_an_address_that_there_is_not_tells_nobody_who_may_not_ask(
    keys: KeysFile, app: FastAPI, caller: str
) -> None:
    response = await _ask(app, "GET", "/v1/nothing/here", headers=keys.headers(caller))

    assert response.status_code == (404 if caller == "viewer" else 401)


async def test_the_document_itself_takes_a_key(keys: KeysFile, app: FastAPI) -> None:
    without = await _ask(app, "GET", "/openapi.json")
    with_one = await _ask(app, "GET", "/openapi.json", headers=keys.headers("viewer"))

    assert (without.status_code, with_one.status_code) == (401, 200)


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"Authorization": "Basic dGVhbTpzZWNyZXQ="}, "Bearer"),
        ({"Authorization": "Bearer "}, "Bearer"),
        ({"Authorization": "Bearer something"}, "csk_"),
        ({"Authorization": "Bearer csk_"}, "not known"),
        ({"X-API-Key": "csk_\x7f"}, "not known"),
    ],
)
async def test_what_is_no_key_is_refused_with_what_to_send(app: FastAPI, headers: dict[str, str], detail: str) -> None:
    response = await _ask(app, "GET", "/v1/ingest", headers=headers)

    assert problem(response).code == "unauthenticated"
    assert detail in problem(response).detail


async def test_nothing_of_a_request_is_read_before_it_is_known_who_asks(app: FastAPI) -> None:
    said = {"content": b"{not json", "headers": {"Content-Type": "application/json"}}

    assert (await _ask(app, "POST", "/v1/ingest", **said)).status_code == 401


def _of_a_job() -> list[tuple[str, str]]:
    return [(method, path) for method, path, _ in OPERATIONS if "{job_id}" in path]


@pytest.mark.parametrize(("method", "path"), _of_a_job())
async def test_another_owners_job_does_not_exist(keys: KeysFile, app: FastAPI, method: str, path: str) -> None:
    body = {"json": {"priority": "high"}} if method in {"PATCH", "POST", "PUT"} else {}
    there = path.replace("{job_id}", JOB).replace("{step}", "scan")
    nowhere = path.replace("{job_id}", "f" * 16).replace("{step}", "scan")

    others = await _ask(app, method, there, headers=keys.headers("other"), **body)
    none = await _ask(app, method, nowhere, headers=keys.headers("other"), **body)

    assert problem(others).code == problem(none).code == "job_not_found"
    assert problem(others).detail == problem(none).detail.replace("f" * 16, JOB)


async def test_a_job_belongs_to_whoever_submitted_it(keys: KeysFile) -> None:
    ingestion = _ingestion()
    app = guarded(keys.door(), ingestion)

    for name in ("operator", "other"):
        await _ask(app, "POST", "/v1/ingest", json=ASK, headers=keys.headers(name))

    assert [owner for _, owner in ingestion.named] == [TEAM, OTHERS]


@pytest.mark.parametrize("path", ["/v1/ingest", "/v1/ingest/plan"])
async def test_nobody_waits_for_a_job_that_does_not_exist_for_them(keys: KeysFile, app: FastAPI, path: str) -> None:
    request = ASK | {"after": [JOB]}

    own = await _ask(app, "POST", path, json=request, headers=keys.headers("operator"))
    others = await _ask(app, "POST", path, json=request, headers=keys.headers("other"))

    assert own.status_code in {200, 202}
    assert problem(others).code == "unknown_job"


async def test_whose_secret_it_is_is_looked_at_wherever_one_can_be_named(keys: KeysFile) -> None:
    ingestion = _ingestion()
    app = guarded(keys.door(), ingestion)
    app.state.schedules = None  # never reached where the request is refused
    ingestion.fails = RepositoryRefused("not for you")
    request = {"repository": "https://git.example/a", "credential": "corp"}

    answers = [
        await _ask(app, "POST", path, json=body, headers=keys.headers("operator"))
        for path, body in (
            ("/v1/ingest", request),
            ("/v1/ingest/plan", request),
            ("/v1/ingest/schedules", {"job": request, "cron": "0 3 * * *"}),
        )
    ]

    assert [problem(answer).code for answer in answers] == ["repository_refused"] * 3
    assert ingestion.secrets == [("corp", Role.OPERATOR)] * 3
    assert ingestion.asked == []


@pytest.mark.parametrize(("caller", "owned"), [("viewer", TEAM), ("other", OTHERS), ("admin", None)])
async def test_what_is_told_of_others_is_told_to_admins_only(keys: KeysFile, caller: str, owned: str | None) -> None:
    ingestion = _ingestion()
    ingestion.whose[JOB] = OTHERS if caller == "other" else TEAM
    app = guarded(keys.door(), ingestion)

    for path in (f"{JOB}/why", "resource_status/holders"):
        await _ask(app, "GET", f"/v1/ingest/{path}", headers=keys.headers(caller))

    assert ingestion.owned == [owned, owned]


async def test_without_authentication_everybody_may_everything() -> None:
    ingestion = ScriptedIngestion()
    ingestion.whose[JOB] = TEAM
    APP.state.ingestion = ingestion

    shown = await _ask(APP, "GET", f"/v1/ingest/{JOB}")
    changed = await _ask(APP, "PATCH", "/v1/ingest/resource_status", json={"max_tokens": 3})

    assert (shown.status_code, changed.status_code) == (200, 200)
    assert EVERYBODY.role is Role.ADMIN


async def test_metrics_are_for_everybody_where_the_settings_say_so(keys: KeysFile) -> None:
    open_ones = guarded(keys.door(), _ingestion(), ApiSettings(metrics_public=True))

    assert (await _ask(open_ones, "GET", "/metrics")).status_code == 200


async def test_too_many_requests_are_told_when_to_come_again(keys: KeysFile) -> None:
    app = guarded(keys.door(requests_per_minute=5, submissions_per_minute=2), _ingestion())

    posted = [await _ask(app, "POST", "/v1/ingest", json=ASK, headers=keys.headers("operator")) for _ in range(3)]
    looked = [await _ask(app, "GET", "/v1/ingest", headers=keys.headers("operator")) for _ in range(3)]
    other = await _ask(app, "POST", "/v1/ingest", json=ASK, headers=keys.headers("other"))

    assert [response.status_code for response in posted] == [202, 202, 429]
    assert [response.status_code for response in looked] == [200, 200, 429]
    assert problem(looked[-1]).code == problem(posted[-1]).code == "rate_limited"
    assert 1 <= int(looked[-1].headers["retry-after"]) <= 60
    assert other.status_code == 202  # each has their own


async def test_a_page_of_an_allowed_origin_may_ask_and_others_may_not(keys: KeysFile) -> None:
    portal = "https://portal.example"
    app = guarded(keys.door(), _ingestion(), ApiSettings(cors_origins=(portal,)))
    wants = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}

    asked = await _ask(app, "OPTIONS", "/v1/ingest", headers={"Origin": portal} | wants)
    posted = await _ask(app, "POST", "/v1/ingest", json=ASK, headers={"Origin": portal} | keys.headers("operator"))
    keyless = await _ask(app, "POST", "/v1/ingest", json=ASK, headers={"Origin": portal})
    foreign = await _ask(app, "OPTIONS", "/v1/ingest", headers={"Origin": "https://evil.example"} | wants)
    refused = await _ask(app, "POST", "/v1/ingest", json=ASK, headers={"Origin": "https://evil.example"})

    assert (asked.status_code, posted.status_code, keyless.status_code) == (200, 202, 401)
    for response in (asked, posted, keyless):
        assert response.headers["access-control-allow-origin"] == portal
        assert "access-control-allow-credentials" not in response.headers
    assert "access-control-allow-origin" not in foreign.headers
    assert problem(refused).code == "foreign_origin"


async def test_without_a_setting_no_other_origin_is_answered(keys: KeysFile, app: FastAPI) -> None:
    response = await _ask(
        app, "GET", "/v1/ingest", headers={"Origin": "https://portal.example"} | keys.headers("viewer")
    )

    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_a_key_that_is_revoked_or_rotated_counts_so_at_once(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path / "keys.json")
    app = _app(keys)

    before = await _ask(app, "GET", "/v1/ingest", headers=keys.headers("viewer"))
    keys.revoke("viewer")
    after = await _ask(app, "GET", "/v1/ingest", headers=keys.headers("viewer"))

    assert (before.status_code, after.status_code) == (200, 401)
