"""Spans of attempts: derived ids, what hangs on what, and that a sampler takes nothing from what is kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from codestory.contracts.results import Usage
from codestory.contracts.traces import SpanView
from codestory.telemetry import Attempt, End, Part, Sink, kept, traces

SUBMITTED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ATTEMPT = Attempt("job1", "scan", 1, SUBMITTED, "vendor=1")
AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
END = End("completed", "w1", Usage())


class Told:
    """All that is kept, and all that is exported."""

    def __init__(self, sink: Sink) -> None:
        self._kept, self._exporter = kept.Spans(), InMemorySpanExporter()
        sink.add(self._kept)
        sink.add(SimpleSpanProcessor(self._exporter))

    def kept(self) -> dict[str, SpanView]:
        return {span.name: span for spans in self._kept.take().values() for span in spans}

    def exported(self) -> set[str]:
        return {span.name for span in self._exporter.get_finished_spans()}


@pytest.fixture
def sampler() -> str:
    return "parentbased_always_on"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, sampler: str) -> Iterator[Told]:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    sink = Sink(Resource.create({"service.name": "test"}))
    traces.send_to(sink)
    yield Told(sink)
    traces.send_to(None)


def run(attempt: Attempt = ATTEMPT, parts: tuple[Part, ...] = ()) -> None:
    """Dispatched, processed, settled."""
    traces.dispatched(attempt, AT, AT + timedelta(seconds=2))
    process = traces.process(attempt, traces.dispatch_context(attempt))
    traces.ended(process, END, parts)
    traces.settled(attempt, process.traceparent, "completed", began=AT, until=AT + timedelta(seconds=5))


def test_an_attempt_is_one_trace_that_links_to_the_request(told: Told) -> None:
    run()

    spans = told.kept()
    dispatch, process, settle = (spans[f"{verb} scan"] for verb in ("dispatch", "process", "settle"))
    assert {span.trace_id for span in spans.values()} == {traces.dispatch_context(ATTEMPT).split("-")[1]}
    assert (dispatch.parent_id, process.parent_id, settle.parent_id) == ("", dispatch.span_id, process.span_id)
    assert dispatch.links == ("0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",)
    assert (dispatch.seconds, settle.seconds) == (2.0, 5.0)


def test_whoever_dispatches_it_says_the_same_and_another_attempt_is_another_trace(told: Told) -> None:
    first, again = traces.dispatch_context(ATTEMPT), traces.dispatch_context(ATTEMPT)
    other = traces.dispatch_context(Attempt("job1", "scan", 2, SUBMITTED))

    assert first == again
    assert first.split("-")[1] != other.split("-")[1]
    assert told.kept() == {}


def test_what_was_timed_in_a_phase_hangs_on_the_phase(told: Told) -> None:
    second = 10**9
    parts = (
        Part(name="graph write", started=3 * second, ended=9 * second),
        Part(name="summarizing", started=2 * second, ended=5 * second, phase=True),
        Part(name="model call", started=3 * second, ended=4 * second, said={"tokens": 5}),
    )

    run(parts=parts)

    spans = told.kept()
    assert spans["model call"].parent_id == spans["summarizing"].span_id
    assert spans["model call"].attributes["tokens"] == 5
    assert spans["graph write"].parent_id == spans["summarizing"].parent_id == spans["process scan"].span_id


def test_the_span_of_a_worker_that_is_gone_is_told_with_its_own_id(told: Told) -> None:
    own = traces.process(ATTEMPT, "").traceparent  # begun, and never told

    traces.lost(ATTEMPT, own, began=AT, until=AT + timedelta(seconds=3), worker="w1", why="it was killed")

    [span] = told.kept().values()
    assert f"00-{span.trace_id}-{span.span_id}-01" == own
    assert (span.status, span.message, span.seconds) == ("error", "it was killed", 3.0)
    assert span.parent_id == traces.dispatch_id("job1", "scan", 1)


@pytest.mark.parametrize("header", ["", "garbage", SUBMITTED, "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_command_whose_context_is_none_of_its_own_is_still_in_its_own_trace(told: Told, header: str) -> None:
    traces.ended(traces.process(ATTEMPT, header), END, ())

    assert told.kept()["process scan"].parent_id == traces.dispatch_id("job1", "scan", 1)


def test_a_job_without_a_request_has_no_link(told: Told) -> None:
    run(Attempt("job1", "scan", 1, "not a context"))

    assert told.kept()["process scan"].links == ()


@pytest.mark.parametrize("sampler", ["always_off", "parentbased_always_off"])
def test_what_is_not_sampled_is_kept_and_not_exported(told: Told) -> None:
    run()

    assert traces.dispatch_context(ATTEMPT).endswith("-00")
    assert told.exported() == set()
    assert told.kept().keys() == {"dispatch scan", "process scan", "settle scan"}


def test_the_submission_is_part_of_the_callers_trace(told: Told) -> None:
    with traces.within({"traceparent": SUBMITTED, "tracestate": "vendor=1"}), traces.submit_span() as span:
        traces.submitted(span, "job1")
        context = traces.traceparent(span), traces.tracestate(span)

    submit = told.kept()["submit job"]
    assert (submit.trace_id, submit.parent_id) == tuple(SUBMITTED.split("-")[1:3])
    assert context == (f"00-{submit.trace_id}-{submit.span_id}-01", "vendor=1")


def test_a_span_of_no_job_is_not_kept(told: Told) -> None:
    with traces.submit_span():
        pass

    assert told.kept() == {}
    assert told.exported() == {"submit job"}


def test_what_waits_to_be_kept_is_bounded(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_HELD", 2)

    run()

    assert len(told.kept()) == 2
