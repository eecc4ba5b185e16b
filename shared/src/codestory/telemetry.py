"""The name of every span, metric and log field, and how a process says what it does. No other file names one."""

import importlib.metadata
import logging
import sys
from typing import Any, TextIO

import structlog
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, Span, SpanKind
from prometheus_client import Counter, Gauge, Histogram

#: Labels hold nothing that grows with jobs.
JOBS_ENDED = Counter("ingest_jobs", "Runs of jobs that ended, by state", ["state"])
JOBS = Gauge("ingest_jobs_now", "Jobs known now, by state", ["state"])
STEP_SECONDS = Histogram(
    "ingest_step_duration_seconds",
    "Duration of attempts, by step and outcome",
    ["step", "outcome"],
    buckets=(1, 5, 15, 60, 300, 900, 3600, 14400),
)
STEP_ATTEMPTS = Counter("ingest_step_attempts", "Attempts that ended, by step and reason", ["step", "reason"])
TOKENS = Gauge("ingest_resource_tokens", "Steps that may be admitted, and those admitted", ["state"])
RECONCILED = Counter("ingest_reconciled", "Commands sent again because no stream held them")
DEAD_LETTERS = Gauge("ingest_dlq_messages", "Commands that the server or a worker gave up")

TRACER = "codestory.ingestion"


def configure(service: str, *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """JSON lines on stderr, and a tracer. Called once, by each process's main."""
    trace.set_tracer_provider(TracerProvider(resource=Resource.create({"service.name": service})))
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _named(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(capture=True)
    for chatty in ("httpx", "httpcore", "neo4j", "nats", "faststream", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _named(service: str) -> Any:
    def add(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
        return {"service": service, **event}

    return add


def version() -> str:
    """Of the shared library, which every part of one deployment has in common."""
    return importlib.metadata.version("codestory")


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """`log.info("step.ended", step=…)`: a constant event name and fields, not prose."""
    return structlog.stdlib.get_logger(name)


def bind(**fields: Any) -> None:
    """Fields that every further line of this task carries."""
    structlog.contextvars.bind_contextvars(**fields)


def traceparent(span: Span) -> str:
    """The W3C trace context of a span, as it travels in headers and records."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, trace.set_span_in_context(span))
    return carrier.get("traceparent", "")


def submit_span() -> Span:
    """The span of the request that submits a job: the root of what its attempts link to."""
    return trace.get_tracer(TRACER).start_span("submit job", kind=SpanKind.PRODUCER)


def attempt_span(step: str, parent: str) -> Span:
    """One trace per attempt, linked to the span of the request that submitted the job."""
    context = trace.get_current_span(propagate.extract({"traceparent": parent})).get_span_context()
    links = [Link(context)] if context.is_valid else []
    return trace.get_tracer(TRACER).start_span(f"process {step}", kind=SpanKind.CONSUMER, links=links)


def trace_id(span: Span) -> str:
    return f"{span.get_span_context().trace_id:032x}"
