"""Spans and log lines of jobs, held until whoever has a bus puts them beside the job's events. Bounded."""

import logging
import re
from collections import OrderedDict, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import StatusCode

from codestory.contracts.traces import SpanView
from codestory.telemetry import logs, metrics, traces

#: Of each kind, that wait for the bus.
MOST_HELD = 5000
#: Jobs whose lines are counted.
MOST_JOBS = 1000
#: Of one job, that this process writes about it. A step's own lines are counted by its host.
MOST_LINES = 1000
#: As a job's id, and a step's name, may be.
WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: After this event there is nothing left for a line to lie beside.
FORGOTTEN = "job.forgotten"
#: Lines of this logger are on the bus already.
KEPT_ALREADY = "codestory.steps.output"


class Line(NamedTuple):
    job: str
    #: Empty: it is about the job itself.
    step: str
    text: bytes


class Spans(SpanProcessor):
    """Of jobs only."""

    def __init__(self) -> None:
        self._held = deque[tuple[str, SpanView]]()

    def on_end(self, span: ReadableSpan) -> None:
        job = (span.attributes or {}).get(traces.JOB)
        if not isinstance(job, str) or not WORD.fullmatch(job):
            return
        if len(self._held) >= MOST_HELD:
            metrics.SPANS_DROPPED.inc()
            return
        self._held.append((job, view(span)))

    def take(self) -> Mapping[str, list[SpanView]]:
        """What has come since, by job."""
        found: dict[str, list[SpanView]] = {}
        for _ in range(len(self._held)):
            job, span = self._held.popleft()
            found.setdefault(job, []).append(span)
        return found


class Lines(logging.Handler):
    """What this process logs about a job."""

    def __init__(self, service: str, level: int | str) -> None:
        super().__init__(level)
        self.setFormatter(logs.JsonLines(service))
        self._held = deque[Line]()
        self._counts = OrderedDict[str, int]()

    def emit(self, record: logging.LogRecord) -> None:
        job, step = logs.job_of(record)
        if not job or record.name == KEPT_ALREADY or not WORD.fullmatch(job) or (step and not WORD.fullmatch(step)):
            return
        if record.getMessage() == FORGOTTEN:
            self._held = deque(line for line in self._held if line.job != job)
            return
        if len(self._held) >= MOST_HELD or not self._room(job):
            metrics.LINES_DROPPED.inc()
            return
        self._held.append(Line(job, step, self.format(record).encode()))

    def _room(self, job: str) -> bool:
        count = self._counts.get(job, 0) + 1
        self._counts[job] = count
        self._counts.move_to_end(job)
        if len(self._counts) > MOST_JOBS:
            self._counts.popitem(last=False)
        return count <= MOST_LINES

    def take(self) -> list[Line]:
        return [self._held.popleft() for _ in range(len(self._held))]


def view(span: ReadableSpan) -> SpanView:
    context, parent = span.get_span_context(), span.parent
    assert context
    began = _moment(span.start_time or 0)
    return SpanView(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{parent.span_id:016x}" if parent else "",
        links=tuple(f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in span.links),
        name=span.name[:200],
        kind=span.kind.name.lower(),
        service=str(span.resource.attributes.get("service.name", ""))[:200],
        started_at=began,
        ended_at=_moment(span.end_time) if span.end_time else began,
        status="error" if span.status.status_code is StatusCode.ERROR else "ok",
        message=(span.status.description or "")[:500],
        attributes={
            key: value[:500] if isinstance(value, str) else value
            for key, value in (span.attributes or {}).items()
            if isinstance(value, str | int | float) and key not in _SAID_ELSEWHERE
        },
    )


#: What the name, the job and the kind say already.
_SAID_ELSEWHERE = frozenset(
    {
        traces.JOB,
        traces.SYSTEM,
        traces.OPERATION,
        traces.OPERATION_TYPE,
        traces.DESTINATION,
        traces.TEMPLATE,
        traces.GROUP,
        traces.CONVERSATION,
    }
)


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
