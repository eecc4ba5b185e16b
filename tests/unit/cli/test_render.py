"""Summaries and lists: complete, fitting, and harmless whatever a repository is called."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from codestory.cli import render
from codestory.contracts.api import JobView

MakeJob = Callable[..., JobView]
MakeStep = Callable[..., dict[str, Any]]
Show = Callable[[Console, JobView], None]

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOSTILE = "\x1b]0;owned\x07[red]\u202e\n"


def shown(show: Show, job: JobView, width: int = 100) -> str:
    written = io.StringIO()
    show(Console(file=written, width=width, markup=False, highlight=False, emoji=False), job)
    return written.getvalue()


def listed(console: Console, job: JobView) -> None:
    render.jobs(console, [job])


def completed(make_job: MakeJob, make_step: MakeStep, **changes: Any) -> JobView:
    outcome = {
        "summary": "120 files",
        "skipped": {"binary": 2, "too_large": 1},
        "failed": {"unreadable": 1},
        "gaps": [{"path": "secret.key", "reason": "unreadable"}, {"path": "logo.png", "reason": "binary"}],
        "nodes": {"File": 120, "Directory": 8},
        "relationships": {"CONTAINS": 127},
        "written": {"nodes created": 128},
    }
    step = make_step(
        "filesystem", "COMPLETED", started_at=AT, ended_at=AT.replace(second=4), outcome=outcome, retries=1
    )
    usage = {"seconds": 4, "cpu_seconds": 3.2, "peak_memory_bytes": 84_000_000}
    fields = {"state": "COMPLETED", "ended_at": AT.replace(second=5), "gaps": 4, "steps": [step | {"usage": usage}]}
    return make_job(**fields | changes)


def test_a_summary_has_all_that_a_person_asks_about(make_job: MakeJob, make_step: MakeStep) -> None:
    text = shown(render.summary, completed(make_job, make_step))

    for expected in (
        "Job job1  COMPLETED in 5.0 s, with 4 gaps",
        "Repository flask  /srv/flask",
        "4.0 s",
        "3.2 s",
        "84.0 MB",
        "120 files; retried 1 time",
        "File 120, Directory 8",
        "CONTAINS 127",
        "nodes created 128",
        "binary 2, too_large 1",
        "unreadable 1",
        "secret.key",
        "… and 2 more",
        "codestory graph stats flask",
    ):
        assert expected in text


def test_a_run_that_changed_nothing_says_so(make_job: MakeJob, make_step: MakeStep) -> None:
    step = make_step("filesystem", "COMPLETED", outcome={"nodes": {"File": 3}})

    text = shown(render.summary, make_job(state="COMPLETED", complete=True, steps=[step]))

    assert "nothing: the graph held all of it already" in text
    assert "complete" in text


def test_a_failure_says_which_step_and_why(make_job: MakeJob, make_step: MakeStep) -> None:
    attempt = {"number": 1, "reason": "oom", "message": "out of memory", "detail": "last words"}
    step = make_step("docs", "FAILED", message="it needs more memory", attempts=[attempt])

    text = shown(render.summary, make_job(state="FAILED", steps=[step]))

    assert "docs failed (oom): it needs more memory" in text
    assert "last words" in text


def test_a_mistake_in_a_step_shows_no_traceback(make_job: MakeJob, make_step: MakeStep) -> None:
    attempt = {"number": 1, "reason": "bug", "message": "KeyError: 'x'", "detail": "Traceback (most recent call last):"}
    step = make_step("docs", "FAILED", attempts=[attempt])

    text = shown(render.summary, make_job(state="FAILED", steps=[step]))

    assert "docs failed (bug): KeyError: 'x'" in text
    assert "Traceback" not in text


def test_a_job_that_runs_has_no_contents_yet(make_job: MakeJob) -> None:
    text = shown(render.job, make_job(waits_for=["job0"], message="waits for job0"))

    assert "Waits for job0" in text
    assert "Nodes" not in text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"state": "COMPLETED", "complete": True}, 0),
        ({"state": "COMPLETED", "complete": False}, 3),
        ({"state": "FAILED"}, 1),
        ({"state": "STOPPED"}, 1),
        ({"state": "CANCELLED"}, 1),
    ],
)
def test_the_exit_code_says_how_the_job_ended(make_job: MakeJob, changes: dict[str, Any], code: int) -> None:
    assert render.exit_of(make_job(**changes)) == code


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("show", [render.summary, listed])
def test_hostile_text_is_shown_and_does_nothing(make_job: MakeJob, make_step: MakeStep, show: Show, width: int) -> None:
    attempt = {"number": 1, "reason": "crashed", "message": HOSTILE, "detail": HOSTILE}
    outcome = {"summary": HOSTILE, "gaps": [{"path": HOSTILE, "reason": HOSTILE}], "skipped": {HOSTILE: 1}}
    outcome |= {"nodes": {HOSTILE: 1}, "relationships": {HOSTILE: 1}, "written": {HOSTILE: 1}}
    failed = make_step(HOSTILE, "FAILED", attempts=[attempt], options_dropped=[HOSTILE], outcome=outcome)
    repository = {"id": "r", "name": HOSTILE, "path": HOSTILE}
    job = make_job(id=HOSTILE, state="FAILED", message=HOSTILE, repository=repository, steps=[failed])

    text = shown(show, job, width)

    assert all(line.isprintable() for line in text.splitlines())
    assert "owned" in text.replace("\n", "")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_summary_fits_the_terminal(make_job: MakeJob, make_step: MakeStep, width: int) -> None:
    long = "deep/" * 60
    job = completed(make_job, make_step, repository={"id": "r", "name": "n", "path": long})

    lines = shown(render.job, job, width).splitlines()

    assert max(map(len, lines)) <= width


def test_the_commands_to_try_next_can_be_pasted(make_job: MakeJob, make_step: MakeStep) -> None:
    name = "my repo; rm -rf '$HOME'"
    job = completed(make_job, make_step, repository={"id": "r", "name": name, "path": "/srv"})

    text = shown(render.summary, job, 40)

    assert """  codestory graph stats 'my repo; rm -rf '"'"'$HOME'"'"''\n""" in text


def test_no_jobs_is_a_hint() -> None:
    written = io.StringIO()

    render.jobs(Console(file=written), [])

    assert "codestory ingest start" in written.getvalue()
