"""A repository on disk, and a graph that records what it is given."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from codestory.contracts.jobs import Repository
from codestory.contracts.results import Progress
from codestory.files.repository import FileSettings, RepositoryFiles
from codestory.graph import GraphWriter, Node, Relationship
from codestory.steps import StepContext, StepResult
from codestory_filesystem.step import FileSystemStep, Options

Tree = Callable[[Mapping[str, str | bytes]], Path]


@dataclass
class RecordingGraph:
    """Holds what was written last, and the symbols that another step is said to have written."""

    symbols: list[Node] = field(default_factory=list[Node])
    written: list[Node] = field(default_factory=list[Node])
    relationships: list[Relationship] = field(default_factory=list[Relationship])
    volatile: dict[str, Any] = field(default_factory=dict[str, Any])

    async def replace(
        self, nodes: Iterable[Node], relationships: Iterable[Relationship], *, volatile: Mapping[str, Any], **_: object
    ) -> dict[str, int]:
        before = self.written, self.relationships
        self.written, self.relationships, self.volatile = list(nodes), list(relationships), dict(volatile)
        return {} if before == (self.written, self.relationships) else {"nodes created": len(self.written)}

    async def nodes(self, label: str, *properties: str) -> AsyncIterator[dict[str, Any]]:
        """As GraphWriter.nodes: what was written, and the symbols of the other step."""
        for node in sorted([*self.written, *self.symbols], key=lambda node: node.id):
            if node.label == label:
                yield {"id": node.id} | {name: node.properties.get(name) for name in properties}

    def by_path(self, label: str) -> dict[str, Mapping[str, Any]]:
        return {str(node.properties["path"]): node.properties for node in self.written if node.label == label}

    def pairs(self, type_: str) -> set[tuple[str, str]]:
        """The ends of the relationships of one type, by name."""
        names = {node.id: str(node.properties.get("path", node.properties["name"])) for node in self.written}
        names |= {node.id: str(node.properties["name"]) for node in self.symbols}
        return {(names[row.source], names[row.target]) for row in self.relationships if row.type == type_}


@pytest.fixture
def graph() -> RecordingGraph:
    return RecordingGraph()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
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

    async def run(
        root: Path, *, settings: FileSettings | None = None, said: list[Progress] | None = None, **options: Any
    ) -> StepResult:
        with RepositoryFiles(root, settings) as files:
            context = StepContext(
                job="job",
                attempt=1,
                repository=Repository(id="repo-id", name="example", path=str(root), url="https://example.org/r.git"),
                options=Options(**options),
                files=files,
                graph=cast("GraphWriter", graph),
                log=logging.getLogger("test"),
                report=(said if said is not None else list[Progress]()).append,
            )
            return await FileSystemStep().execute(context)

    return run
