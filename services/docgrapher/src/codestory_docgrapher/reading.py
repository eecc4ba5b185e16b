"""What other steps have put into the graph: symbols, who imports and inherits them, summaries, hashes of files."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol

from codestory.graph import Label, RelationshipType, node_id
from codestory_docgrapher.modules import Code, Import
from codestory_docgrapher.places import Symbol

SYMBOLS = (Label.CLASS, Label.FUNCTION, Label.METHOD)
_PROPERTIES = ("name", "qualified_name", "path", "start_line", "module")


class Reads(Protocol):
    """What is read of a GraphWriter."""

    def nodes(self, label: str, /, *properties: str) -> AsyncIterator[dict[str, Any]]: ...

    def relationships(
        self, type_: str, source_label: str, target_label: str, /, *properties: str
    ) -> AsyncIterator[dict[str, Any]]: ...


async def read_code(graph: Reads, repository: str, paths: Iterable[str], *, symbols: bool, docstrings: bool) -> Code:
    """`paths`: of the files that may be named. Docstrings are read only if asked for: they are most of it."""
    files = {node_id(repository, Label.FILE, path): path for path in paths}
    if not symbols:
        return Code(summaries=await _summaries(graph, files))
    return Code(
        symbols=await _symbols(graph, docstrings=docstrings),
        imports=await _imports(graph, files),
        bases=await _bases(graph),
        summaries=await _summaries(graph, files),
    )


async def read_hashes(graph: Reads) -> dict[str, str]:
    """The sha256 of each file by its path, as the filesystem step read it."""
    return {row["path"]: row["sha256"] async for row in graph.nodes(Label.FILE, "path", "sha256") if row["sha256"]}


async def _symbols(graph: Reads, *, docstrings: bool) -> list[Symbol]:
    wanted = (*_PROPERTIES, "docstring") if docstrings else _PROPERTIES
    return [
        _symbol(label, row)
        for label in SYMBOLS
        async for row in graph.nodes(label, *wanted)
        if row["name"] and row["path"]
    ]


def _symbol(label: Label, row: Mapping[str, Any]) -> Symbol:
    return Symbol(
        id=row["id"],
        label=label,
        name=row["name"],
        qualified_name=row["qualified_name"] or row["name"],
        path=row["path"],
        start_line=row["start_line"] or 0,
        docstring=row.get("docstring") or "",
        module=row["module"] or "",
    )


async def _imports(graph: Reads, files: Mapping[str, str]) -> list[Import]:
    found: list[Import] = []
    for label in (*SYMBOLS, Label.FILE):
        async for row in graph.relationships(RelationshipType.IMPORTS, Label.FILE, label, "names"):
            path, target = files.get(row["source"]), row["target"]
            if path is None:
                continue
            names = tuple(row["names"] or ())
            if label != Label.FILE:
                found.append(Import(path, names, symbol=target))
            elif target in files:
                found.append(Import(path, names, file=files[target]))
    return found


async def _bases(graph: Reads) -> dict[str, list[str]]:
    bases: dict[str, list[str]] = {}
    async for row in graph.relationships(RelationshipType.INHERITS_FROM, Label.CLASS, Label.CLASS):
        bases.setdefault(row["source"], []).append(row["target"])
    return bases


async def _summaries(graph: Reads, files: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """The id of the summary by label and id of what it is of; of a file by its path."""
    summaries: dict[tuple[str, str], str] = {}
    for label in (*SYMBOLS, Label.FILE):
        async for row in graph.relationships(RelationshipType.SUMMARIZED_BY, label, Label.SUMMARY):
            source = files.get(row["source"]) if label == Label.FILE else row["source"]
            if source is not None:
                summaries[str(label), source] = row["target"]
    return summaries
