"""A list in a terminal: a table where it fits, otherwise one block for each row. Nothing is cut off."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

#: A column whose cells may go on in the next line is no narrower than this.
NARROWEST = 22
GAP = 2

Cell = str | Text


def show(
    console: Console,
    headings: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    wraps: Sequence[str] = (),
    right: Sequence[str] = (),
) -> None:
    """`wraps`: columns whose cells may go on in the next line. `right`: columns of numbers."""
    found = list(rows)
    widths = [max(_width(cell) for cell in (heading, *column)) for heading, column in _columns(headings, found)]
    needed = [
        min(width, NARROWEST) if heading in wraps else width for heading, width in zip(headings, widths, strict=True)
    ]
    if sum(needed) + GAP * (len(headings) - 1) <= console.width:
        console.print(_table(headings, found, needed, wraps=wraps, right=right))
    else:
        for row in found:
            _block(console, headings, row)


def _table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    needed: Sequence[int],
    *,
    wraps: Sequence[str],
    right: Sequence[str],
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for heading, width in zip(headings, needed, strict=True):
        table.add_column(
            heading,
            overflow="fold",
            no_wrap=heading not in wraps,
            min_width=width,
            justify="right" if heading in right else "left",
        )
    for row in rows:
        table.add_row(*row)
    return table


def _block(console: Console, headings: Sequence[str], row: Sequence[Cell]) -> None:
    """The first cell, and below it the others that say something, each with its heading."""
    console.print(row[0], style="bold", soft_wrap=True)
    grid = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for heading, cell in zip(headings[1:], row[1:], strict=True):
        if _width(cell):
            grid.add_row(heading, cell)
    console.print(Padding(grid, (0, 0, 0, 2)))


def _columns(headings: Sequence[str], rows: list[Sequence[Cell]]) -> Iterable[tuple[str, list[Cell]]]:
    return [(heading, [row[place] for row in rows]) for place, heading in enumerate(headings)]


def _width(cell: Cell) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(cell)
