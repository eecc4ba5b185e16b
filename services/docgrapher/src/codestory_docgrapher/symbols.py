"""The symbols that another step has put into the graph."""

from typing import Any, Protocol

from codestory.graph import Label
from codestory_docgrapher.places import Symbol

_LABELS = (Label.CLASS, Label.FUNCTION, Label.METHOD)
_QUERY = """
MATCH (n:{label} {{repo: $repo}}) WHERE n._missing IS NULL
RETURN n.id AS id, n.name AS name, n.qualified_name AS qualified_name, n.path AS path,
       n.start_line AS start_line, {docstring} AS docstring
"""


class Reads(Protocol):
    async def read(self, query: str, **parameters: Any) -> list[dict[str, Any]]: ...


async def read_symbols(graph: Reads, *, docstrings: bool) -> list[Symbol]:
    """Those that have a name and a path; their docstrings only if asked for."""
    symbols: list[Symbol] = []
    for label in _LABELS:
        # A label cannot be a parameter; these are our own.
        rows = await graph.read(_QUERY.format(label=label, docstring="n.docstring" if docstrings else "null"))
        symbols += [_symbol(label, row) for row in rows if row["name"] and row["path"]]
    return symbols


def _symbol(label: Label, row: dict[str, Any]) -> Symbol:
    return Symbol(
        id=row["id"],
        label=label,
        name=row["name"],
        qualified_name=row["qualified_name"] or row["name"],
        path=row["path"],
        start_line=row["start_line"] or 0,
        docstring=row["docstring"] or "",
    )
