"""Everything around a step: what an author writes against, and the host that runs it. Steps know nothing of NATS.

What an author needs is loaded on first use, so that the host, which needs none of it, stays small."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codestory.steps.step import PipelineStep, StepContext, StepError, StepResult, TemporaryStepError

__all__ = ["PipelineStep", "StepContext", "StepError", "StepResult", "TemporaryStepError"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from codestory.steps import step  # noqa: PLC0415

    return getattr(step, name)
