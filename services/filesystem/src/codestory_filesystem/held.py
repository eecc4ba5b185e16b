"""What the graph holds already that the step builds on: the hashes of the last run, and other steps' symbols."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from codestory.graph import GraphWriter, Label

#: What may be defined in a file.
SYMBOLS = (Label.CLASS, Label.FUNCTION, Label.METHOD)

#: Rows read at once: the answer to one question is whole in memory.
_PAGE = 50_000


@dataclass(frozen=True, slots=True)
class Symbol:
    label: Label
    id: str
    path: str


async def hashes(graph: GraphWriter) -> dict[str, bytes]:
    """The sha256 of each file that was parsed, by the id of its node."""
    return {str(row["id"]): bytes.fromhex(row["value"]) async for row in _read(graph, Label.FILE, "sha256")}


async def symbols(graph: GraphWriter) -> list[Symbol]:
    return [
        Symbol(label, str(row["id"]), str(row["value"]))
        for label in SYMBOLS
        async for row in _read(graph, label, "path")
    ]


async def _read(graph: GraphWriter, label: Label, name: str) -> AsyncIterator[dict[str, Any]]:
    """`id` and one property, as `value`, of every node that has it. Page by page, in the order of the ids."""
    # The ids are compared behind WITH: else the planner takes the index of the ids, in which every repository is.
    query = (
        f"MATCH (n:{label} {{repo: $repo}}) WHERE n._missing IS NULL AND n.{name} IS NOT NULL "
        f"WITH n.id AS id, n.{name} AS value WHERE id > $after RETURN id, value ORDER BY id LIMIT $page"
    )
    after = ""
    while rows := await graph.read(query, after=after, page=_PAGE):
        for row in rows:
            yield row
        if len(rows) < _PAGE:
            return
        after = str(rows[-1]["id"])
