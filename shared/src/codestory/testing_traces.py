"""A collector of traces for tests: takes spans by OTLP over HTTP, as a real one does, and says how they hang."""

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from codestory.contracts.traces import SpanView


@dataclass(frozen=True)
class Span:
    trace_id: str
    span_id: str
    parent_id: str
    #: `<trace id>-<span id>`
    links: tuple[str, ...]
    name: str
    service: str
    seconds: float
    failed: bool
    attributes: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.trace_id}-{self.span_id}"

    @property
    def above(self) -> set[str]:
        return {*self.links, *([f"{self.trace_id}-{self.parent_id}"] if self.parent_id else [])}


class Collector:
    """`with Collector() as collector`: its `endpoint` is what OTEL_EXPORTER_OTLP_ENDPOINT names."""

    def __init__(self) -> None:
        self._spans: dict[str, Span] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, body: bytes) -> None:
        for span in _read(body):
            self._spans[span.id] = span

    @property
    def spans(self) -> list[Span]:
        return list(self._spans.values())

    def of(self, job: str) -> list[Span]:
        """Every span that says it is of this job."""
        return [span for span in self.spans if span.attributes.get("codestory.job.id") == job]


def loose(spans: list[Span]) -> list[Span]:
    """Those that hang on no other: in a whole tree it is one, its root."""
    known = {span.id for span in spans}
    return [span for span in spans if not span.above & (known - {span.id})]


def linked(views: tuple[SpanView, ...]) -> list[SpanView]:
    """The same of what the service keeps itself."""
    known = {f"{view.trace_id}-{view.span_id}" for view in views}
    return [view for view in views if not {*view.links, f"{view.trace_id}-{view.parent_id}"} & known]


def _read(body: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(resource.resource.attributes).get("service.name", "")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    links=tuple(f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in span.links),
                    name=span.name,
                    service=service,
                    seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    failed=span.status.code == 2,
                    attributes=_values(span.attributes),
                )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if known:
                collector.take(body)
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            """A test's output is its own."""

    return Handler
