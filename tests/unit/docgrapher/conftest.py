"""Documents from text, a repository on disk, and a graph that records what it is given."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

import pytest

from codestory.contracts.jobs import Repository
from codestory.contracts.results import Progress
from codestory.files.repository import RepositoryFiles
from codestory.graph import GraphWriter, Node, Relationship, node_id
from codestory.steps import StepContext, StepResult
from codestory_docgrapher import formats
from codestory_docgrapher.document import Document
from codestory_docgrapher.parse import parse
from codestory_docgrapher.step import DocumentationGrapherStep, Options

REPOSITORY = "repo-id"


@dataclass
class RecordingGraph:
    """Holds what was written last, and the symbols and relationships that other steps are said to have written."""

    symbols: list[Node] = field(default_factory=list[Node])
    others: list[Relationship] = field(default_factory=list[Relationship])
    written: list[Node] = field(default_factory=list[Node])
    joined: list[Relationship] = field(default_factory=list[Relationship])
    #: The paths of the files by their ids.
    files: dict[str, str] = field(default_factory=dict[str, str])

    async def replace(
        self, nodes: Iterable[Node], relationships: Iterable[Relationship], **_: object
    ) -> dict[str, int]:
        self.written, self.joined = list(nodes), list(relationships)
        return {}

    async def nodes(self, label: str, *properties: str) -> AsyncIterator[dict[str, Any]]:
        """As GraphWriter.nodes: the symbols that another step is said to have written."""
        for node in sorted(self.symbols, key=lambda node: node.id):
            if node.label == label:
                yield {"id": node.id} | {name: node.properties.get(name) for name in properties}

    async def relationships(
        self, type_: str, source_label: str, target_label: str, *properties: str
    ) -> AsyncIterator[dict[str, Any]]:
        """As GraphWriter.relationships: those that other steps are said to have written."""
        for row in self.others:
            if (row.type, row.source_label, row.target_label) == (type_, source_label, target_label):
                known = {name: row.properties.get(name) for name in properties}
                yield {"source": row.source, "target": row.target} | known

    def facts(self) -> set[tuple[object, ...]]:
        """The relationships with what is known of them: evidence, confidence, lines. Their ends by path and anchor."""
        return {
            (str(row.type), self._name(row.source), self._name(row.target), *_known(row.properties))
            for row in self.joined
        }

    def _name(self, end: str) -> str:
        for node in self.symbols:
            if node.id == end and "qualified_name" in node.properties:
                return f"{node.properties['path']}:{node.properties['qualified_name']}"
        for node in self.written:
            if node.id == end:
                anchor = node.properties.get("anchor")
                return f"{node.properties['path']}" + ("" if anchor is None else f"#{anchor}")
        return self.files.get(end, end)


def _known(properties: Mapping[str, Any]) -> list[object]:
    if "evidence" not in properties:
        return []
    return [
        tuple(properties["evidence"]),
        properties["confidence"],
        *properties.get("lines", properties.get("cells", ())),
    ]


@pytest.fixture
def document() -> Callable[..., Document]:
    """A document from its path and its text, which may be indented."""

    def make(path: str, text: str) -> Document:
        text = dedent(text).lstrip("\n")
        return parse(path, text, formats.format_of(path, text, wanted=["*"]) or "")

    return make


@pytest.fixture
def graph() -> RecordingGraph:
    return RecordingGraph()


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Path]:
    root = tmp_path / "repository"
    root.mkdir()

    def make(contents: Mapping[str, str | bytes]) -> Path:
        for name, content in contents.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return make


@pytest.fixture
def run(graph: RecordingGraph) -> Callable[..., Awaitable[StepResult]]:
    """Runs the step on a directory; `said` gets its progress."""

    async def run(root: Path, *, said: list[Progress] | None = None, **options: Any) -> StepResult:
        with RepositoryFiles(root) as files:
            graph.files = {node_id(REPOSITORY, "File", entry.path): entry.path for entry in files.walk()}
            context = StepContext(
                job="job",
                attempt=1,
                repository=Repository(id=REPOSITORY, name="example", path=str(root)),
                options=Options(**options),
                files=files,
                graph=cast("GraphWriter", graph),
                log=logging.getLogger("test"),
                report=(said if said is not None else list[Progress]()).append,
            )
            return await DocumentationGrapherStep().execute(context)

    return run
