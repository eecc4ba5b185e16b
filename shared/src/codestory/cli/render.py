"""How jobs look in a terminal: the list of jobs, one job, and the summary at its end."""

import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from shutil import which

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from codestory.cli import moments, receipts, results, rows
from codestory.cli.exits import Exit
from codestory.cli.following import STYLES, ahead, at_hand, count, elapsed
from codestory.cli.text import counted, duration, plain, plain_lines, size, tally
from codestory.contracts.api import JobView, StepView
from codestory.contracts.results import Gap, StepOutcome, Usage
from codestory.contracts.values import JobState, Mode, Priority, Reason, StepState, When

#: Skipped or failed parts named in a summary. The job has more of them, and the graph has all.
GAPS_SHOWN = 8
#: Lines of a failed step's own words. The whole is in the job (`--json`) and in the logs.
DETAIL_LINES = 12
#: After these, the last lines that the step's process wrote tell a person something.
SHOWS_OUTPUT = frozenset({Reason.CRASHED, Reason.OUT_OF_MEMORY})
COLORS = {
    JobState.COMPLETED: "green",
    JobState.FAILED: "red",
    JobState.STOPPED: "yellow",
    JobState.CANCELLED: "yellow",
}
AFTER = {When.SUCCESS: "once they have completed", When.ALWAYS: "however they end"}


def jobs(console: Console, listed: Iterable[JobView], *, narrowed: bool = False) -> None:
    shown = [_listed(job) for job in listed]
    if shown:
        rows.show(console, ("Job", "Repository", "State", "Created", "Took"), shown, wraps=("Repository", "Took"))
    else:
        console.print("No job is so." if narrowed else f"No jobs yet. Start one: {command()} ingest start PATH")


def _listed(job: JobView) -> tuple[rows.Cell, ...]:
    created = f"{job.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
    took = f"due {moments.due(job.due_at)}" if job.state is JobState.SCHEDULED and job.due_at else _took(job)
    return plain(job.id), plain(job.repository.name), _state(job), created, took


def job(console: Console, shown: JobView) -> None:
    """The job as it is now: whole once it has ended."""
    _heading(console, shown)
    _steps(console, shown)
    if shown.state.ended:
        _contents(console, shown)
        _gaps(console, shown)
        _failure(console, shown)


def step(console: Console, shown: StepView) -> None:
    """One step of a job, with all its attempts."""
    console.print(f"{plain(shown.name)}  {shown.state}, attempt {shown.attempt}", soft_wrap=True)
    for heading, said in _facts(shown):
        console.print(f"{heading}: {said}", overflow="fold")
    table = _table()
    table.add_column("Attempt", justify="right")
    table.add_column("State", no_wrap=True)
    for heading in ("Began", "Took", "CPU", "Memory", "Worker", ""):
        table.add_column(heading, overflow="fold")
    for each in shown.attempts:
        seconds = (each.ended_at - each.started_at).total_seconds() if each.started_at and each.ended_at else None
        table.add_row(
            str(each.number),
            Text(each.state.lower(), style=STYLES.get(each.state, "")),
            moments.moment(each.started_at) if each.started_at else "",
            "" if seconds is None else duration(max(0.0, seconds)),
            duration(each.usage.cpu_seconds) if each.usage.cpu_seconds else "",
            size(each.usage.peak_memory_bytes) if each.usage.peak_memory_bytes else "",
            plain(each.worker),
            ": ".join(filter(None, (each.reason or "", plain(each.message)))),
        )
    if table.row_count:
        console.print()
        console.print(table)


def summary(console: Console, ended: JobView) -> None:
    """The job as it ended, and what to try next."""
    job(console, ended)
    _next(console, ended)


def exit_of(ended: JobView) -> Exit:
    if ended.state is not JobState.COMPLETED:
        return Exit.FAILED
    return Exit.DONE if ended.complete else Exit.GAPS


def while_away(console: Console, job_id: str) -> None:
    """What a person can do about a job that goes on without them."""
    console.print(f"Job {plain(job_id)} goes on.", soft_wrap=True)
    console.print(f"  watch it:    {command()} ingest watch {plain(job_id)}", soft_wrap=True)
    console.print(f"  if it waits: {command()} ingest why {plain(job_id)}", soft_wrap=True)
    console.print(f"  stop it:     {command()} ingest stop {plain(job_id)}", soft_wrap=True)
    console.print(f"  cancel it:   {command()} ingest cancel {plain(job_id)}", soft_wrap=True)


def _heading(console: Console, shown: JobView) -> None:
    console.print(Text.assemble("Job ", (plain(shown.id), "bold"), "  ", _state(shown), *_verdict(shown)))
    where = plain(shown.repository.path)
    console.print(Text.assemble("Repository ", (plain(shown.repository.name), "bold"), f"  {where}"), overflow="fold")
    for note in _notes(shown):
        console.print(note, overflow="fold")
    receipts.show(console, shown)


def _notes(shown: JobView) -> Iterable[str]:
    """What is out of the ordinary, and what it waits for."""
    if shown.mode is Mode.UPDATE:
        yield "Only what has changed since the last time is computed."
    if shown.priority is not Priority.DEFAULT:
        yield f"Priority {shown.priority}."
    if shown.schedule:
        yield f"Made by the schedule {plain(shown.schedule)}."
    if shown.state is JobState.SCHEDULED and shown.due_at:
        yield f"Due {moments.due(shown.due_at)}."
    if shown.after and shown.state in {JobState.SCHEDULED, JobState.PENDING}:
        yield f"Comes after {', '.join(map(plain, shown.after))}, {AFTER[shown.when]}."
    if shown.waits_for:
        yield f"Waits for {', '.join(map(plain, shown.waits_for))}, on the same repository."
    elif shown.message:
        yield plain(shown.message)


def _verdict(shown: JobView) -> Iterable[str]:
    if _took(shown):
        yield f" in {_took(shown)}"
    if shown.state is JobState.COMPLETED:
        yield ", complete" if shown.complete else f", with {counted(shown.gaps, 'gap')}"


def _steps(console: Console, shown: JobView) -> None:
    table = _table()
    table.add_column("Step", no_wrap=True, max_width=32, overflow="ellipsis")
    table.add_column("State", no_wrap=True)
    for heading in ("Time", "CPU", "Memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for step in shown.steps:
        seconds, usage = elapsed(step), _usage(step)
        table.add_row(
            plain(step.name),
            Text(step.state.lower(), style=STYLES.get(step.state, "")),
            "" if seconds is None else duration(seconds),
            duration(usage.cpu_seconds) if usage else "",
            size(usage.peak_memory_bytes) if usage else "",
            "; ".join(filter(None, (_told(step), _retried(step), _dropped(step)))),
        )
    console.print()
    console.print(table)
    console.print()


def _contents(console: Console, shown: JobView) -> None:
    outcomes = list(_outcomes(shown))
    if outcomes:
        results.show(console, shown.steps)
        written = _sum(outcome.written for outcome in outcomes)
        console.print(f"Written: {tally(written) or 'nothing: the graph held all of it already'}")


def _gaps(console: Console, shown: JobView) -> None:
    named = [gap for outcome in _outcomes(shown) for gap in outcome.gaps]
    if not named:
        return
    total = sum(sum((_sum((outcome.skipped, outcome.failed))).values()) for outcome in _outcomes(shown))
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold", ratio=3)
    table.add_column(overflow="fold", ratio=2)
    for gap in named[:GAPS_SHOWN]:
        table.add_row(*_gap(gap))
    more = max(total, len(named)) - min(len(named), GAPS_SHOWN)
    console.print("Not taken in:")
    console.print(Padding(table, (0, 0, 0, 2)))
    if more > 0:
        console.print(f"  … and {more:,} more")


def _failure(console: Console, shown: JobView) -> None:
    for step in shown.steps:
        if step.state is not StepState.FAILED:
            continue
        last = step.attempts[-1] if step.attempts else None
        why = f" ({last.reason})" if last and last.reason else ""
        said = step.message or (last.message if last else "") or "it did not say why"
        console.print(Text(f"{plain(step.name)} failed{why}: {plain(said)}", style="red"), overflow="fold")
        if last and last.detail and last.reason in SHOWS_OUTPUT:
            tail = "\n".join(plain_lines(last.detail).splitlines()[-DETAIL_LINES:])
            console.print(Padding(Text(tail, style="dim"), (0, 0, 0, 2)))


def _next(console: Console, ended: JobView) -> None:
    name = shlex.quote(plain(ended.repository.name))
    again = "resume" if ended.state is JobState.STOPPED else "retry"
    tips = (
        (f"{command()} graph stats {name}", f"{command()} graph query {name} '{EXAMPLE_QUERY}'")
        if ended.state is JobState.COMPLETED
        else (
            f"{command()} ingest {again} {plain(ended.id)}",
            f"{command()} ingest status {plain(ended.id)} --json",
            f"{command()} service logs",
        )
    )
    console.print("\nWhat to try next:")
    for tip in tips:
        console.print(f"  {tip}", soft_wrap=True)


EXAMPLE_QUERY = "MATCH (f:File {repo: $repo}) RETURN f.path, f.size ORDER BY f.size DESC LIMIT 10"


def _told(step: StepView) -> str:
    if step.state is StepState.COMPLETED:
        return plain(step.outcome.summary) if step.outcome else ""
    if step.state is StepState.RUNNING:
        return "; ".join(filter(None, (" ".join(filter(None, (count(step), ahead(step)))), at_hand(step))))
    return plain(step.message)


def _facts(shown: StepView) -> Iterable[tuple[str, str]]:
    if told := _told(shown):
        yield "Now" if shown.state.active else "Outcome", told
    if shown.due_at:
        yield "Next attempt", moments.due(shown.due_at)
    if shown.depends_on:
        yield "Waits for", f"{', '.join(map(plain, shown.depends_on))}, {AFTER[shown.when]}"
    if shown.resources:
        yield "Holds while it runs", ", ".join(map(plain, shown.resources))
    if shown.options:
        yield "Options", plain(json.dumps(shown.options, ensure_ascii=False))
    if shown.options_dropped:
        yield "Options that it does not have", ", ".join(map(plain, shown.options_dropped))


def _retried(step: StepView) -> str:
    return f"retried {counted(step.retries, 'time')}" if step.retries else ""


def _dropped(step: StepView) -> str:
    return f"without the options {', '.join(map(plain, step.options_dropped))}" if step.options_dropped else ""


def _usage(step: StepView) -> Usage | None:
    usage = step.usage or (step.attempts[-1].usage if step.attempts else None)
    return usage if usage and (usage.cpu_seconds or usage.peak_memory_bytes) else None


def _state(shown: JobView) -> Text:
    return Text(shown.state, style=COLORS.get(shown.state, "cyan"))


def _took(shown: JobView) -> str:
    if shown.started_at is None or shown.ended_at is None:
        return ""
    return duration(max(0.0, (shown.ended_at - shown.started_at).total_seconds()))


def _gap(gap: Gap) -> tuple[str, str]:
    return plain(gap.path), plain(gap.reason)


def _outcomes(shown: JobView) -> Iterable[StepOutcome]:
    return (step.outcome for step in shown.steps if step.outcome)


def _sum(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def command() -> str:
    """How this program is called here, so that what is suggested can be typed as it stands."""
    if which("codestory"):
        return "codestory"
    called = os.path.relpath(sys.argv[0])
    return plain(called) if called.endswith("codestory") and not called.startswith("..") else "codestory"
