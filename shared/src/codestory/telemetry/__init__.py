"""The name of every span, metric and log field, and how a process says what it does. No other room names one."""

import importlib.metadata
import logging
import sys
import threading
from typing import TextIO

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from codestory.telemetry import kept, parts
from codestory.telemetry.logs import LONGEST_LINE, JsonLines, Log, Seldom, bind, logger
from codestory.telemetry.metrics import (
    DEAD_LETTERS,
    DEPENDENCY,
    FENCED,
    JOB_SECONDS,
    JOBS,
    JOBS_ENDED,
    LISTENERS,
    MODEL_REQUESTS,
    MODEL_SECONDS,
    MODEL_SPEND,
    MODEL_TOKENS,
    QUEUE_OLDEST,
    QUEUE_WAIT,
    QUEUED,
    QUIET,
    RECONCILED,
    RUNNING,
    STEP_ATTEMPTS,
    STEP_CPU,
    STEP_MEMORY,
    STEP_SECONDS,
    TOKENS,
    Count,
    Counted,
    add,
    lag,
    redacted,
)
from codestory.telemetry.parts import CHILD_START, GRAPH_WRITE, MODEL_CALL, ORDER, SNAPSHOT, Part, Parts, part
from codestory.telemetry.settings import TelemetrySettings
from codestory.telemetry.traces import (
    ATTEMPT,
    DISPATCH,
    FROM_RECORD,
    OUTCOME,
    PROCESS,
    SETTLE,
    STEP,
    SUBMIT,
    TRACEPARENT,
    TRACESTATE,
    WORKER,
    Attempt,
    End,
    Process,
    Sink,
    dispatch_context,
    dispatch_id,
    dispatched,
    ended,
    fetched,
    lost,
    process,
    send_to,
    settled,
    split,
    submit_span,
    submitted,
    trace_id_in,
    traceparent,
    tracestate,
    within,
)

CHATTY = ("httpx", "httpcore", "neo4j", "nats", "faststream", "uvicorn", "azure", "msal", "urllib3", "opentelemetry")


class _Process:
    """What this process has been set up with."""

    spans: kept.Spans | None = None
    lines: kept.Lines | None = None
    sink: Sink | None = None


def configure(service: str, *, level: str = "INFO", stream: TextIO | None = None, keeps: bool = False) -> None:
    """JSON lines on stderr, and a tracer. Called once, by each process's main.

    `keeps`: this process has a bus, so that what it says of jobs is held for `spans` and `lines`, and its spans are
    exported where the environment says so. A step's process has none: its host tells."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(service))
    handler.addFilter(Seldom())
    handlers: list[logging.Handler] = [handler]
    if keeps:
        _trace(service)
        _Process.lines = kept.Lines(service, level)
        handlers.append(_Process.lines)
    logging.basicConfig(handlers=handlers, level=level, force=True)
    logging.captureWarnings(capture=True)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _trace(service: str) -> None:
    sink = Sink(Resource.create({"service.name": service, "service.version": version()}))
    _Process.spans, _Process.sink = kept.Spans(), sink
    sink.add(_Process.spans)
    settings = TelemetrySettings()
    if settings.exports:
        # Only who exports waits for its imports. A queue that is full drops; who takes them may be away.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        try:
            headers = settings.headers()
        except OSError as error:
            sys.exit(f"codestory: OTEL_EXPORTER_OTLP_HEADERS_FILE cannot be read: {error}")
        sink.add(BatchSpanProcessor(OTLPSpanExporter(headers=headers)))
    send_to(sink)
    trace.set_tracer_provider(sink.provider)


def spans() -> kept.Spans:
    """What waits to be put beside the events of jobs."""
    return _Process.spans or kept.Spans()


def lines() -> kept.Lines:
    return _Process.lines or kept.Lines("", logging.INFO)


def close(seconds: float) -> None:
    """Export what is left, for so long at most: who takes spans may be away, and no process waits for it."""
    if _Process.sink:
        closing = threading.Thread(target=_Process.sink.provider.shutdown, daemon=True)
        closing.start()
        closing.join(seconds)


def version() -> str:
    """Of the shared library, which every part of one deployment has in common."""
    return importlib.metadata.version("codestory")


__all__ = [
    "ATTEMPT",
    "CHILD_START",
    "DEAD_LETTERS",
    "DEPENDENCY",
    "DISPATCH",
    "FENCED",
    "FROM_RECORD",
    "GRAPH_WRITE",
    "JOBS",
    "JOBS_ENDED",
    "JOB_SECONDS",
    "LISTENERS",
    "LONGEST_LINE",
    "MODEL_CALL",
    "MODEL_REQUESTS",
    "MODEL_SECONDS",
    "MODEL_SPEND",
    "MODEL_TOKENS",
    "ORDER",
    "OUTCOME",
    "PROCESS",
    "QUEUED",
    "QUEUE_OLDEST",
    "QUEUE_WAIT",
    "QUIET",
    "RECONCILED",
    "RUNNING",
    "SETTLE",
    "SNAPSHOT",
    "STEP",
    "STEP_ATTEMPTS",
    "STEP_CPU",
    "STEP_MEMORY",
    "STEP_SECONDS",
    "SUBMIT",
    "TOKENS",
    "TRACEPARENT",
    "TRACESTATE",
    "WORKER",
    "Attempt",
    "Count",
    "Counted",
    "End",
    "JsonLines",
    "Log",
    "Part",
    "Parts",
    "Process",
    "Sink",
    "TelemetrySettings",
    "add",
    "bind",
    "close",
    "configure",
    "dispatch_context",
    "dispatch_id",
    "dispatched",
    "ended",
    "fetched",
    "lag",
    "lines",
    "logger",
    "lost",
    "part",
    "parts",
    "process",
    "redacted",
    "send_to",
    "settled",
    "spans",
    "split",
    "submit_span",
    "submitted",
    "trace_id_in",
    "traceparent",
    "tracestate",
    "version",
    "within",
]
