"""The trace of a job: what its services told, and what the record knows where they could not."""

from datetime import UTC, datetime, timedelta

import pytest

from codestory.bus import Stored, encoded
from codestory.contracts.jobs import Attempt, Job, Repository
from codestory.contracts.plans import StepPlan
from codestory.contracts.traces import SpanBatch, SpanView
from codestory.contracts.values import Reason, StepState
from codestory_orchestrator import pipeline
from codestory_orchestrator.history import spans

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
REQUEST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FIRST, SECOND = (f"00-{digit * 32}-{digit * 16}-01" for digit in "12")
SUBMIT = SpanView(
    trace_id="0af7651916cd43dd8448eb211c80319c",
    span_id="b7ad6b7169203331",
    name="submit job",
    started_at=AT,
    ended_at=AT,
)


@pytest.fixture
def job() -> Job:
    """Its first attempt failed, its second goes on."""
    repository = Repository(id="r", name="shop", path="/srv/shop")
    job = pipeline.make("job1", repository, (StepPlan(name="scan"),), at=AT, traceparent=REQUEST)
    failed = Attempt(
        number=1,
        worker="w1",
        started_at=AT,
        ended_at=AT + timedelta(seconds=2),
        state=StepState.FAILED,
        reason=Reason.CRASHED,
        traceparent=FIRST,
    )
    going = Attempt(number=2, worker="w2", started_at=AT + timedelta(seconds=3), traceparent=SECOND)
    return job.having("scan", attempts=(failed, going))


def stored(*views: SpanView) -> Stored:
    return Stored("codestory.span.job1.scan", 1, encoded(SpanBatch(spans=views)))


def test_what_no_service_told_is_made_of_the_record(job: Job) -> None:
    found = spans.trace(job, (), 100, truncated=False)

    submit, first, second = found.spans
    assert (submit.name, submit.span_id) == ("submit job", "b7ad6b7169203331")
    assert (first.status, first.message, first.seconds) == ("error", "crashed", 2.0)
    assert (second.ended_at, second.status) == (None, "ok")
    assert {link for one in (first, second) for link in one.links} == {f"{submit.trace_id}-{submit.span_id}"}
    assert all(one.attributes["codestory.from_record"] for one in found.spans)


def test_what_a_service_told_is_told_instead_and_once(job: Job) -> None:
    own = SpanView(trace_id="1" * 32, span_id="1" * 16, name="process scan", started_at=AT, message="it told")

    found = spans.trace(job, [SUBMIT, own, own], 100, truncated=False)

    assert [one.message for one in found.spans if one.span_id == own.span_id] == ["it told"]
    assert [one.attributes for one in found.spans if one.name == "submit job"] == [{}]


def test_what_cannot_be_read_is_left_out() -> None:
    messages = [Stored("codestory.span.job1.scan", 1, data) for data in (b"", b"\xff", b"[]", b'{"spans": [{}]}')]

    assert list(spans.told([*messages, stored(SUBMIT)])) == [SUBMIT]


def test_a_trace_is_bounded_and_says_so(job: Job) -> None:
    many = [SpanView(trace_id="1" * 32, span_id=f"{n:016x}", name="x", started_at=AT) for n in range(50)]

    found = spans.trace(job, many, 10, truncated=False)

    assert (len(found.spans), found.truncated) == (10, True)


def test_a_job_of_which_nothing_is_known_has_no_spans(job: Job) -> None:
    bare = job.model_copy(update={"traceparent": ""}).having("scan", attempts=())

    assert spans.trace(bare, (), 10, truncated=False).spans == ()
