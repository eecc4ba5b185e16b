"""What documentation_grapher finds in a small package, against an answer that was written by reading it."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from neo4j import AsyncDriver
from pydantic import BaseModel, ConfigDict

from codestory.contracts.jobs import Repository
from codestory.files.repository import RepositoryFiles
from codestory.graph import Fence, GraphSettings, GraphWriter, queries
from codestory.steps import StepContext
from codestory_docgrapher.step import DocumentationGrapherStep, Options

_HERE = Path(__file__).parent
_OWN = ("HAS_SECTION", "DOCUMENTED_BY", "LINKS_TO", "DESCRIBES")

Facts = Mapping[str, set[str]]


class Answer(BaseModel):
    """As written in documentation.yml."""

    model_config = ConfigDict(extra="forbid")

    documents: dict[str, tuple[str, str]]
    sections: dict[str, tuple[str, int, int]]
    relationships: dict[str, dict[str, list[str] | dict[str, str]]]

    def facts(self) -> Facts:
        facts: defaultdict[str, set[str]] = defaultdict(set)
        facts["Document"] = {f"{path}: {form}, {title}" for path, (form, title) in self.documents.items()}
        facts["Section"] = {f"{name}: {head}, {level}, {at}" for name, (head, level, at) in self.sections.items()}
        for type_, sources in self.relationships.items():
            for source, targets in sources.items():
                said = targets if isinstance(targets, dict) else dict.fromkeys(targets, "")
                facts[type_] |= {f"{source} -> {target} {what}".rstrip() for target, what in said.items()}
        return facts


@pytest.mark.parametrize("package", sorted(path.parent.name for path in _HERE.glob("*/documentation.yml")))
async def test_the_graph_says_of_documentation_what_is_true_of_it(
    package: str, ingested: Callable[..., Any], graph_server: GraphSettings
) -> None:
    folder, repository = _HERE / package, f"truth-{package}"
    answer = Answer.model_validate(yaml.safe_load((folder / "documentation.yml").read_text(encoding="utf-8")))
    async with ingested(folder / "repository", repository) as driver:
        await _graph_documentation(folder / "repository", repository, driver, graph_server)
        found = await _facts(driver, repository)

    expected = answer.facts()
    said = "\n".join(_compared(kind, expected[kind], found.get(kind, set())) for kind in ("Document", "Section", *_OWN))
    print(f"{package}\n{said}")
    wrong = {kind: (found.get(kind, set()) ^ expected[kind]) for kind in expected}
    assert not any(wrong.values()), said


def _compared(kind: str, expected: set[str], found: set[str]) -> str:
    right = len(expected & found)
    precision, recall = right / max(len(found), 1), right / max(len(expected), 1)
    return "\n".join(
        [
            f"{kind:14} precision {precision:.3f}  recall {recall:.3f}  of {len(expected)}",
            *(f"    wrong    {fact}" for fact in sorted(found - expected)),
            *(f"    missing  {fact}" for fact in sorted(expected - found)),
        ]
    )


async def _graph_documentation(root: Path, repository: str, driver: AsyncDriver, settings: GraphSettings) -> None:
    step = DocumentationGrapherStep()
    writer = GraphWriter(driver, settings, repository=repository, owner=step.name, fence=Fence(1, 1), labels=step.owns)
    with RepositoryFiles(root) as files:
        await step.execute(
            StepContext(
                job="truth",
                attempt=1,
                repository=Repository(id=repository, name=repository, path=str(root)),
                options=Options(),
                files=files,
                graph=writer,
                log=logging.getLogger("test"),
                report=lambda _: None,
            )
        )


async def _facts(driver: AsyncDriver, repository: str) -> Facts:
    facts: defaultdict[str, set[str]] = defaultdict(set)
    names: dict[str, str] = {}
    relationships: list[tuple[str, ...]] = []
    async for kind, *item in queries.items(driver, repository):
        if kind == "relationship":
            _, type_, _, source, _, target, properties = item
            relationships.append((type_, source, target, _said(properties)))
            continue
        label, id_, missing, properties = item
        assert not missing, f"somebody names a {label} that nobody has written: {id_}"
        names[id_] = _name(label, properties)
        if label == "Document":
            facts[label].add(f"{properties['path']}: {properties['format']}, {properties['title']}")
        elif label == "Section":
            at = properties.get("cell", properties.get("start_line"))
            facts[label].add(f"{names[id_]}: {properties['heading']}, {properties['level']}, {at}")
    for type_, source, target, said in relationships:
        if type_ in _OWN:
            facts[type_].add(f"{names[source]} -> {names[target]} {said}".rstrip())
    return facts


def _said(properties: Mapping[str, Any]) -> str:
    """The evidence, and how sure it is unless it is quite so."""
    confidence = properties.get("confidence", 1.0)
    return " ".join([*properties.get("evidence", ()), *([str(confidence)] if confidence < 1 else [])])


def _name(label: str, properties: Mapping[str, Any]) -> str:
    path = str(properties.get("path", properties.get("name")))
    match label:
        case "Document":
            return f"doc {path}"
        case "Section":
            return f"{path}#{properties['anchor']}"
        case "Class" | "Function" | "Method":
            return f"{path}:{properties['qualified_name']}"
        case _:
            return path
