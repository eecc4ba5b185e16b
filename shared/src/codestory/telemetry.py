"""The name of every span, metric and log field, and how a process says what it does. No other file names one."""

import importlib.metadata
import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TextIO

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
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(capture=True)
    for chatty in ("httpx", "httpcore", "neo4j", "nats", "faststream", "uvicorn", "azure", "msal"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """One object a line: time, level, service, event, what is bound to the task, the fields of the call."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "service": self._service,
            "event": record.getMessage(),
            **_bound.get(),
            **{key: value for key, value in vars(record).items() if key not in ORDINARY},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(line, default=str)
        return text if len(text) <= LONGEST_LINE else json.dumps(_shortened(line))


def _shortened(line: dict[str, Any]) -> dict[str, Any]:
    """Its first fields, of each so much as tells what it was; of a traceback the end."""
    fields = {key[:LONGEST_KEY]: json.dumps(value, default=str) for key, value in islice(line.items(), MOST_FIELDS)}
    if "exception" in line:
        fields["exception"] = json.dumps(line["exception"])
    short = {
        key: json.loads(text)
        if len(text) <= LONGEST_FIELD
        else text[-LONGEST_FIELD:]
        if key == "exception"
        else text[:LONGEST_FIELD]
        for key, text in fields.items()
    }
    return short | {"cut": True}


#: Characters of a line, which is ASCII. Longer than any that we mean to write: what comes from outside, as a message or
#: a name, must not fill a disk.
LONGEST_LINE = 65_536
#: Of a line that is longer: what is left of it. Escaped a second time a field takes twice as much.
LONGEST_KEY, LONGEST_FIELD, MOST_FIELDS = 100, 750, 40
#: What every log record has; the rest of its attributes are fields of the call.
ORDINARY = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}
_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039  # never changed in place


class Log:
    """`log.info("step.ended", step=…)`: a constant event name and fields, not prose."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def log(self, level: int, event: str, /, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        # A field may be called like an attribute of every record, which logging would refuse.
        extra = {f"{key}_" if key in ORDINARY else key: value for key, value in fields.items()}
        self._logger.log(level, "%s", event, exc_info=exc_info, extra=extra)

    def info(self, event: str, /, **fields: Any) -> None:
        self.log(logging.INFO, event, **fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        self.log(logging.WARNING, event, **fields)

    def error(self, event: str, /, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        self.log(logging.ERROR, event, exc_info=exc_info, **fields)


def version() -> str:
    """Of the shared library, which every part of one deployment has in common."""
    return importlib.metadata.version("codestory")


def logger(name: str) -> Log:
    return Log(name)


def bind(**fields: Any) -> None:
    """Fields that every further line of this task carries."""
    _bound.set(_bound.get() | fields)


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
