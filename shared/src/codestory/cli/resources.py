"""`codestory resources` and `codestory steps`: what the jobs share, who holds it, and how much of it there is."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from codestory.cli import arguments, moments, reach
from codestory.cli.screen import out, write_json
from codestory.cli.text import plain
from codestory.contracts.api import Holders, StepList, StepStatus


def resources(tokens: int | None, limits: Iterable[str], *, as_json: bool) -> None:
    wished = arguments.limits(limits)
    with reach.running() as client:
        if tokens is not None:
            client.set_max_tokens(tokens)
        if wished:
            client.set_resource_limits(wished)
        found = client.holders()
    if as_json:
        write_json(found)
    else:
        _holders(out(), found)


def steps(concurrency: Iterable[str], *, as_json: bool) -> None:
    wished = arguments.concurrency(concurrency)
    with reach.running() as client:
        for step, number in wished.items():
            client.set_concurrency(step, number)
        found = client.steps()
    if as_json:
        write_json(StepList(steps=found))
    else:
        _steps(out(), found)


def _holders(console: Console, found: Holders) -> None:
    console.print(f"{found.available_tokens:,} of {found.max_tokens:,} tokens are free.")
    held = _table("Step", "Job", "Repository", "Priority", "Held since", "Worker", "Tags")
    for holder in found.holders:
        held.add_row(
            plain(holder.step),
            plain(holder.job),
            plain(holder.repository),
            holder.priority,
            f"{moments.moment(holder.since)} ({moments.ago(holder.since)})",
            plain(holder.worker) or "nobody yet",
            ", ".join(map(plain, holder.resources)),
        )
    _print(console, held)
    tags = _table("Tag", "Limit", "Held")
    for tag in found.tags:
        tags.add_row(plain(tag.tag), f"{tag.limit:,}", f"{tag.held:,}")
    _print(console, tags)


def _steps(console: Console, found: Iterable[StepStatus]) -> None:
    table = _table("Step", "Version", "Workers", "At once", "Running", "Waiting", "After", "Tags")
    for step in found:
        table.add_row(
            plain(step.name),
            plain(step.version),
            f"{step.workers:,}",
            f"{step.concurrency:,}",
            f"{step.running:,}",
            f"{step.waiting:,}",
            ", ".join(map(plain, step.depends_on)),
            ", ".join(map(plain, step.resources)),
        )
    console.print(table if table.row_count else "No step has registered yet.")


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print(console: Console, table: Table) -> None:
    if table.row_count:
        console.print()
        console.print(table)
