"""What the orchestrator tells of attempts: each end settled once, and the span of a worker that is gone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from prometheus_client import REGISTRY

from codestory import telemetry
from codestory.contracts.events import StepCompleted, StepFailed, StepStarted
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.plans import StepPlan
from codestory.contracts.results import Usage
from codestory.contracts.traces import SpanView
from codestory.contracts.values import Reason
from codestory.telemetry.kept import Spans
from codestory_orchestrator import pipeline, telling

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
OWN = "00-" + "1" * 32 + "-" + "1" * 16 + "-01"


@pytest.fixture
def told() -> Iterator[Spans]:
    sink, spans = telemetry.Sink(Resource.create({"service.name": "orchestrator"})), Spans()
    sink.add(spans)
    telemetry.send_to(sink)
    yield spans
    telemetry.send_to(None)


@pytest.fixture
def job() -> Job:
    made = pipeline.make("job1", Repository(id="r", name="shop", path="/srv"), (StepPlan(name="scan"),), at=AT)
    return pipeline.begin(made, AT)[0]


def started(worker: str, after: float = 1) -> StepStarted:
    at = AT + timedelta(seconds=after)
    return StepStarted(attempt=1, worker=worker, at=at, delivery=(1, 1), traceparent=OWN)


def completed(worker: str) -> StepCompleted:
    usage = Usage(seconds=3, cpu_seconds=2, peak_memory_bytes=100 * 2**20)
    return StepCompleted(attempt=1, worker=worker, at=AT + timedelta(seconds=4), generation=1, usage=usage)


def hear(job: Job, *news: Any) -> Job:
    """Each by itself, as a record is written for each."""
    for number, event in enumerate(news, start=1):
        before = job
        job, _ = pipeline.advance(job, "scan", event, number)
        telling.followed(before, job, [("scan", event, number)], event.at + timedelta(seconds=1))
    return job


def names(spans: Spans) -> list[tuple[str, str]]:
    found = [span for spans_of_job in spans.take().values() for span in spans_of_job]
    return [(span.name, _outcome(span)) for span in found]


def _outcome(span: SpanView) -> str:
    return str(span.attributes.get("codestory.outcome", ""))


def test_an_attempt_that_its_worker_ended_is_settled(told: Spans, job: Job) -> None:
    hear(job, started("w1"), completed("w1"))

    assert names(told) == [("settle scan", "completed")]


def test_a_worker_that_another_replaced_is_told_of(told: Spans, job: Job) -> None:
    hear(job, started("w1"), started("w2", 2), completed("w2"))

    assert names(told) == [("process scan", "lost"), ("settle scan", "completed")]


def test_a_worker_whose_attempt_the_orchestrator_ended_is_told_of(told: Spans, job: Job) -> None:
    end = StepFailed(attempt=1, worker="orchestrator", at=AT + timedelta(seconds=5), reason=Reason.SHUTDOWN)

    hear(job, started("w1"), end)

    assert names(told) == [("process scan", "lost"), ("settle scan", "failed")]


def test_a_command_that_is_admitted_says_how_long_it_waited(told: Spans, job: Job) -> None:
    def observed() -> float:
        return REGISTRY.get_sample_value("ingest_queue_wait_seconds_sum", {"priority": "default"}) or 0.0

    before = observed()

    telling.admitted(job, "scan", 1, AT + timedelta(seconds=7))
    telling.admitted(job, "scan", 2, AT + timedelta(seconds=7))  # not of the attempt that the record knows
    telling.admitted(None, "scan", 1, AT)

    [span] = told.take()["job1"]
    assert (span.name, span.seconds) == ("dispatch scan", 7.0)
    assert observed() - before == 7.0


def test_the_first_job_that_fails_is_an_increase() -> None:
    telling.begin()

    assert REGISTRY.get_sample_value("ingest_jobs_total", {"state": "FAILED"}) is not None
    assert REGISTRY.get_sample_value("ingest_jobs_total", {"state": "RUNNING"}) is None


def test_a_thousand_jobs_add_no_series(job: Job) -> None:
    def series() -> int:
        return sum(len(list(family.samples)) for family in REGISTRY.collect() if family.name.startswith("ingest_"))

    def run(number: int) -> None:
        one = job.model_copy(update={"id": f"job{number}"})
        telling.admitted(one, "scan", 1, AT)
        telling.job_ended(hear(one, started("w1"), completed("w1")))

    run(0)
    before = series()
    for number in range(1, 1001):
        run(number)

    assert series() == before


def test_the_queue_is_measured_by_step_and_priority_and_what_has_gone_is_forgotten() -> None:
    def waiting() -> float | None:
        return REGISTRY.get_sample_value("ingest_queue_commands", {"step": "scan", "priority": "high"})

    telling.queue([], {("job1", "scan"): "high", ("job2", "scan"): "high", ("job3", "scan"): "odd"}, AT)
    assert waiting() == 2

    telling.queue([], {}, AT)
    assert waiting() is None
