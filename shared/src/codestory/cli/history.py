"""What has happened to a job, and what its steps wrote: listed, or as it comes."""

import json
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Annotated, TypeVar

import typer
from pydantic import JsonValue
from rich.console import Console

from codestory.cli import arguments, flags, reach
from codestory.cli.exits import Exit
from codestory.cli.screen import err, out
from codestory.cli.text import plain
from codestory.contracts.history import JobEvent, LogLine

#: Fields of a log line that say nothing which a person does not see anyway.
UNSHOWN = frozenset({"time", "line", "trace_id", "span_id", "service", "job_id", "worker"})
#: Of an event: what a person wants to know of it, where it has it.
SHOWN = ("reason", "message", "state", "run", "worker")
#: Of one value.
MAX_SHOWN = 500

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")]
Lines = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Step = Annotated[str | None, typer.Option(metavar="STEP", help="Of this step only.")]
FromSeq = Annotated[int, typer.Option(min=0, metavar="N", help="From this sequence on.")]

Item = TypeVar("Item", JobEvent, LogLine)


def events(job: flags.Job, follow: Follow = False, from_seq: FromSeq = 0, as_json: Lines = False) -> None:
    """List what happened to a job and its steps. With -f also what happens."""
    with reach.running() as client:
        found = arguments.find_job(client, job).id
        _print(client.events(found, from_seq, follow=follow), event, as_json=as_json)


def logs(
    job: flags.Job, follow: Follow = False, step: Step = None, from_seq: FromSeq = 0, as_json: Lines = False
) -> None:
    """List what steps, their hosts and the orchestrator wrote about a job. With -f also what they write."""
    with reach.running() as client:
        found = arguments.find_job(client, job).id
        printed = _print(client.logs(found, step, from_seq=from_seq, follow=follow), log_line, as_json=as_json)
    if not printed:
        err().print(
            "No service has written a line about it, or none that is kept. What happened: codestory ingest events"
        )


def _print(items: Generator[Item], shown: Callable[[Item], str], *, as_json: bool) -> int:
    """Each at once, so that a reader at the other end of a pipe sees it. How many there were."""
    screen, printed = out(), 0
    try:
        with closing(items):
            for item in items:
                printed += 1
                if as_json:
                    sys.stdout.write(json.dumps(item.model_dump(mode="json")) + "\n")
                    sys.stdout.flush()
                else:
                    _line(screen, shown(item))
    except KeyboardInterrupt as left:
        raise typer.Exit(Exit.INTERRUPTED) from left
    return printed


def _line(screen: Console, text: str) -> None:
    screen.print(text, soft_wrap=True)
    screen.file.flush()


def event(told: JobEvent) -> str:
    """`12:00:03  scan  failed  attempt 2  temporary: not yet`."""
    attempt = f"attempt {told.attempt}" if told.attempt else ""
    said = " ".join(f"{name}={_value(told.data[name])}" for name in SHOWN if told.data.get(name))
    return _row(f"{told.at.astimezone():%H:%M:%S}", plain(told.step) or "the job", plain(told.kind), attempt, said)


def log_line(told: LogLine) -> str:
    """`12:00:03  scan  info  what it wrote`."""
    line = told.fields.get("line")
    said = plain(line) if isinstance(line, str) else plain(told.event)
    fields = " ".join(f"{plain(name)}={_value(value)}" for name, value in told.fields.items() if name not in UNSHOWN)
    step = plain(told.step) or "the job"
    return _row(f"{told.at.astimezone():%H:%M:%S}", step, plain(told.level), said, fields)


def _row(at: str, step: str, kind: str, *rest: str) -> str:
    """The columns that nearly always fit stand below each other; the rest follows."""
    return "  ".join((at, f"{step:<22}", f"{kind:<9}", *filter(None, rest))).rstrip()


def _value(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return plain(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")
