"""What a pipeline must hold beyond its types: each step and each of its tags named once, dependencies that exist and go
in no circle."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from codestory.contracts.plans import PipelineConfig

#: Where in the document: keys and positions from its top.
Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Broken:
    """One rule that a pipeline breaks, and where."""

    location: Location
    reason: str


def broken(config: PipelineConfig) -> tuple[Broken, ...]:
    """Every rule that `config` breaks; empty when a job can be planned from it."""
    found = (*_named_twice(config), *_tagged_twice(config), *_unknown_dependencies(config))
    return found or tuple(_circle(config))


def suggestion(word: str, known: Iterable[str]) -> str:
    """What was probably meant, in words to put behind a message about an unknown word."""
    known = tuple(known)
    close = get_close_matches(word, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known)}" if known else "there is none"


def _named_twice(config: PipelineConfig) -> Iterator[Broken]:
    first: dict[str, int] = {}
    for position, step in enumerate(config.steps):
        if first.setdefault(step.name, position) != position:
            yield Broken(("steps", position, "name"), f"step '{step.name}' is named twice")


def _tagged_twice(config: PipelineConfig) -> Iterator[Broken]:
    for position, step in enumerate(config.steps):
        for index, tag in enumerate(step.resources):
            if tag in step.resources[:index]:
                reason = f"step '{step.name}' names the resource '{tag}' twice: it holds one of each"
                yield Broken(("steps", position, "resources", index), reason)


def _unknown_dependencies(config: PipelineConfig) -> Iterator[Broken]:
    names = [step.name for step in config.steps]
    for position, step in enumerate(config.steps):
        for index, name in enumerate(step.depends_on or ()):
            if name not in names:
                hint = suggestion(name, [other for other in names if other != step.name])
                reason = f"step '{step.name}' depends on '{name}', which is no step of this pipeline ({hint})"
                yield Broken(("steps", position, "depends_on", index), reason)


def _circle(config: PipelineConfig) -> Iterator[Broken]:
    dependencies = config.dependencies()
    try:
        TopologicalSorter(dependencies).prepare()
    except CycleError as error:
        # graphlib names each step before the one that depends on it, the first again at the end.
        circle: list[str] = list(reversed(error.args[1]))
        positions = {step.name: position for position, step in enumerate(config.steps)}
        first = min(circle, key=positions.__getitem__)
        turn = circle.index(first)
        ring = [*circle[turn:-1], *circle[:turn], first]
        yield Broken(("steps", positions[first], "depends_on"), f"steps wait for each other: {_spelt(config, ring)}")


def _spelt(config: PipelineConfig, ring: list[str]) -> str:
    implied = {step.name for step in config.steps if step.depends_on is None}
    links = [
        f"'{step}' depends on '{other}'" + (" (it stands after it)" if step in implied else "")
        for step, other in pairwise(ring)
    ]
    return ", ".join(links)
