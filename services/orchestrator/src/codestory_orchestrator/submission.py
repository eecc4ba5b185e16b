"""Checks a request and makes its plan: which steps, in which order, with which options."""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from codestory import repository_identity
from codestory.contracts.access import Principal
from codestory.contracts.api import RetryJob, StepInfo, SubmitJob
from codestory.contracts.jobs import Job, Repository, Source
from codestory.contracts.plans import Options, PipelineConfig, StepPlan
from codestory.contracts.snapshots import snapshot_id
from codestory.contracts.values import OnFull
from codestory.pipeline_rules import broken
from codestory_orchestrator import control
from codestory_orchestrator.errors import (
    ConfigInvalid,
    InvalidOption,
    OutsideRoots,
    PipelineInvalid,
    RepositoryRefused,
    UnknownOption,
    UnknownStep,
)
from codestory_orchestrator.fetching import addresses
from codestory_orchestrator.fetching.settings import FetchSettings

#: The option of a step for how much of one run it does at once.
PARALLEL = "parallel"


def allowed(path: Path, roots: tuple[Path, ...]) -> Path:
    """The real path behind `path`, which lies below one of `roots`; without roots it may lie anywhere.

    What lies outside is refused whether it exists or not, in the same words.
    """
    if not path.is_absolute():
        raise RepositoryRefused(
            f"The repository's path {str(path)!r} is not absolute: the service cannot know which folder you are in."
        )
    try:
        real = Path(os.path.realpath(path))
    except ValueError as error:
        raise RepositoryRefused(f"The repository's path {str(path)!r} is none: {error}.") from error
    if roots and not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        raise OutsideRoots
    return real


def source(request: SubmitJob, settings: FetchSettings, owner: str | None = None) -> Source | None:
    """Where the repository is to be fetched from; None: it is at hand. `owner`: whose job it will be."""
    named = request.repository
    if snapshot_id(named) or not repository_identity.is_elsewhere(named):
        if request.ref or request.credential or request.submodules:
            raise RepositoryRefused(
                "`ref`, `credential` and `submodules` belong to a git address, and this repository has none."
            )
        return None
    try:
        address = addresses.parse(named)
        wanted = addresses.Wanted(address, request.ref or "", request.credential or "", request.submodules)
        addresses.check(wanted, settings, owner=owner)
    except addresses.BadGitAddress as error:
        raise RepositoryRefused(f"The git address {error}.") from error
    if request.on_full is OnFull.FAIL:
        raise RepositoryRefused("A repository that is to be fetched cannot start at once: leave out `on_full`.")
    return Source(url=address.url, ref=wanted.ref, credential=wanted.credential, submodules=wanted.submodules)


def refuse_secret(request: SubmitJob, caller: Principal, settings: FetchSettings) -> None:
    """Raise RepositoryRefused for a secret that is not for whoever asks."""
    known = settings.git_credentials.get(request.credential or "")
    if known and not (caller.role.may(known.role) and known.serves(caller.owner)):
        raise RepositoryRefused(f"The git address {addresses.not_for_you(request.credential or '')}.")


def elsewhere(source: Source, name: str | None) -> Repository:
    """What a repository is called that is yet to be fetched."""
    folder = source.url.rstrip("/").rpartition("/")[2].removesuffix(".git")
    try:
        chosen, url = repository_identity.stated(name, url=source.url, otherwise=folder)
    except repository_identity.RepositoryError as error:
        raise RepositoryRefused(f"The repository: {error}.") from error
    origin = "" if url else source.url[:300]
    return Repository(
        id=repository_identity.repository_id(chosen), name=chosen, path=source.url, url=url, origin=origin
    )


def plan(request: SubmitJob, config: PipelineConfig, known: Mapping[str, StepInfo]) -> tuple[StepPlan, ...]:
    """The plan of the job that `request` asks for.

    `config` is the service's own pipeline, unless the request carries one. `known`: the registered steps. Options:
    the pipeline's for the step, over these the request's for every step, over these the request's for this one. The
    host keeps of them what the step declares; what is addressed to one step and not declared is refused here.
    """
    pipeline = request.pipeline or config
    names = tuple(step.name for step in pipeline.steps)
    _refuse_unknown(request.dependencies, names, "Dependencies are given for what the pipeline does not have, the")
    pipeline = _depending(pipeline, request.dependencies)
    if rules := broken(pipeline):
        raise PipelineInvalid("The pipeline: " + "; ".join(rule.reason for rule in rules) + ".")
    _refuse_unknown(request.steps, names, "The pipeline has no")
    planned = pipeline.plan(request.steps)
    concurrency = {step.name: step.concurrency or 1 for step in config.steps}
    _refuse_unknown([step.name for step in planned], known, "No service offers the")
    _refuse_unknown(
        request.step_options, [step.name for step in planned], "Options are given for, but the job does not run, the"
    )
    return tuple(
        _with_options(step, request, known[step.name], parallel=concurrency.get(step.name)) for step in planned
    )


def replan(job: Job, request: RetryJob, known: Mapping[str, StepInfo]) -> tuple[StepPlan, ...]:
    """The plan of a job that is retried: as it was, with the options that `request` gives over its own."""
    names = [step.name for step in job.plan]
    if request.from_step != control.START:
        _refuse_unknown([request.from_step] if request.from_step else [], names, "The job has no")
    _refuse_unknown(request.step_options, names, "Options are given for, but the job does not run, the")
    changed = [step.name for step in job.plan if request.options or step.name in request.step_options]
    _refuse_unknown(changed, known, "No service offers the")
    return tuple(
        _with_other_options(step, request, known[step.name]) if step.name in changed else step for step in job.plan
    )


def later(plan: Iterable[StepPlan], config: PipelineConfig) -> dict[str, tuple[str, ...]]:
    """For each step of a plan the steps of the deployment's pipeline that build on its content, at any remove."""
    stated = config.dependencies()
    found: dict[str, tuple[str, ...]] = {}
    for step in plan:
        names = {step.name}
        for _ in stated:
            names |= {name for name, needed in stated.items() if names & set(needed)}
        found[step.name] = tuple(name for name in stated if name in names and name != step.name)
    return found


def _depending(pipeline: PipelineConfig, dependencies: Mapping[str, tuple[str, ...]]) -> PipelineConfig:
    steps = tuple(
        step.model_copy(update={"depends_on": dependencies[step.name]}) if step.name in dependencies else step
        for step in pipeline.steps
    )
    return pipeline.model_copy(update={"steps": steps})


def _with_other_options(step: StepPlan, request: RetryJob, info: StepInfo) -> StepPlan:
    own = request.step_options.get(step.name, {})
    _refuse_undeclared(own, info)
    common = {name: value for name, value in request.options.items() if name in info.option_names}
    options = {**step.options, **common, **own}
    _refuse_invalid({name: value for name, value in options.items() if name in info.option_names}, info)
    return step.model_copy(update={"options": options})


def _refuse_unknown(names: Iterable[str], known: Collection[str], where: str) -> None:
    if unknown := [name for name in names if name not in known]:
        raise UnknownStep(where, unknown, known)


def _with_options(step: StepPlan, request: SubmitJob, info: StepInfo, *, parallel: int | None) -> StepPlan:
    """A step that works in parallel inside one run does so as far as the deployment lets it, unless told otherwise."""
    default: Options = {PARALLEL: parallel} if parallel and PARALLEL in info.option_names else {}
    own = request.step_options.get(step.name, {})
    try:
        _refuse_undeclared(step.options, info)
        _refuse_invalid(step.options, info, only_these=True)
    except (UnknownOption, InvalidOption) as error:
        if request.pipeline is None:
            raise ConfigInvalid(f"In pipeline_config.yml: {error}") from error
        raise
    _refuse_undeclared(own, info)
    options = {**default, **step.options, **request.options, **own}
    declared = {name: value for name, value in options.items() if name in info.option_names}
    _refuse_invalid(declared, info)
    resources = tuple(dict.fromkeys((*step.resources, *request.resources)))
    return step.model_copy(update={"options": options, "resources": resources})


def _refuse_undeclared(options: Options, info: StepInfo) -> None:
    for name in options:
        if name not in info.option_names:
            raise UnknownOption(info.name, name, info.option_names)


def _refuse_invalid(options: Options, info: StepInfo, *, only_these: bool = False) -> None:
    """Raise InvalidOption for the first value that does not fit. `only_these`: others may still come."""
    if only_these and not options:
        return
    schema = {**info.options_schema, "required": []} if only_these else info.options_schema
    for option, reason in _misfits(options, schema):
        raise InvalidOption(info.name, option, reason)


def _misfits(options: Options, schema: dict[str, JsonValue]) -> Iterator[tuple[str, str]]:
    """Option and reason for each value that does not fit the schema, which a step's service wrote.

    A schema that cannot be used judges nothing: the step's own model looks at the options again when it runs.
    """
    try:
        if validator := _validator(json.dumps(schema)):
            for error in validator.iter_errors(options):
                yield error.json_path.removeprefix("$").lstrip("."), error.message
    except (Unresolvable, RecursionError):
        return


@lru_cache(maxsize=256)
def _validator(schema: str) -> Validator | None:
    """Of a schema as JSON. None: it cannot be used. Looking it over takes longer than all the rest of a request."""
    parsed = json.loads(schema)
    try:
        validator = validator_for(parsed, default=Draft202012Validator)
        validator.check_schema(parsed)
    except (SchemaError, Unresolvable, RecursionError):
        return None
    # An empty registry: a reference to somewhere else is never fetched.
    return validator(parsed, registry=Registry())
