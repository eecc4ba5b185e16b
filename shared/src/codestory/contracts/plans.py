"""What a job is to do: its steps in order, with their options, retries and time limits."""

import math
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from codestory.contracts.values import ResourceTag, StepName, Value, When

#: How deep the value of an option may be nested. Every JSON reader on the way takes at least that.
MAX_OPTION_DEPTH = 20


def _portable(value: JsonValue, depth: int = 0) -> None:
    """Raise ValueError unless every JSON reader and writer on the way gives this value back as it is."""
    if depth > MAX_OPTION_DEPTH:
        raise ValueError(f"nested deeper than {MAX_OPTION_DEPTH}")
    match value:
        case bool() | None:
            pass
        case int() if not -(2**63) <= value < 2**63:
            raise ValueError("a number does not fit 64 bits")
        case float() if not math.isfinite(value):
            raise ValueError("a number is not finite")
        case str() if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError("a text is not valid Unicode")
        case list():
            for item in value:
                _portable(item, depth + 1)
        case dict():
            for name, item in value.items():
                _portable(name, depth + 1)
                _portable(item, depth + 1)
        case _:
            pass


def _portable_options(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _portable(options)
    return options


Options = Annotated[dict[str, JsonValue], AfterValidator(_portable_options)]


class Retry(Value):
    """How often a step is tried again after a temporary error, and how long to wait in between.

    The n-th wait is `back_off_seconds` * 2 ** (n - 1), at most `max_back_off_seconds`."""

    max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    back_off_seconds: Annotated[float, Field(ge=0, le=86_400)] = 10.0
    max_back_off_seconds: Annotated[float, Field(ge=0, le=86_400)] = 600.0

    def wait(self, retries: int) -> float:
        """Seconds before retry number `retries` (1 is the first)."""
        return min(self.back_off_seconds * 2 ** (retries - 1), self.max_back_off_seconds)


class StepPlan(Value):
    """One step as the job was made. Only a retry with other options changes it."""

    name: StepName
    depends_on: tuple[StepName, ...] = ()
    #: `always`: it runs whatever became of what it depends on.
    when: When = When.SUCCESS
    options: Options = {}
    retry: Retry = Retry()
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    optional: bool = False
    #: Of each of these it holds one while it is admitted.
    resources: tuple[ResourceTag, ...] = ()


class ConfiguredStep(Value):
    """A step as `pipeline_config.yml` states it. Without `depends_on` it depends on the step before it.

    A field that is not known is refused, here and in the file as a whole, so that no wish is dropped silently."""

    model_config = ConfigDict(extra="forbid")

    name: StepName
    concurrency: Annotated[int, Field(ge=1, le=1000)] | None = None
    depends_on: tuple[StepName, ...] | None = None
    when: When = When.SUCCESS
    options: Options = {}
    retry: Retry | None = None
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    optional: bool = False
    resources: Annotated[tuple[ResourceTag, ...], Field(max_length=20)] = ()


class PipelineConfig(Value):
    """The whole of `pipeline_config.yml`. `codestory.pipeline_rules` says what it must hold beyond its types."""

    model_config = ConfigDict(extra="forbid")

    steps: Annotated[tuple[ConfiguredStep, ...], Field(min_length=1, max_length=100)]
    retry: Retry = Retry()
    #: How many admitted steps may hold each tag at once. A tag that is not named here is not limited.
    resource_limits: dict[ResourceTag, Annotated[int, Field(ge=0, le=100_000)]] = {}

    def plan(self, only: tuple[str, ...] = ()) -> tuple[StepPlan, ...]:
        """The plan of a job that runs all steps, or `only` these, in the order of this file.

        A step left out is passed over: what depends on it depends on what it depended on."""
        stated = self.dependencies()
        kept = [step for step in self.steps if not only or step.name in only]
        names = {step.name for step in kept}
        return tuple(
            StepPlan(
                name=step.name,
                depends_on=_reached(step.name, stated, names),
                when=step.when,
                options=step.options,
                retry=step.retry or self.retry,
                timeout_seconds=step.timeout_seconds,
                optional=step.optional,
                resources=step.resources,
            )
            for step in kept
        )

    def dependencies(self) -> dict[str, tuple[str, ...]]:
        """What each step waits for: as stated, else the step before it."""
        before = [(), *((step.name,) for step in self.steps)]
        return {
            step.name: default if step.depends_on is None else step.depends_on
            for step, default in zip(self.steps, before, strict=False)
        }


def _reached(name: str, stated: dict[str, tuple[str, ...]], kept: set[str]) -> tuple[str, ...]:
    """The kept steps that `name` depends on, found through those that are left out."""
    found: dict[str, None] = {}
    seen = {name}
    ahead = list(reversed(stated[name]))
    while ahead:
        step = ahead.pop()
        if step in seen:
            continue
        seen.add(step)
        if step in kept:
            found[step] = None
        else:
            ahead.extend(reversed(stated.get(step, ())))
    return tuple(found)
