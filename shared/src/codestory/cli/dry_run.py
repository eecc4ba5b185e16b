"""`codestory ingest start --dry-run`: what the job would do."""

import json

from rich.console import Console
from rich.table import Table

from codestory.cli.screen import err, out, write_json
from codestory.cli.text import counted, duration, plain, size
from codestory.contracts.planning import PlannedStep, PlanView
from codestory.contracts.values import Mode, Priority


def show(planned: PlanView, *, as_json: bool) -> None:
    if as_json:
        write_json(planned)
        return
    console = out()
    _heading(console, planned)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", justify="right")
    for heading in ("Step", "After", "At once", "Workers", "About", "Options"):
        table.add_column(heading, overflow="fold")
    for number, step in enumerate(planned.steps, start=1):
        table.add_row(
            str(number),
            plain(step.name),
            ", ".join(map(plain, step.depends_on)),
            f"{step.concurrency:,}",
            f"{step.workers:,}",
            duration(step.estimate_seconds) if step.estimate_seconds is not None else "?",
            _options(step),
        )
    console.print(table)
    whole = planned.estimate_seconds
    console.print(
        f"In all about {duration(whole)}, as the last time."
        if whole is not None
        else "How long it takes is known once it has been ingested in this mode."
    )
    for warning in planned.warnings:
        err().print(f"Note: {plain(warning.text)}", soft_wrap=True)
    err().print("Nothing was started (--dry-run).")


def _heading(console: Console, planned: PlanView) -> None:
    console.print(f"Repository {plain(planned.repository.name)}  {plain(planned.repository.path)}", overflow="fold")
    if planned.files is None:
        console.print("Its files are counted when they are there.")
    else:
        more = "" if planned.counted else "More than "
        console.print(f"{more}{counted(planned.files, 'file')}, {size(planned.bytes or 0)}, without what is ignored.")
    if planned.mode is Mode.UPDATE:
        console.print("Only what has changed since the last time is computed.")
    if planned.priority is not Priority.DEFAULT:
        console.print(f"Priority {planned.priority}.")
    console.print()


def _options(step: PlannedStep) -> str:
    given = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in step.options.items())
    dropped = f"(without {', '.join(step.options_dropped)})" if step.options_dropped else ""
    return plain(" ".join(filter(None, (given, dropped))))
