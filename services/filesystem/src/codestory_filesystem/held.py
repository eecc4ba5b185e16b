"""What the graph holds already that the step builds on: the hashes of the last run, and other steps' symbols."""

from dataclasses import dataclass

from codestory.graph import GraphWriter, Label

#: What may be defined in a file.
SYMBOLS = (Label.CLASS, Label.FUNCTION, Label.METHOD)


@dataclass(frozen=True, slots=True)
class Symbol:
    label: Label
    id: str
    path: str


async def hashes(graph: GraphWriter) -> dict[str, bytes]:
    """The sha256 of each file that was parsed, by the id of its node."""
    return {
        str(row["id"]): bytes.fromhex(row["sha256"])
        async for row in graph.nodes(Label.FILE, "sha256")
        if row["sha256"] is not None
    }


async def symbols(graph: GraphWriter) -> list[Symbol]:
    return [
        Symbol(label, str(row["id"]), str(row["path"]))
        for label in SYMBOLS
        async for row in graph.nodes(label, "path")
        if row["path"] is not None
    ]
