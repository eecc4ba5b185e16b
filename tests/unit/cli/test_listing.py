"""Jobs are chosen by filters: to be listed, and to be changed all at once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codestory.contracts.api import JobView
from codestory.repository_identity import identify

Run = Callable[..., tuple[int, str, str]]
MakeJob = Callable[..., JobView]
Jobs = dict[str, list[JobView]]
Asked = list[tuple[str, Any]]

RESULT = {"matched": 2, "done": ["job1", "job2"], "refused": [], "more": False}


def test_what_is_typed_is_what_the_service_is_asked_for(run: Run, queries: list[str]) -> None:
    code, _, _ = run(
        *("ingest", "jobs", "--status", "failed,stopped", "--repository", "flask", "--step", "filesystem"),
        *("--priority", "high", "--since", "2024-05-01T12:00+00:00", "--sort", "oldest", "--limit", "5"),
    )

    assert code == 0
    assert sorted(queries[0].split("&")) == [
        "limit=5",
        "priority=high",
        "repository=flask",
        "since=2024-05-01T12%3A00%3A00Z",
        "sort=created",
        "status=FAILED",
        "status=STOPPED",
        "step=filesystem",
    ]


def test_a_folder_is_the_repository_in_it(run: Run, queries: list[str], repository: Path) -> None:
    run("ingest", "jobs", "--repository", str(repository))

    assert f"repository={identify(repository).id}" in queries[0].split("&")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--status", "lost"), "There is no state 'LOST'"),
        (("--sort", "size"), "There is no order 'size'"),
        (("--since", "yesterday"), "2h or 3d"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(
    run: Run, queries: list[str], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run("ingest", "jobs", *arguments)

    assert (code, out, queries) == (2, "", [])
    assert said in err


def test_where_nothing_fits_it_is_said(run: Run) -> None:
    assert run("ingest", "jobs", "--status", "failed")[1] == "No job is so.\n"
    assert "No jobs yet" in run("ingest", "jobs")[1]


@pytest.mark.parametrize(("verb", "became"), [("cancel", "cancelled"), ("stop", "stopped"), ("retry", "retried")])
def test_many_jobs_are_changed_once_they_have_been_counted(
    run: Run, answers: dict[str, Any], asked: Asked, verb: str, became: str
) -> None:
    answers[f"POST {verb}"] = RESULT

    code, out, _ = run("ingest", verb, "--matching", "--status", "running", "--yes")

    assert code == 0
    assert out.splitlines() == [f"2 jobs {became}, of 2 that match.", "  job1", "  job2"]
    assert [body.get("dry_run", False) for _, body in asked] == [True, False]
    assert [body["filter"] for _, body in asked] == [{"status": ["RUNNING"]}] * 2


def test_nobody_to_ask_means_that_nothing_is_changed(run: Run, answers: dict[str, Any], asked: Asked) -> None:
    answers["POST cancel"] = RESULT

    code, out, err = run("ingest", "cancel", "--matching", "--all")

    assert (code, out) == (2, "")
    assert "--yes" in err
    assert [body["dry_run"] for _, body in asked] == [True]


def test_a_dry_run_names_the_jobs_and_changes_nothing(run: Run, answers: dict[str, Any], asked: Asked) -> None:
    answers["POST stop"] = RESULT

    code, out, _ = run("ingest", "stop", "--matching", "--repository", "flask", "--dry-run", "--json")

    assert code == 0
    assert json.loads(out)["done"] == ["job1", "job2"]
    assert [body["dry_run"] for _, body in asked] == [True]


def test_a_job_that_refuses_is_named(run: Run, answers: dict[str, Any]) -> None:
    refused = {"id": "job3", "code": "job_conflict", "detail": "It has ended."}
    answers["POST cancel"] = RESULT | {"refused": [refused], "more": True}

    code, out, err = run("ingest", "cancel", "--matching", "--all", "--yes")

    assert code == 1
    assert "job3 refused: It has ended." in out
    assert "There are more" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("cancel",),
        ("cancel", "job1", "--matching"),
        ("stop", "job1", "--status", "running"),
        ("stop", "--matching"),
        ("retry", "--status", "failed"),
    ],
)
def test_one_job_or_those_that_match_but_never_by_mistake_all(
    run: Run, asked: Asked, arguments: tuple[str, ...]
) -> None:
    code, _, err = run("ingest", *arguments)

    assert code == 2
    assert err.startswith("codestory: ")
    assert asked == []
