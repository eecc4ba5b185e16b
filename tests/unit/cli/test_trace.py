"""`codestory ingest trace`: a tree with times, of whatever spans there are."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from codestory.contracts.api import JobView

Run = Callable[..., tuple[int, str, str]]
ROOT, SENT, DONE = "a" * 16, "b" * 16, "c" * 16
REQUEST, ATTEMPT = "1" * 32, "2" * 32
LINK = f"{REQUEST}-{ROOT}"


def span(
    name: str, trace: str, own: str, *, parent: str = "", start: float = 0, end: float | None = 1, **more: Any
) -> Any:
    def moment(seconds: float) -> str:
        return f"2024-05-01T12:00:{seconds:09.6f}Z"

    return {
        "trace_id": trace,
        "span_id": own,
        "parent_id": parent,
        "name": name,
        "started_at": moment(start),
        "ended_at": None if end is None else moment(end),
        **more,
    }


SPANS = [
    span("submit job", REQUEST, ROOT, parent="e" * 16, end=0.012),
    span(
        "dispatch scan",
        ATTEMPT,
        SENT,
        start=0.01,
        end=0.03,
        links=[LINK],
        kind="producer",
        attributes={"codestory.attempt": 1},
    ),
    span("process scan", ATTEMPT, DONE, parent=SENT, start=0.05, end=None, links=[LINK]),
    span("read \x1b[31m", ATTEMPT, "d" * 16, parent=DONE, start=0.1, end=12.3),
    span(
        "settle scan",
        ATTEMPT,
        "f" * 16,
        parent="9" * 16,
        start=13,
        end=13.5,
        links=[LINK],
        status="error",
        message="no",
    ),
]


@pytest.fixture(autouse=True)
def a_job(jobs: dict[str, list[JobView]], make_job: Callable[..., JobView], answers: dict[str, Any]) -> None:
    jobs["job1"] = [make_job()]
    answers["GET job1/trace"] = {"job": "job1", "spans": SPANS}


def test_spans_are_a_tree_with_when_they_began_and_how_long_they_took(run: Run) -> None:
    code, out, _ = run("ingest", "trace", "job1")

    assert code == 0
    assert [line.rstrip() for line in out.splitlines()] == [
        "     began        took  span",
        "     +0 ms       12 ms  submit job",
        "    +10 ms       20 ms  ├─ dispatch scan  attempt 1",
        "    +50 ms           …  │  └─ process scan",
        r"   +100 ms        12 s  │     └─ read \x1b[31m",
        "     +13 s      500 ms  └─ settle scan  error: no",
    ]


def test_as_json_it_is_what_the_service_says(run: Run) -> None:
    _, out, _ = run("ingest", "trace", "job1", "--json")

    assert [one["name"] for one in json.loads(out)["spans"]] == [one["name"] for one in SPANS]


def test_a_job_of_which_nothing_is_known_has_no_lines(run: Run, answers: dict[str, Any]) -> None:
    answers["GET job1/trace"] = {"job": "job1", "spans": []}

    code, out, _ = run("ingest", "trace", "job1")

    assert (code, out) == (0, "")


def test_that_there_is_more_is_said(run: Run, answers: dict[str, Any]) -> None:
    answers["GET job1/trace"] = {"job": "job1", "spans": SPANS, "truncated": True}

    _, _, err = run("ingest", "trace", "job1")

    assert "The first 5 spans are shown." in err
