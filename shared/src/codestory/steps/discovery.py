"""Which steps are installed: the entry points of `codestory.pipeline.steps`."""

from importlib.metadata import entry_points
from typing import cast

from codestory.contracts.api import StepInfo
from codestory.steps.progress import normalised
from codestory.steps.step import AnyStep, PipelineStep

GROUP = "codestory.pipeline.steps"


class StepNotFound(Exception):
    """No installed package provides this step."""


def installed() -> list[str]:
    return sorted(entry.name for entry in entry_points(group=GROUP))


def load(name: str) -> type[AnyStep]:
    """The class of a step. Its package is imported here, and nowhere else."""
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise StepNotFound(
            f"no installed package provides the step {name!r}; there are: {', '.join(installed()) or 'none'}"
        )
    loaded = found[0].load()
    if not (isinstance(loaded, type) and issubclass(loaded, PipelineStep)):
        raise StepNotFound(f"{found[0].value} is not a PipelineStep")
    step = cast("type[AnyStep]", loaded)
    if step.name != name:
        raise StepNotFound(f"{found[0].value} calls itself {step.name!r}, its entry point {name!r}; they must be equal")
    return step


def describe(step: type[AnyStep]) -> StepInfo:
    """What the registry is told of a step. Raises PhasesInvalid."""
    entry = next(entry for entry in entry_points(group=GROUP) if entry.name == step.name)
    return StepInfo(
        name=step.name,
        version=entry.dist.version if entry.dist else "0",
        title=(step.__doc__ or "").strip().partition("\n")[0],
        options_schema=step.options_model().model_json_schema(),
        phases=normalised(step.phases),
        supports_update=step.updates(),
    )
