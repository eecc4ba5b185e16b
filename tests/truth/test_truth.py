"""What the steps find in small packages, against answers that were written by reading the code (README.md)."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from neo4j import AsyncDriver
from pydantic import BaseModel, ConfigDict, Field

from codestory.graph import node_id, queries

_HERE = Path(__file__).parent
_SYMBOLS = ("Class", "Function", "Method")
_REFERENCES = ("INHERITS_FROM", "OVERRIDES", "INSTANTIATES", "CALLS", "USES", "IMPORTS")

#: By kind of node or relationship: each node by its name, each relationship as `from -> to`.
Facts = Mapping[str, set[str]]
Share = Annotated[float, Field(ge=0, le=1)]


class Floor(BaseModel):
    model_config = ConfigDict(extra="forbid")

    precision: Share
    recall: Share


class Answer(BaseModel):
    """As written in answer.yml."""

    model_config = ConfigDict(extra="forbid")

    symbols: dict[str, dict[str, list[str]]]
    relationships: dict[str, dict[str, list[str]]]
    floor: dict[str, Floor]

    def facts(self) -> Facts:
        facts: defaultdict[str, set[str]] = defaultdict(set)
        for path, labels in self.symbols.items():
            names = {name for listed in labels.values() for name in listed}
            for label, listed in labels.items():
                facts[label] |= {f"{path}:{name}" for name in listed}
            facts["DEFINES"] |= {f"{path} -> {path}:{name}" for name in names}
            facts["CONTAINS"] |= {
                f"{path}:{scope} -> {path}:{name}" for name in names if (scope := name.rpartition(".")[0]) in names
            }
        for type_, ends in self.relationships.items():
            facts[type_] |= {f"{source} -> {target}" for source, targets in ends.items() for target in targets}
        return facts


@dataclass
class Score:
    """Of one kind. What nobody said, and nothing was to be said of, is no mistake."""

    kind: str
    expected: set[str] = field(default_factory=set[str])
    found: set[str] = field(default_factory=set[str])

    @property
    def precision(self) -> float:
        return _share(self.found & self.expected, self.found)

    @property
    def recall(self) -> float:
        return _share(self.found & self.expected, self.expected)

    def lines(self) -> Iterator[str]:
        yield f"{self.kind:14} precision {self.precision:.3f}  recall {self.recall:.3f}  of {len(self.expected)}"
        yield from (f"    wrong    {fact}" for fact in sorted(self.found - self.expected))
        yield from (f"    missing  {fact}" for fact in sorted(self.expected - self.found))


@pytest.mark.parametrize("package", sorted(path.parent.name for path in _HERE.glob("*/answer.yml")))
async def test_the_graph_says_of_a_package_what_is_true_of_it(package: str, ingested: Callable[..., Any]) -> None:
    folder = _HERE / package
    answer = Answer.model_validate(yaml.safe_load((folder / "answer.yml").read_text(encoding="utf-8")))
    async with ingested(folder / "repository", f"truth-{package}") as driver:
        found = await _facts(driver, f"truth-{package}")

    expected = answer.facts()
    kinds = [*_SYMBOLS, "CONTAINS", "DEFINES", *_REFERENCES]
    scores = [Score(kind, expected.get(kind, set()), found.get(kind, set())) for kind in kinds]

    said = "\n".join(line for score in scores if score.expected or score.found for line in score.lines())
    print(f"{package}\n{said}")
    fallen = [score.kind for score in scores if _has_fallen(score, answer.floor.get(score.kind))]
    assert not fallen, f"{fallen} below their floor\n{said}"


def _has_fallen(score: Score, floor: Floor | None) -> bool:
    """Without a floor everything must be right."""
    least = floor or Floor(precision=1, recall=1)
    return round(score.precision, 3) < least.precision or round(score.recall, 3) < least.recall


def _share(part: set[str], whole: set[str]) -> float:
    return len(part) / len(whole) if whole else 1.0


async def _facts(driver: AsyncDriver, repository: str) -> Facts:
    names: dict[str, str] = {}
    facts: defaultdict[str, set[str]] = defaultdict(set)
    relationships: list[tuple[str, str, str]] = []
    async for kind, *item in queries.items(driver, repository):
        if kind == "relationship":
            _, type_, _, source, _, target, *_ = item
            relationships.append((str(type_), str(source), str(target)))
            continue
        label, id_, missing, properties = item
        assert not missing, f"somebody names a {label} that nobody has written: {id_}"
        names[str(id_)] = _name(repository, str(label), str(id_), properties)
        facts[str(label)].add(names[str(id_)])
    symbols = set[str]().union(*(facts[label] for label in _SYMBOLS))
    for type_, source, target in relationships:
        if type_ != "CONTAINS" or names[source] in symbols:
            facts[type_].add(f"{names[source]} -> {names[target]}")
    return facts


def _name(repository: str, label: str, id_: str, properties: Mapping[str, Any]) -> str:
    path = str(properties.get("path", properties.get("name", "")))
    if label not in _SYMBOLS:
        return path
    name = str(properties["qualified_name"])
    ordinal = next(number for number in range(100) if node_id(repository, label, path, name, number) == id_)
    return f"{path}:{name}#{ordinal}" if ordinal else f"{path}:{name}"
