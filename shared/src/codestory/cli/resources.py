"""`codestory resources` and `codestory steps`: what the jobs share, who holds it, and how much of it there is."""

from collections.abc import Iterable

from rich.console import Console

from codestory.cli import arguments, moments, reach, rows
from codestory.cli.screen import out, write_json
from codestory.cli.text import plain
from codestory.contracts.api import Holder, Holders, StepList, StepStatus


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
    if found.holders:
        console.print()
        headings = ("Step", "Job", "Repository", "Priority", "Held since", "Worker", "Tags")
        rows.show(console, headings, map(_holder, found.holders), wraps=("Repository", "Held since", "Worker", "Tags"))
    if found.tags:
        console.print()
        tags = [(plain(tag.tag), f"{tag.limit:,}", f"{tag.held:,}") for tag in found.tags]
        rows.show(console, ("Tag", "Limit", "Held"), tags, wraps=("Tag",), right=("Limit", "Held"))


def _holder(holder: Holder) -> tuple[str, ...]:
    return (
        plain(holder.step),
        plain(holder.job),
        plain(holder.repository),
        holder.priority,
        f"{moments.moment(holder.since)} ({moments.ago(holder.since)})",
        plain(holder.worker) or "nobody yet",
        ", ".join(map(plain, holder.resources)),
    )


def _steps(console: Console, found: Iterable[StepStatus]) -> None:
    shown = [_step(step) for step in found]
    if not shown:
        console.print("No step has registered yet.")
        return
    headings = ("Step", "Version", "Workers", "At once", "Running", "Waiting", "After", "Tags")
    rows.show(console, headings, shown, wraps=("After", "Tags"), right=("Workers", "At once", "Running", "Waiting"))


def _step(step: StepStatus) -> tuple[str, ...]:
    return (
        plain(step.name),
        plain(step.version),
        f"{step.workers:,}",
        f"{step.concurrency:,}",
        f"{step.running:,}",
        f"{step.waiting:,}",
        ", ".join(map(plain, step.depends_on)),
        ", ".join(map(plain, step.resources)),
    )
