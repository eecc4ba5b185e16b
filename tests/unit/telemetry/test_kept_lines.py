"""Which log lines are kept beside a job: those about it, bounded, each with the trace of its attempt."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from codestory import telemetry
from codestory.telemetry import kept
from codestory.telemetry.logs import Seldom

log = telemetry.logger("codestory.kept_lines")


@pytest.fixture
def lines() -> Iterator[kept.Lines]:
    handler, logger = kept.Lines("step-scan", logging.INFO), logging.getLogger("codestory")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def read(lines: kept.Lines) -> list[dict[str, Any]]:
    return [json.loads(line.text) for line in lines.take()]


def test_a_line_about_a_job_is_kept_with_what_every_line_has(lines: kept.Lines) -> None:
    log.info("bus.reconnected")
    log.warning("step.retrying", job_id="job1", step="scan", attempt=2)

    [line] = read(lines)

    assert {"time", "level", "service", "event", "job_id", "step", "attempt", "trace_id"} <= line.keys()
    assert (line["level"], line["service"], line["event"]) == ("warning", "step-scan", "step.retrying")
    context = telemetry.dispatch_context(telemetry.Attempt("job1", "scan", 2))
    assert line["trace_id"] == context.split("-")[1]


def test_a_step_writes_its_own_lines_and_its_host_does_not_keep_them_twice(lines: kept.Lines) -> None:
    telemetry.logger(kept.KEPT_ALREADY).info("step.output", job_id="job1", step="scan", attempt=1)

    assert read(lines) == []


def test_of_a_job_that_is_forgotten_nothing_comes_after(lines: kept.Lines) -> None:
    log.info("job.ended", job_id="old")
    log.info("job.ended", job_id="other")

    log.info(kept.FORGOTTEN, job_id="old")

    assert [line["job_id"] for line in read(lines)] == ["other"]


@pytest.mark.parametrize("job", ["a.b", "a b", ">", "x" * 65, ""])
def test_what_can_be_no_job_is_no_subject(lines: kept.Lines, job: str) -> None:
    log.info("command.unreadable", job_id=job)

    assert lines.take() == []


def test_of_one_job_a_process_keeps_so_many_and_of_another_still_all(
    lines: kept.Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_LINES", 3)

    for _ in range(10):
        log.info("job.stranded", job_id="job1")
    log.info("job.ended", job_id="job2")

    assert [line["job_id"] for line in read(lines)] == ["job1", "job1", "job1", "job2"]


def test_a_collector_that_is_away_is_told_of_once_a_minute() -> None:
    seldom = Seldom()
    away = logging.makeLogRecord({"name": "opentelemetry.exporter", "lineno": 7})
    ours = logging.makeLogRecord({"name": "codestory.bus", "lineno": 7})

    assert [seldom.filter(away), seldom.filter(away)] == [True, False]
    assert [seldom.filter(ours), seldom.filter(ours)] == [True, True]
