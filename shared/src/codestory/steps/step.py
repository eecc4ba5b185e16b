"""What an author of a step writes against: an options model, a class, one line back.

    class CountLines(PipelineStep[Options]):
        name = "count_lines"

        async def execute(self, ctx: StepContext[Options]) -> StepResult: ...
        async def update(self, ctx: StepContext[Options]) -> StepResult: ...  # optional

and in the package's pyproject.toml

    [project.entry-points."codestory.pipeline.steps"]
    count_lines = "my_package.step:CountLines"

`codestory-step count_lines` then serves it. docs/howto/write-a-step.md walks through a whole one."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic_settings import BaseSettings

from codestory.contracts.jobs import Repository
from codestory.contracts.results import EXAMPLES, NAMES, Gap, Progress, StepOutcome
from codestory.files.repository import RepositoryFiles
from codestory.graph import GraphWriter
from codestory.step_errors import StepError, TemporaryStepError
from codestory.steps.operations import StepOperations

#: What a record holds of a step's details; it travels with every look at the job.
DETAILS_BYTES = 16_000

OptionsT = TypeVar("OptionsT", bound=BaseModel)


@dataclass(frozen=True)
class StepResult:
    """What a step did, in its own words and counts.

    `skipped` and `failed` hold every part of the repository that was found and not taken in, each with its reason;
    a job with any of them is COMPLETED with gaps, not complete. `counts` are added up by whoever reads them, so give
    numbers, not rates. `written` is what `ctx.graph.replace` returned. `details`: anything else worth keeping with the
    job, as JSON; at most DETAILS_BYTES of it. `remember`: what `update` is to find as `ctx.remembered`, as JSON; where
    it is more than a megabyte, `update` finds nothing."""

    summary: str = ""
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    skipped: Iterable[Gap] = ()
    failed: Iterable[Gap] = ()
    nodes: Mapping[str, int] = field(default_factory=dict[str, int])
    relationships: Mapping[str, int] = field(default_factory=dict[str, int])
    written: Mapping[str, int] = field(default_factory=dict[str, int])
    details: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    remember: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def outcome(self) -> StepOutcome:
        """As it travels: gaps counted by reason, the first few by name."""
        skipped, failed = list(self.skipped), list(self.failed)
        return StepOutcome(
            summary=self.summary[:1000],
            counts=_bounded(self.counts),
            skipped=_bounded(_by_reason(skipped)),
            failed=_bounded(_by_reason(failed)),
            gaps=(*failed[:EXAMPLES], *skipped[:EXAMPLES]),
            nodes=_bounded(self.nodes),
            relationships=_bounded(self.relationships),
            written=_bounded(self.written),
            details=_small(self.details),
        )


@dataclass
class StepContext(Generic[OptionsT]):
    """What one run of a step is given.

    `files` reads the repository, confined to it; `graph` writes and reads the graph, fenced: a write of an attempt
    that has been replaced raises `Fenced` and changes nothing. There is no checkpoint: what is in the graph is not
    computed again, because `graph.replace` writes only the difference."""

    job: str
    attempt: int
    repository: Repository
    options: OptionsT
    files: RepositoryFiles
    graph: GraphWriter
    log: logging.Logger
    report: Callable[[Progress], None]
    #: In `update`: what the last run that completed asked to `remember`; its content is what the graph holds.
    remembered: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def progress(
        self, done: int, total: int | None = None, unit: str = "", message: str = "", *, phase: str = ""
    ) -> None:
        """Say how far the run is: of its `phase`, for a step that has `phases`. `message` names what is at hand.

        Cheap: call it as often as you like, a few a second are sent on. Say it before a thing is begun, not after: what
        was said last is what is shown when nothing more comes."""
        unit, message, phase = _printable(unit)[:40], _printable(message)[:500], _printable(phase)[:40]
        self.report(Progress(done=done, total=total, unit=unit, message=message, phase=phase))


class PipelineStep(StepOperations, ABC, Generic[OptionsT]):
    """One step of the pipeline. Subclass it, name it, write `execute`.

    `name`: as in pipeline_config.yml, `[a-z][a-z0-9_]*`. `owns`: the node labels whose nodes this step alone writes;
    other steps' nodes may be named as ends of relationships. `phases`: what a run goes through, in order, each with its
    share of the time, in whatever unit. `settings_classes`: its own settings, which a support bundle shows
    without their secrets. A step runs in a process of its own and may block it."""

    name: ClassVar[str]
    owns: ClassVar[tuple[str, ...]] = ()
    phases: ClassVar[Mapping[str, float]] = {}
    settings_classes: ClassVar[tuple[type[BaseSettings], ...]] = ()

    @abstractmethod
    async def execute(self, ctx: StepContext[OptionsT]) -> StepResult:
        """Do the whole of this step's part for one repository. Running it twice must equal running it once."""

    async def update(self, ctx: StepContext[OptionsT]) -> StepResult:
        """The same content as `execute`, computed from less. Asked only where this step, of this version and with these
        options, has completed on this repository before, and has written nothing since. Without it: `execute`."""
        return await self.execute(ctx)

    @classmethod
    def updates(cls) -> bool:
        """It has an `update` of its own."""
        return cls.update is not PipelineStep.update

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        """Of the programs that it runs and that are no packages of its own environment, by name."""
        return {}

    @classmethod
    def options_model(cls) -> type[BaseModel]:
        """The model that the class was subscripted with; an empty one if none."""
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is PipelineStep:
                (model,) = get_args(base)
                if isinstance(model, type) and issubclass(model, BaseModel):
                    return model
        return NoOptions


class NoOptions(BaseModel):
    """The options of a step that has none."""


def _printable(text: str) -> str:
    """A file's name may hold what is no text; it would not travel."""
    return text.encode("utf-8", "backslashreplace").decode()


def _bounded(counts: Mapping[str, int]) -> dict[str, int]:
    """A record travels: of counts by very many names the largest keep theirs, the rest are added up."""
    if len(counts) <= NAMES:
        return {name[:200]: count for name, count in counts.items()}
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {name[:200]: count for name, count in ranked[:NAMES]} | {"other": sum(n for _, n in ranked[NAMES:])}


def _small(details: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Those that fit, in their order."""
    kept: dict[str, JsonValue] = {}
    room = DETAILS_BYTES
    for name, value in details.items():
        room -= len(json.dumps({name: value}))
        if room >= 0:
            kept[name] = value
    return kept


def _by_reason(gaps: Iterable[Gap]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for gap in gaps:
        counts[gap.reason] = counts.get(gap.reason, 0) + 1
    return counts


AnyStep = PipelineStep[Any]

__all__ = [
    "AnyStep",
    "NoOptions",
    "PipelineStep",
    "StepContext",
    "StepError",
    "StepResult",
    "TemporaryStepError",
]
