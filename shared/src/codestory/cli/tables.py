"""How what is in the graph looks in a terminal."""

import json

from rich.console import Console
from rich.table import Table

from codestory.cli.text import plain
from codestory.graph.queries import FoundRepository, GraphStats

Rows = list[dict[str, object]]


def stats(console: Console, found: FoundRepository, counts: GraphStats) -> None:
    """Nodes by label, relationships by type, and what is only named so far."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for heading, by_kind in (
        ("Nodes", counts.nodes),
        ("Relationships", counts.relationships),
        ("Named, not written", counts.placeholders),
    ):
        if by_kind:
            table.add_row(heading, f"{sum(by_kind.values()):,}", style="bold")
        for kind, count in by_kind.items():
            table.add_row(f"  {plain(kind)}", f"{count:,}")
    notes = (plain(found.name), unfinished(counts.writing_steps), stale(counts.stale_steps))
    console.print(" ".join(filter(None, notes)), soft_wrap=True)
    console.print(table if table.row_count else "  nothing yet")


def rows(console: Console, found: Rows) -> None:
    """The rows of a query, whole: what is too wide goes on in the next line."""
    if not found:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in found[0]:
        table.add_column(plain(heading), overflow="fold")
    for row in found:
        table.add_row(*map(_cell, row.values()))
    console.print(table)


def unfinished(writing_steps: tuple[str, ...]) -> str:
    return f"(not final: {', '.join(map(plain, writing_steps))} has not finished writing)" if writing_steps else ""


def stale(stale_steps: tuple[str, ...]) -> str:
    names = ", ".join(map(plain, stale_steps))
    return f"(older than what they are made of, until they run again: {names})" if stale_steps else ""


def _cell(value: object) -> str:
    return plain(value) if isinstance(value, str) else plain(json.dumps(value, ensure_ascii=False))
