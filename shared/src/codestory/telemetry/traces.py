"""Spans: their names, attributes and ids. One trace of the request that submits a job, and one of each attempt, which
links to it: dispatch, below it process with its phases, below that settle.

All but the first are told once they have ended, from times that others have noted: they are made at once, without the
bookkeeping of spans that go on."""

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes, AttributeValue

from codestory.contracts.results import Usage
from codestory.telemetry import ids
from codestory.telemetry.parts import Part

TRACER = "codestory.ingestion"
#: The beginnings of the spans' names; behind them stands the step.
SUBMIT, DISPATCH, PROCESS, SETTLE = "submit job", "dispatch", "process", "settle"
#: The whole name.
FETCH = "fetch repository"

#: Attributes of our own.
JOB, STEP, ATTEMPT, RUN = "codestory.job.id", "codestory.step", "codestory.attempt", "codestory.job.run"
WORKER, OUTCOME, PHASE = "codestory.worker", "codestory.outcome", "codestory.phase"
CPU, MEMORY = "codestory.cpu_seconds", "codestory.peak_memory_bytes"
COUNT, BUSY = "codestory.count", "codestory.busy_seconds"
#: The span was told by another process than the one that did it; or by none, and is made of the job's record.
TOLD_BY_ANOTHER, FROM_RECORD = "codestory.told_by_another", "codestory.from_record"
#: By OpenTelemetry's conventions for messaging.
SYSTEM, OPERATION, OPERATION_TYPE = "messaging.system", "messaging.operation.name", "messaging.operation.type"
DESTINATION, TEMPLATE = "messaging.destination.name", "messaging.destination.template"
GROUP, CONVERSATION, ERROR = "messaging.consumer.group.name", "messaging.message.conversation_id", "error.type"

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
#: Of a reason, as a span holds it.
REASON_CHARS = 300

_w3c = TraceContextTextMapPropagator()
_ids = RandomIdGenerator()
_scope = InstrumentationScope(TRACER)


class Recording(Sampler):
    """What the deployment's own sampler leaves out is not exported, but still kept beside the job's events."""

    def __init__(self, of: Sampler) -> None:
        self._of = of

    def should_sample(  # noqa: PLR0917  # the SDK's own signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        result = self._of.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is not Decision.DROP:
            return result
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def get_description(self) -> str:
        return f"Recording({self._of.get_description()})"

    def samples(self, trace_id: int) -> bool:
        """A trace that begins with this id."""
        return self._of.should_sample(None, trace_id, DISPATCH).decision.is_sampled()


class Sink:
    """Where a process's spans go."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.sampler = Recording(TracerProvider(shutdown_on_exit=False).sampler)  # as the environment says
        self.provider = TracerProvider(self.sampler, resource, shutdown_on_exit=False)
        self._processors: list[SpanProcessor] = []

    def add(self, processor: SpanProcessor) -> None:
        self.provider.add_span_processor(processor)
        self._processors.append(processor)

    def take(self, span: ReadableSpan) -> None:
        for processor in self._processors:
            processor.on_end(span)


class _Process:
    sink: Sink | None = None


def send_to(sink: Sink | None) -> None:
    """From now on the spans of this process go there; None: nowhere."""
    _Process.sink = sink


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which attempt, and the W3C context of the request that submitted its job."""

    job: str
    step: str
    number: int
    traceparent: str = ""
    tracestate: str = ""
    run: int = 1


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended. `reason`: why it failed, one of a few words, or empty."""

    outcome: str
    worker: str
    usage: Usage
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Process:
    """A worker's try of an attempt, which goes on."""

    attempt: Attempt
    context: SpanContext
    parent: SpanContext
    began: int = field(default_factory=time.time_ns)

    @property
    def traceparent(self) -> str:
        return _traceparent(self.context)

    @property
    def trace_id(self) -> str:
        return f"{self.context.trace_id:032x}"

    @property
    def span_id(self) -> str:
        return f"{self.context.span_id:016x}"


# contexts as they travel


def traceparent(span: Span) -> str:
    """The W3C trace context of a span, as it travels in headers and records."""
    context = span.get_span_context()
    return _traceparent(context) if context.is_valid else ""


def tracestate(span: Span) -> str:
    return span.get_span_context().trace_state.to_header()


def trace_id_in(traceparent: str) -> str:
    """Empty where it says none."""
    found = split(traceparent)
    return found[0] if found else ""


def split(traceparent: str) -> tuple[str, str] | None:
    """Trace id and span id; None where it says none."""
    context = _context(traceparent)
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


def dispatch_id(job: str, step: str, attempt: int) -> str:
    return f"{ids.of_attempt(job, step, attempt)[1]:016x}"


def dispatch_context(attempt: Attempt) -> str:
    """The context of the attempt's first span, which its command bears. It need not exist yet."""
    return _traceparent(_dispatch(attempt))


@contextmanager
def within(headers: Mapping[str, str]) -> Generator[None]:
    """What is done inside is part of the caller's trace, if the headers of the request name one."""
    token = contexts.attach(_w3c.extract(dict(headers)))
    try:
        yield
    finally:
        contexts.detach(token)


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@lru_cache(maxsize=4096)
def _context(traceparent: str, tracestate: str = "") -> SpanContext:
    carrier = {TRACEPARENT: traceparent, TRACESTATE: tracestate}
    return trace.get_current_span(_w3c.extract(carrier, Context())).get_span_context()


def _dispatch(attempt: Attempt) -> SpanContext:
    trace_id, span_id = ids.of_attempt(attempt.job, attempt.step, attempt.number)
    sampled = _Process.sink is None or _Process.sink.sampler.samples(trace_id)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=_flags(sampled=sampled))


def _flags(*, sampled: bool) -> TraceFlags:
    return TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)


def _below(parent: SpanContext) -> SpanContext:
    """A new span of the same trace."""
    return SpanContext(parent.trace_id, _ids.generate_span_id(), is_remote=False, trace_flags=parent.trace_flags)


# spans


def submit_span() -> Span:
    """Of the request that submits a job: the root of what its attempts link to. Part of the caller's trace, if any."""
    attributes = {SYSTEM: "nats", OPERATION: "submit", OPERATION_TYPE: "create"}
    provider = _Process.sink.provider if _Process.sink else trace.get_tracer_provider()
    return provider.get_tracer(TRACER).start_span(SUBMIT, kind=SpanKind.PRODUCER, attributes=attributes)


def submitted(span: Span, job: str) -> None:
    span.set_attributes({JOB: job, CONVERSATION: job})


def fetched(job: str, traceparent: str, *, began: datetime, until: datetime, problem: str = "") -> None:
    """A repository that lies elsewhere was brought here, or was not: below the submission."""
    parent = _context(traceparent)
    if parent.is_valid:
        status = Status(StatusCode.ERROR, problem[:REASON_CHARS]) if problem else None
        _tell(FETCH, _below(parent), parent, {JOB: job}, _nanoseconds(began), _nanoseconds(until), status=status)


def dispatched(attempt: Attempt, since: datetime | None, until: datetime) -> None:
    """The attempt's command was admitted. The span is how long that took since it was ready."""
    began = min(since or until, until)
    _told(DISPATCH, attempt, _dispatch(attempt), None, _nanoseconds(began), _nanoseconds(until), {})


def process(attempt: Attempt, header: str) -> Process:
    """A worker begins with it. `header`: the context that its command bears. Told by `ended`, or by another: `lost`."""
    parent, own = _context(header), _dispatch(attempt)
    parent = parent if parent.trace_id == own.trace_id else own
    return Process(attempt, _below(parent), parent)


def ended(process: Process, end: End, parts: Iterable[Part]) -> None:
    """How the attempt ended, and what it did."""
    said: dict[str, AttributeValue] = {
        OUTCOME: end.outcome,
        WORKER: end.worker,
        CPU: end.usage.cpu_seconds,
        MEMORY: end.usage.peak_memory_bytes,
    }
    status = None
    if end.reason:
        said[ERROR] = end.reason
        status = Status(StatusCode.ERROR, end.message[:REASON_CHARS])
    _parts(process, parts)
    _told(PROCESS, process.attempt, process.context, process.parent, process.began, time.time_ns(), said, status)


def _parts(process: Process, parts: Iterable[Part]) -> None:
    """Phases below the process span; what was timed inside a phase below that."""
    attempt, phases = process.attempt, list[tuple[Part, SpanContext]]()
    common: dict[str, AttributeValue] = {JOB: attempt.job, STEP: attempt.step, ATTEMPT: attempt.number}
    for part in sorted(parts, key=lambda part: (part.started, not part.phase)):
        around = next((context for phase, context in reversed(phases) if _holds(phase, part)), process.context)
        context = _below(around)
        said = common | part.said | ({COUNT: part.count, BUSY: part.seconds} if part.count > 1 else {})
        if part.phase:
            phases.append((part, context))
            said[PHASE] = True
        status = Status(StatusCode.ERROR) if part.failed else None
        _tell(part.name, context, around, said, part.started, max(part.ended, part.started), status=status)


def _holds(phase: Part, part: Part) -> bool:
    return not part.phase and phase.started <= part.started and part.ended <= phase.ended


def lost(attempt: Attempt, context: str, *, began: datetime, until: datetime, worker: str, why: str) -> None:
    """The process span of a worker that cannot tell of it any more. `context`: what it said when it began."""
    own = _context(context)
    if own.is_valid:
        said: dict[str, AttributeValue] = {OUTCOME: "lost", WORKER: worker, ERROR: "lost", TOLD_BY_ANOTHER: True}
        status = Status(StatusCode.ERROR, why[:REASON_CHARS])
        times = _nanoseconds(min(began, until)), _nanoseconds(until)
        _told(PROCESS, attempt, own, _dispatch(attempt), *times, said, status)


def settled(attempt: Attempt, context: str, outcome: str, *, began: datetime, until: datetime) -> None:
    """What an attempt's last word led to has been done. `context`: of its process span."""
    own = _context(context)
    parent = own if own.is_valid else _dispatch(attempt)
    times = _nanoseconds(min(began, until)), _nanoseconds(until)
    _told(SETTLE, attempt, _below(parent), parent, *times, {OUTCOME: outcome})


_KINDS = {
    DISPATCH: (SpanKind.PRODUCER, "send"),
    PROCESS: (SpanKind.CONSUMER, "process"),
    SETTLE: (SpanKind.CLIENT, "settle"),
}


def _told(  # noqa: PLR0917  # one call a kind of span
    operation: str,
    attempt: Attempt,
    context: SpanContext,
    parent: SpanContext | None,
    began: int,
    until: int,
    said: Mapping[str, AttributeValue],
    status: Status | None = None,
) -> None:
    kind, operation_type = _KINDS[operation]
    destination = f"run.{attempt.step}"
    attributes: dict[str, AttributeValue] = {
        JOB: attempt.job,
        STEP: attempt.step,
        ATTEMPT: attempt.number,
        RUN: attempt.run,
        SYSTEM: "nats",
        OPERATION: operation,
        OPERATION_TYPE: operation_type,
        DESTINATION: destination,
        TEMPLATE: f"{destination}.{{job}}",
        GROUP: attempt.step,
        CONVERSATION: attempt.job,
        **said,
    }
    request = _context(attempt.traceparent, attempt.tracestate)
    links = (Link(request),) if request.is_valid else ()
    name = f"{operation} {attempt.step}"
    _tell(name, context, parent, attributes, began, until, kind=kind, links=links, status=status)


def _tell(  # noqa: PLR0917  # as ReadableSpan takes them
    name: str,
    context: SpanContext,
    parent: SpanContext | None,
    attributes: Mapping[str, AttributeValue],
    began: int,
    until: int,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Sequence[Link] = (),
    status: Status | None = None,
) -> None:
    if sink := _Process.sink:
        sink.take(
            ReadableSpan(
                name=name,
                context=context,
                parent=parent,
                resource=sink.resource,
                attributes=attributes,
                links=links,
                kind=kind,
                status=status or Status(),
                start_time=began,
                end_time=until,
                instrumentation_scope=_scope,
            )
        )


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
