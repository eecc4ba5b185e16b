"""A repository on disk, a real graph server, and symbols in it as blarify writes them, found by Python's own parser."""

import ast
import hashlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from neo4j import AsyncDriver

from codestory.contracts.jobs import Repository
from codestory.contracts.results import Progress
from codestory.files.repository import RepositoryFiles
from codestory.graph import (
    Fence,
    GraphSettings,
    GraphWriter,
    Label,
    Node,
    Relationship,
    RelationshipType,
    connect,
    node_id,
)
from codestory.steps import StepContext, StepResult
from codestory.testing_models import ModelServer, Rules
from codestory_filesystem.step import FileSystemStep
from codestory_filesystem.step import Options as FileSystemOptions
from codestory_summarizer.step import Options, SummarizerStep

SYMBOLS = (Label.CLASS, Label.FUNCTION, Label.METHOD)
Row = dict[str, Any]


@dataclass
class Symbols:
    """Classes, functions and methods of Python files, and what calls what by name: enough to stand for blarify."""

    repository: str
    nodes: list[Node] = field(default_factory=list[Node])
    relationships: list[Relationship] = field(default_factory=list[Relationship])
    named: dict[str, list[Node]] = field(default_factory=dict[str, list[Node]])
    called: list[tuple[str, str, str, int]] = field(default_factory=list[tuple[str, str, str, int]])
    seen: dict[tuple[str, str, str], int] = field(default_factory=dict[tuple[str, str, str], int])

    def add(self, path: str, text: str) -> None:
        file = node_id(self.repository, Label.FILE, path)
        self._walk(ast.parse(text), path, text.splitlines(), (Label.FILE, file), "")

    def link(self) -> None:
        """Calls of names that only one symbol has."""
        lines: dict[tuple[str, str, str], list[int]] = {}
        for source_label, source, name, line in self.called:
            if len(self.named.get(name, ())) == 1:
                lines.setdefault((source_label, source, name), []).append(line)
        for (source_label, source, name), found in lines.items():
            [target] = self.named[name]
            type_ = RelationshipType.INSTANTIATES if target.label == Label.CLASS else RelationshipType.CALLS
            properties: Row = {"lines": sorted({*found}), "resolved_by": "name"}
            self.relationships.append(Relationship(type_, source_label, source, target.label, target.id, properties))

    def _walk(self, node: ast.AST, path: str, text: list[str], above: tuple[str, str], scope: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                symbol = self._symbol(child, path, text, above, scope)
                self._walk(child, path, text, (symbol.label, symbol.id), str(symbol.properties["qualified_name"]))
                continue
            if isinstance(child, ast.Call) and (name := _called(child.func)):
                self.called.append((*above, name, child.lineno))
            self._walk(child, path, text, above, scope)

    def _symbol(
        self,
        child: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
        path: str,
        text: list[str],
        above: tuple[str, str],
        scope: str,
    ) -> Node:
        label = Label.METHOD if above[0] == Label.CLASS else Label.FUNCTION
        label = Label.CLASS if isinstance(child, ast.ClassDef) else label
        qualified = f"{scope}.{child.name}" if scope else child.name
        ordinal = self.seen[path, label, qualified] = self.seen.get((path, label, qualified), -1) + 1
        lines = text[child.lineno - 1 : child.end_lineno]
        head = lines[: max(child.body[0].lineno - child.lineno, 1)]
        properties: Row = {
            "name": child.name,
            "qualified_name": qualified,
            "path": path,
            "language": "Python",
            "start_line": child.lineno,
            "end_line": child.end_lineno,
            "signature": " ".join(" ".join(head).split()).removesuffix(":"),
            "docstring": ast.get_docstring(child),
            "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        }
        symbol = Node(label, node_id(self.repository, label, path, qualified, ordinal), properties)
        self.nodes.append(symbol)
        self.named.setdefault(child.name, []).append(symbol)
        if above[0] != Label.FILE:
            self.relationships.append(Relationship(RelationshipType.CONTAINS, *above, symbol.label, symbol.id))
        return symbol


def _called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


@dataclass
class Workplace:
    """One repository: its files, and what the steps make of them."""

    root: Path
    driver: AsyncDriver
    settings: GraphSettings
    id: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    said: list[Progress] = field(default_factory=list[Progress])
    runs: int = 0

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    async def ingest(self) -> None:
        """What comes before summarizer: files by the real step, symbols by Python's parser."""
        symbols = Symbols(self.id)
        for file in sorted(self.root.rglob("*.py")):
            symbols.add(file.relative_to(self.root).as_posix(), file.read_text())
        symbols.link()
        await self.writer("blarify", SYMBOLS).replace(symbols.nodes, symbols.relationships, shrink_limit=1)
        with RepositoryFiles(self.root) as files:
            writer = self.writer("filesystem", FileSystemStep.owns)
            await FileSystemStep().execute(self._context(FileSystemOptions(), files, writer))

    async def summarize(self, **options: Any) -> StepResult:
        with RepositoryFiles(self.root) as files:
            writer = self.writer("summarizer", SummarizerStep.owns)
            return await SummarizerStep().execute(self._context(Options(**options), files, writer))

    async def summaries(self) -> dict[str, Row]:
        """The properties of each summary, by the name of what it summarizes."""
        query = (
            "MATCH (n)-[:SUMMARIZED_BY]->(s:Summary {repo: $repo}) WHERE s._missing IS NULL "
            "RETURN labels(n) AS labels, n.path AS path, n.qualified_name AS name, properties(s) AS summary"
        )
        rows = await self.writer("reader", ()).read(query)
        return {row["name"] or row["path"] or ".": row["summary"] for row in rows}

    def writer(self, owner: str, labels: tuple[str, ...]) -> GraphWriter:
        self.runs += 1
        return GraphWriter(
            self.driver,
            self.settings,
            repository=self.id,
            owner=owner,
            fence=Fence(1, self.runs),
            labels=tuple(map(str, labels)),
        )

    def _context(self, options: Any, files: RepositoryFiles, writer: GraphWriter) -> StepContext[Any]:
        return StepContext(
            job="job",
            attempt=1,
            repository=Repository(id=self.id, name="example", path=str(self.root)),
            options=options,
            files=files,
            graph=writer,
            log=logging.getLogger("test.summarizer"),
            report=self.said.append,
        )


@pytest.fixture
async def workplace(
    graph_server: GraphSettings, tmp_path: Path
) -> AsyncIterator[Callable[[Mapping[str, str]], Workplace]]:
    """Makes repositories of these files, each with an id of its own."""
    async with connect(graph_server) as driver:

        def make(files: Mapping[str, str]) -> Workplace:
            id_ = uuid.uuid4().hex
            made = Workplace(tmp_path / id_[:8], driver, graph_server, id_)
            made.root.mkdir()
            made.write(files)
            return made

        yield make


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ModelServer]:
    """A model server that the service is set up for, as provider `openai`. A parameter: its rules. Its model is another
    each time: what one test's said must not be found by the next."""
    with ModelServer(getattr(request, "param", Rules())) as server:
        for name, value in {
            "OPENAI_URL": server.openai_url,
            "OPENAI_API_KEY": server.rules.key,
            "OPENAI_MODEL": f"model-{uuid.uuid4().hex[:8]}",
            "LLM_BACKOFF_SECONDS": "0.01",
            "LLM_BACKOFF_LIMIT_SECONDS": "0.02",
        }.items():
            monkeypatch.setenv(f"CODESTORY_{name}", value)
        yield server
