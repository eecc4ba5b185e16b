"""The spans of a job: those that its services told, and from its record what none of them could tell. No server."""

from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from codestory import telemetry
from codestory.bus import Stored
from codestory.contracts.jobs import Attempt, Job
from codestory.contracts.traces import SpanBatch, SpanView, Trace
from codestory.contracts.values import StepState


def told(stored: Iterable[Stored]) -> Iterator[SpanView]:
    """Anybody may write anything there: what cannot be read is left out."""
    for one in stored:
        try:
            yield from SpanBatch.model_validate_json(one.data).spans
        except ValidationError:
            continue


def trace(job: Job, spans: Iterable[SpanView], most: int, *, truncated: bool) -> Trace:
    """All that is known, the oldest first, each once: what was said last of it."""
    known = {(span.trace_id, span.span_id): span for span in spans}
    for span in _from_record(job):
        known.setdefault((span.trace_id, span.span_id), span)
    ordered = sorted(known.values(), key=lambda span: (span.started_at, span.name != telemetry.SUBMIT, span.span_id))
    return Trace(job=job.id, spans=tuple(ordered[:most]), truncated=truncated or len(ordered) > most)


def _from_record(job: Job) -> Iterator[SpanView]:
    if submitted := telemetry.split(job.traceparent):
        yield SpanView(
            trace_id=submitted[0],
            span_id=submitted[1],
            name=telemetry.SUBMIT,
            kind="producer",
            service="orchestrator",
            started_at=job.created_at,
            ended_at=job.created_at,
            attributes={telemetry.FROM_RECORD: True},
        )
    for step, record in job.steps.items():
        for attempt in record.attempts:
            if (ids := telemetry.split(attempt.traceparent)) and attempt.started_at:
                yield _of_attempt(job, step, attempt, ids)


def _of_attempt(job: Job, step: str, attempt: Attempt, ids: tuple[str, str]) -> SpanView:
    submitted = telemetry.split(job.traceparent)
    failed = attempt.state is StepState.FAILED
    assert attempt.started_at
    return SpanView(
        trace_id=ids[0],
        span_id=ids[1],
        parent_id=telemetry.dispatch_id(job.id, step, attempt.number),
        links=(f"{submitted[0]}-{submitted[1]}",) if submitted else (),
        name=f"{telemetry.PROCESS} {step}",
        kind="consumer",
        service=f"step-{step}",
        started_at=attempt.started_at,
        ended_at=max(attempt.started_at, attempt.ended_at) if attempt.ended_at else None,
        status="error" if failed else "ok",
        message=(attempt.message or attempt.reason or "")[:500] if failed else "",
        attributes={
            telemetry.STEP: step,
            telemetry.ATTEMPT: attempt.number,
            telemetry.OUTCOME: attempt.state.lower(),
            telemetry.WORKER: attempt.worker,
            telemetry.FROM_RECORD: True,
        },
    )
