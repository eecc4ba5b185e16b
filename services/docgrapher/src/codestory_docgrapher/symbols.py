"""The symbols that another step has put into the graph."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from codestory.graph import Label
from codestory_docgrapher.places import Symbol

_LABELS = (Label.CLASS, Label.FUNCTION, Label.METHOD)
#: Rows of one answer: docstrings are long, and the driver holds an answer whole.
_PAGE = 5_000
#: The ids are compared behind WITH: else the planner takes the index of the ids, in which every repository is.
_QUERY = """
MATCH (n:{label} {{repo: $repo}}) WHERE n._missing IS NULL
WITH n, n.id AS id WHERE id > $after
RETURN id, n.name AS name, n.qualified_name AS qualified_name, n.path AS path, n.start_line AS start_line,
       {docstring} AS docstring
ORDER BY id LIMIT $page
"""


class Reads(Protocol):
    async def read(self, query: str, **parameters: Any) -> list[dict[str, Any]]: ...


async def read_symbols(graph: Reads, *, docstrings: bool) -> list[Symbol]:
    """Those that have a name and a path; their docstrings only if asked for."""
    return [
        _symbol(label, row)
        for label in _LABELS
        async for row in _rows(graph, label, "n.docstring" if docstrings else "null")
        if row["name"] and row["path"]
    ]


async def _rows(graph: Reads, label: Label, docstring: str) -> AsyncIterator[dict[str, Any]]:
    # A label cannot be a parameter; these are our own.
    query, after = _QUERY.format(label=label, docstring=docstring), ""
    while rows := await graph.read(query, after=after, page=_PAGE):
        for row in rows:
            yield row
        if len(rows) < _PAGE:
            return
        after = str(rows[-1]["id"])


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
