"""Repositories on disk, the real programs of Blarify's environment, and a graph that records what it is given."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from codestory.contracts.jobs import Repository
from codestory.contracts.results import Progress
from codestory.files.repository import RepositoryFiles
from codestory.graph import GraphWriter, Node, Relationship
from codestory.steps import StepContext, StepResult
from codestory_blarify.step import BlarifyStep, Options

Contents = Mapping[str, str | bytes]


def write(root: Path, contents: Contents) -> Path:
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Contents], Path]:
    root = tmp_path / "repository"
    root.mkdir()
    return lambda contents: write(root, contents)


@dataclass
class RecordingGraph:
    """Holds what was written last."""

    nodes: list[Node] = field(default_factory=list[Node])
    relationships: list[Relationship] = field(default_factory=list[Relationship])
    writes: int = 0

    async def replace(
        self, nodes: Iterable[Node], relationships: Iterable[Relationship], **_: object
    ) -> dict[str, int]:
        self.nodes, self.relationships = list(nodes), list(relationships)
        self.writes += 1
        return {"nodes created": len(self.nodes)}

    def names(self, label: str) -> list[str]:
        return [str(node.properties["qualified_name"]) for node in self.nodes if node.label == label]

    def pairs(self, type_: str) -> set[tuple[str, str]]:
        """The ends of the relationships of one type: names of symbols, ids of what is not ours."""
        names = {node.id: str(node.properties.get("qualified_name", node.properties["name"])) for node in self.nodes}
        rows = [row for row in self.relationships if row.type == type_]
        return {(names.get(row.source, row.source), names.get(row.target, row.target)) for row in rows}


@pytest.fixture
def graph() -> RecordingGraph:
    return RecordingGraph()


@pytest.fixture
def run(graph: RecordingGraph) -> Callable[..., Awaitable[StepResult]]:
    """Runs the step on a directory; `said` gets its progress. With `last`, the last run's result: in update mode."""

    async def run(
        root: Path, *, said: list[Progress] | None = None, last: StepResult | None = None, **options: Any
    ) -> StepResult:
        with RepositoryFiles(root) as files:
            context = StepContext(
                job="job",
                attempt=1,
                repository=Repository(id="repo-id", name="example", path=str(root), url=""),
                options=Options(**options),
                files=files,
                graph=cast("GraphWriter", graph),
                log=logging.getLogger("test"),
                report=(said if said is not None else list[Progress]()).append,
                remembered=last.remember if last else {},
            )
            step = BlarifyStep()
            return await (step.update(context) if last else step.execute(context))

    return run
