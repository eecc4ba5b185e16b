"""Where the time of a job went: its spans as a tree, with when each began and how long it took."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from codestory.cli import arguments, flags, reach
from codestory.cli.screen import err, out, write_json
from codestory.cli.text import duration, plain
from codestory.contracts.traces import SpanView, Trace

#: Attributes that a person wants to see, and what they are called then. The others: --json.
SHOWN = {
    "codestory.attempt": "attempt",
    "codestory.outcome": "",
    "codestory.count": "times",
    "codestory.busy_seconds": "busy s",
    "tokens": "tokens",
}
#: Below a span whose own attributes say so already.
INHERITED = frozenset({"codestory.attempt"})
MAX_MESSAGE = 200


def trace(job: flags.Job, as_json: flags.AsJson = False) -> None:
    """Show where the time of a job went: its attempts with their phases, as a tree."""
    with reach.running() as client:
        found = client.trace(arguments.find_job(client, job).id)
    if as_json:
        write_json(found)
        return
    screen = out()
    for line in lines(found):
        screen.print(line, soft_wrap=True)
    if found.truncated:
        err().print(f"The first {len(found.spans)} spans are shown.")


@dataclass
class Branch:
    span: SpanView
    below: list["Branch"] = field(default_factory=list["Branch"])


def tree(found: Trace) -> list[Branch]:
    """Below a span stand its children, and those of other traces that link to it. One that belongs to none that is
    known stands at the top."""
    branches = [Branch(span) for span in found.spans]
    known = {(branch.span.trace_id, branch.span.span_id): branch for branch in branches}
    top: list[Branch] = []
    for branch in branches:
        above = next((known[key] for key in _above(branch.span) if key in known), None)
        (top if above is None or above is branch else above.below).append(branch)
    return top


def _above(span: SpanView) -> Iterator[tuple[str, str]]:
    """Where it may belong, the nearest first."""
    if span.parent_id:
        yield span.trace_id, span.parent_id
    for link in span.links:
        trace_id, _, span_id = link.partition("-")
        yield trace_id, span_id


def lines(found: Trace) -> Iterator[str]:
    """`+1.2 s     3.4 s  └─ process filesystem  completed`."""
    if found.spans:
        yield f"{'began':>10}  {'took':>10}  span"
        yield from _lines(tree(found), found.spans[0].started_at, "", top=True)


def _lines(branches: list[Branch], begun: datetime, before: str, *, top: bool = False) -> Iterator[str]:
    for number, branch in enumerate(branches):
        last = number == len(branches) - 1
        own, further = ("", "") if top else ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield _line(branch.span, begun, before + own)
        yield from _lines(branch.below, begun, before + further)


def _line(span: SpanView, begun: datetime, before: str) -> str:
    began = f"+{_seconds((span.started_at - begun).total_seconds())}"
    took = "…" if span.seconds is None else _seconds(span.seconds)
    phase = "codestory.phase" in span.attributes or span.kind == "internal"
    said = [
        f"{name} {_value(span.attributes[key])}".strip()
        for key, name in SHOWN.items()
        if key in span.attributes and not (phase and key in INHERITED)
    ]
    if span.status == "error":
        said.append(f"error: {plain(span.message[:MAX_MESSAGE])}" if span.message else "error")
    return "  ".join((f"{began:>10}", f"{took:>10}", before + plain(span.name), *said))


def _value(value: JsonValue) -> str:
    return f"{value:,.3g}" if isinstance(value, float) else plain(value)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 1 else duration(seconds)
