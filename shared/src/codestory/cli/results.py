"""What each step did, in a terminal: its own counts and details, whatever step it is."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from codestory.cli.text import plain, tally
from codestory.contracts.api import StepView
from codestory.contracts.results import StepOutcome

#: Of a list in a step's details. The whole is in the job (`--json`).
ITEMS_SHOWN = 5

Row = tuple[str, str]


def show(console: Console, steps: Sequence[StepView]) -> None:
    for step in steps:
        rows = list(_rows(step.outcome)) if step.outcome else []
        if not rows:
            continue
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, max_width=28, overflow="ellipsis")
        table.add_column(overflow="fold")
        for row in rows:
            table.add_row(*map(plain, row))
        console.print(plain(step.name))
        console.print(Padding(table, (0, 0, 0, 2)))


def _rows(outcome: StepOutcome) -> Iterator[Row]:
    """Names of counts with a dot are of one kind: `links.path` and `links.heading` share a row, `links`."""
    yield from _tallied("nodes", outcome.nodes)
    yield from _tallied("relationships", outcome.relationships)
    kinds: dict[str, dict[str, int]] = {}
    for name, count in outcome.counts.items():
        kind, dot, rest = name.partition(".")
        kinds.setdefault(kind if dot else "counts", {})[rest if dot else name] = count
    for kind, counts in kinds.items():
        yield from _tallied(kind, {name: count for name, count in counts.items() if count})
    for name, value in outcome.details.items():
        yield from _detail(name, value)
    yield from _tallied("skipped", outcome.skipped)
    yield from _tallied("failed", outcome.failed)


def _tallied(name: str, counts: Mapping[str, int]) -> Iterator[Row]:
    if counts:
        yield name, tally(counts)


def _detail(name: str, value: JsonValue) -> Iterator[Row]:
    match value:
        case _ if not value:  # an empty one says nothing
            return
        case dict():
            numbers = {key: item for key, item in value.items() if isinstance(item, int)}
            if len(numbers) == len(value):
                yield from _tallied(name, numbers)
            else:
                for key, item in value.items():
                    yield from _detail(f"{name}, {key}", item)
        case list():
            more = f" and {len(value) - ITEMS_SHOWN:,} more" if len(value) > ITEMS_SHOWN else ""
            yield name, ", ".join(map(_item, value[:ITEMS_SHOWN])) + more
        case _:
            yield name, str(value)


def _item(value: JsonValue) -> str:
    """`{"path": "a.py", "line": 3}` as `a.py:3`."""
    return ":".join(map(str, value.values())) if isinstance(value, dict) else str(value)
