"""Checks a request and makes its plan: which steps, in which order, with which options."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from jsonschema import SchemaError
from jsonschema.validators import validator_for
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from codestory.contracts.api import StepInfo, SubmitJob
from codestory.contracts.plans import Options, PipelineConfig, StepPlan
from codestory.pipeline_rules import broken
from codestory_orchestrator.errors import (
    ConfigInvalid,
    InvalidOption,
    OutsideRoots,
    PipelineInvalid,
    RepositoryRefused,
    UnknownOption,
    UnknownStep,
)


def allowed(path: Path, roots: tuple[Path, ...]) -> Path:
    """The real path behind `path`, which lies below one of `roots`; without roots it may lie anywhere.

    What lies outside is refused whether it exists or not, in the same words."""
    if not path.is_absolute():
        raise RepositoryRefused(f"The repository {str(path)!r} is no absolute path; the service has no folder of yours.")
    try:
        real = Path(os.path.realpath(path))
    except ValueError as error:
        raise RepositoryRefused(f"The repository {str(path)!r} is no path: {error}.") from error
    if roots and not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        raise OutsideRoots
    return real


def plan(request: SubmitJob, config: PipelineConfig, known: Mapping[str, StepInfo]) -> tuple[StepPlan, ...]:
    """The plan of the job that `request` asks for.

    `config` is the service's own pipeline, unless the request carries one. `known`: the registered steps. Options:
    the pipeline's for the step, over these the request's for every step, over these the request's for this one. The
    host keeps of them what the step declares; what is addressed to one step and not declared is refused here.
    """
    pipeline = request.pipeline or config
    if rules := broken(pipeline):
        raise PipelineInvalid("The pipeline: " + "; ".join(rule.reason for rule in rules) + ".")
    names = tuple(step.name for step in pipeline.steps)
    _refuse_unknown(request.steps, names, "The pipeline has no step")
    planned = pipeline.plan(request.steps)
    _refuse_unknown([step.name for step in planned], known, "No service offers the step")
    _refuse_unknown(request.step_options, [step.name for step in planned], "Options are given for, but the job does not run,")
    return tuple(_with_options(step, request, known[step.name]) for step in planned)
