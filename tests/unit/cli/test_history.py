"""`codestory ingest events` and `logs`: readable lines, JSON lines, nothing that steers a terminal."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from codestory.client import Client
from codestory.contracts.api import JobView
from codestory.contracts.history import JobEvent

Run = Callable[..., tuple[int, str, str]]
AT = "2024-05-01T12:00:00Z"
EVENTS = [
    {"seq": 3, "at": AT, "job": "job1", "step": "scan", "kind": "started", "attempt": 1, "data": {"worker": "w1"}},
    {
        "seq": 4,
        "at": AT,
        "job": "job1",
        "step": "scan",
        "kind": "failed",
        "attempt": 1,
        "data": {"reason": "bug", "message": "a \x1b[31mred\nline"},
    },
    {"seq": 9, "at": AT, "job": "job1", "kind": "ended", "data": {"run": 1, "state": "FAILED"}},
]
LINES = [
    {"seq": 4, "at": AT, "step": "scan", "event": "step.output", "fields": {"line": "plain \x1b]0;text\x07"}},
    {"seq": 5, "at": AT, "step": "scan", "level": "warning", "event": "file.skipped", "fields": {"path": "a\n.py"}},
]


@pytest.fixture(autouse=True)
def a_job(jobs: dict[str, list[JobView]], make_job: Callable[..., JobView]) -> None:
    jobs["job1"] = [make_job()]


def test_events_are_listed_in_lines_that_steer_nothing(run: Run, answers: dict[str, Any]) -> None:
    answers["GET job1/events"] = {"events": EVENTS, "next_seq": 10, "more": False}

    code, out, _ = run("ingest", "events", "job1")

    started, failed, ended = out.splitlines()
    assert code == 0
    assert started.split()[1:] == ["scan", "started", "attempt", "1", "worker=w1"]
    assert failed.endswith(r"reason=bug message=a \x1b[31mred\nline")
    assert ended.split()[1:] == ["the", "job", "ended", "state=FAILED", "run=1"]
    assert "\x1b" not in out


def test_events_are_one_object_a_line(run: Run, answers: dict[str, Any]) -> None:
    answers["GET job1/events"] = {"events": EVENTS, "next_seq": 10, "more": False}

    _, out, _ = run("ingest", "events", "job1", "--json")

    assert [json.loads(line)["seq"] for line in out.splitlines()] == [3, 4, 9]
    assert out.isascii()
    assert "\x1b" not in out


def test_log_lines_are_what_the_step_wrote(run: Run, answers: dict[str, Any]) -> None:
    answers["GET job1/logs"] = {"lines": LINES, "next_seq": 6, "more": False}

    code, out, _ = run("ingest", "logs", "job1", "--step", "scan")

    first, second = out.splitlines()
    assert code == 0
    assert first.endswith(r"info       plain \x1b]0;text\x07")
    assert second.split()[1:] == ["scan", "warning", "file.skipped", r"path=a\n.py"]


def test_a_job_whose_steps_wrote_nothing_is_no_silence(run: Run, answers: dict[str, Any]) -> None:
    answers["GET job1/logs"] = {"lines": [], "next_seq": 0, "more": False}

    code, out, err = run("ingest", "logs", "job1")

    assert (code, out) == (0, "")
    assert "has written a line" in err


def test_a_job_may_be_named_by_how_its_id_begins(run: Run, answers: dict[str, Any]) -> None:
    answers["GET job1/events"] = {"events": EVENTS[:1], "next_seq": 4, "more": False}

    code, out, _ = run("ingest", "events", "jo")

    assert (code, len(out.splitlines())) == (0, 1)


def test_who_has_seen_enough_leaves_quietly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Any:
        yield JobEvent.model_validate(EVENTS[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "events", interrupted)

    code, out, err = run("ingest", "events", "job1", "-f")

    assert (code, len(out.splitlines()), err) == (130, 1, "")
