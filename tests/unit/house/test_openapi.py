"""docs/reference/openapi.json says what the service offers. Run this file to write it anew:

.venv/bin/python tests/unit/house/test_openapi.py"""

import inspect
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from codestory_orchestrator.api import ApiSettings, create_app, problems
from codestory_orchestrator.testing_api import JOB, ScriptedIngestion, client, problem

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "openapi.json"
COMMAND = f".venv/bin/python {Path(__file__).relative_to(Path(__file__).parents[3])}"
Operation = tuple[str, str, dict[str, Any]]


@cache
def service() -> FastAPI:
    """With every part. Of most of them nobody asks anything: what is asked here is refused before."""
    parts = [
        name
        for name, parameter in inspect.signature(create_app).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "door"
    ]
    there: Any = object()
    return create_app(ScriptedIngestion(), ApiSettings(version="1"), **dict.fromkeys(parts, there))


def document() -> dict[str, Any]:
    return service().openapi()


def operations() -> list[Operation]:
    found: list[Operation] = []
    for path, methods in document()["paths"].items():
        found += [(method, path, operation) for method, operation in methods.items()]
    return found


def reference() -> str:
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


def test_the_document_says_what_the_service_offers() -> None:
    same = DOCUMENT.exists() and DOCUMENT.read_text() == reference()

    assert same, f"{DOCUMENT} is not as the API is now. See what differs after: {COMMAND}"


def test_it_is_openapi_3_1() -> None:
    assert document()["openapi"].startswith("3.1")


def test_each_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]

    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    assert [name for _, _, operation in operations() if not (name := operation.get("description"))] == []


def test_each_link_leads_to_an_operation() -> None:
    names = {operation["operationId"] for _, _, operation in operations()}

    leads = {
        link["operationId"]
        for _, _, operation in operations()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    }

    assert leads
    assert leads <= names


@pytest.mark.parametrize(("method", "path", "operation"), operations())
def test_what_can_go_wrong_is_stated_and_is_a_problem(method: str, path: str, operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    refusals = {status: response for status, response in responses.items() if status >= "4"}

    assert "default" in refusals
    assert all(list(response["content"]) == [problems.MEDIA_TYPE] for response in refusals.values())
    if "requestBody" in operation:
        assert {"413", "415", "422"} <= refusals.keys(), (method, path)
    if operation.get("parameters"):
        assert {"404", "422"} & refusals.keys(), (method, path)


TAKING_JSON = [
    (method, path)
    for method, path, operation in operations()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
]
JSON = {"content-type": "application/json"}
LARGE = b" " * (ApiSettings().max_body_bytes + 1)


@pytest.mark.parametrize(("method", "path"), TAKING_JSON)
@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", JSON, 422),
        (b"[]", JSON, 422),
        (b'"x"', JSON, 422),
        (b'{"\\ud800": 1}', JSON, 422),
        (b"\xff", JSON, 422),
        (b"[" * 100_000, JSON, 422),
        (LARGE, JSON, 413),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {**JSON, "origin": "https://evil.example"}, 403),
        (b"{}", {**JSON, "host": "evil.example"}, 421),
    ],
    ids=["cut off", "a list", "a text", "no unicode", "no text", "deep", "large", "no JSON", "foreign", "unknown host"],
)
async def test_a_body_that_is_none_is_refused_by_every_route(
    method: str, path: str, content: bytes, headers: dict[str, str], status: int
) -> None:
    where = path.replace("{job_id}", JOB).replace("{", "").replace("}", "")

    async with client(service()) as asking:
        response = await asking.request(method, where, content=content, headers=headers)

    stated = {status, 400} if status == 422 else {status}
    assert problem(response).status in stated
    assert str(response.status_code) in document()["paths"][path][method]["responses"]


@pytest.mark.parametrize("path", sorted({path for _, path, _ in operations()}))
async def test_a_method_that_a_route_does_not_take_is_a_problem(path: str) -> None:
    async with client(service()) as asking:
        response = await asking.request("TRACE", path.replace("{", "").replace("}", ""))

    assert problem(response).code == "method_not_allowed"
    assert response.headers["allow"]


if __name__ == "__main__":
    DOCUMENT.write_text(reference())
