"""What schemathesis is told of the service: bodies that can be served, and what every answer must be.

Loaded by schemathesis itself (SCHEMATHESIS_HOOKS); `test_schemathesis.py` runs it."""

import json
import os
from typing import Any, cast

import schemathesis

from codestory.contracts.api import Problem

#: A repository that the service may read.
REPOSITORY = os.environ.get("CHECKED_REPOSITORY", "")
UNAVAILABLE = 503


@schemathesis.hook
def map_body(_: Any, body: Any) -> Any:
    """So that some jobs are made: half of the requests name a repository that there is, and no unknown step."""
    if isinstance(body, dict):
        asked = cast("dict[str, Any]", body)
        for request in (asked, asked.get("job")):
            if isinstance(request, dict) and "repository" in request and len(json.dumps(request)) % 2:
                cast("dict[str, Any]", request)["repository"] = REPOSITORY
                for name in (
                    "steps",
                    "step_options",
                    "options",
                    "pipeline",
                    "dependencies",
                    "after",
                    "ref",
                    "credential",
                ):
                    cast("dict[str, Any]", request).pop(name, None)
    return cast("object", body)


@schemathesis.check
def no_failure_but_an_announced_one(_: Any, response: Any, case: Any) -> None:
    """5xx: only 503, and only where the document has it."""
    if response.status_code >= 500:
        assert response.status_code == UNAVAILABLE, response.text
        assert str(UNAVAILABLE) in _stated(case), response.text


@schemathesis.check
def every_status_is_stated(_: Any, response: Any, case: Any) -> None:
    """Each by itself: `default` does not count. 405 is what no operation can state."""
    assert response.status_code == 405 or str(response.status_code) in _stated(case), response.text


@schemathesis.check
def every_error_is_a_problem(_: Any, response: Any, case: Any) -> None:
    if response.status_code < 400 or case.method == "HEAD":
        return
    assert response.headers["content-type"] == ["application/problem+json"], response.headers
    problem = Problem.model_validate(json.loads(response.content))
    assert problem.status == response.status_code
    assert problem.code
    assert problem.detail
    assert len(response.content) < 20_000


def _stated(case: Any) -> dict[str, Any]:
    return case.operation.definition.raw["responses"]
