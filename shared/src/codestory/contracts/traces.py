"""The spans of a job, as they are kept beside its events: what a trace shows where nothing collects traces."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from codestory.contracts.values import Value


class SpanView(Value):
    """One span. Ids as in W3C Trace Context, in lower case hexadecimal."""

    trace_id: Annotated[str, Field(max_length=32)]
    span_id: Annotated[str, Field(max_length=16)]
    #: Empty: it is the first of its trace.
    parent_id: Annotated[str, Field(max_length=16)] = ""
    #: The spans that it was caused by, in other traces: `<trace id>-<span id>`.
    links: tuple[str, ...] = ()
    name: Annotated[str, Field(max_length=200)]
    #: internal, server, client, producer or consumer.
    kind: Annotated[str, Field(max_length=20)] = "internal"
    service: Annotated[str, Field(max_length=200)] = ""
    started_at: datetime
    #: None: it goes on.
    ended_at: datetime | None = None
    status: Literal["ok", "error"] = "ok"
    #: Why, of one in error.
    message: Annotated[str, Field(max_length=500)] = ""
    attributes: dict[str, str | int | float | bool] = {}

    @property
    def seconds(self) -> float | None:
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None


class SpanBatch(Value):
    """What one service says at once."""

    spans: tuple[SpanView, ...]


class Trace(Value):
    """All spans of a job: one trace of the request that made it, and one of each attempt, which links to it.

    A span whose service died with it is told from the job's record."""

    job: str
    #: The oldest first.
    spans: tuple[SpanView, ...]
    #: There are more, and they are left out.
    truncated: bool = False
