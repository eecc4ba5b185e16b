"""A request becomes a plan, or is refused with what would have been right."""

from pathlib import Path

import pytest
from pydantic import JsonValue

from codestory.contracts.api import StepInfo, SubmitJob
from codestory.contracts.plans import ConfiguredStep, Options, PipelineConfig, StepPlan
from codestory_orchestrator import errors, submission

SCAN: dict[str, JsonValue] = {
    "properties": {"ignore": {"type": "array", "items": {"type": "string"}}, "depth": {"type": "integer", "minimum": 1}}
}
LINK: dict[str, JsonValue] = {
    "properties": {"model": {"type": "string"}, "depth": {"type": "integer"}},
    "required": ["model"],
}
KNOWN = {
    "scan": StepInfo(name="scan", version="1", options_schema=SCAN),
    "link": StepInfo(name="link", version="1", options_schema=LINK),
    "plain": StepInfo(name="plain", version="1"),
}
CONFIG = PipelineConfig(
    steps=(
        ConfiguredStep(name="scan", options={"depth": 1}),
        ConfiguredStep(name="plain"),
        ConfiguredStep(name="link", options={"model": "small"}),
    )
)


def request(
    *,
    steps: tuple[str, ...] = (),
    options: Options | None = None,
    step_options: dict[str, Options] | None = None,
    pipeline: PipelineConfig | None = None,
) -> SubmitJob:
    return SubmitJob(
        repository="/r", steps=steps, options=options or {}, step_options=step_options or {}, pipeline=pipeline
    )


def planned(asked: SubmitJob, config: PipelineConfig = CONFIG) -> dict[str, StepPlan]:
    return {step.name: step for step in submission.plan(asked, config, KNOWN)}


def test_the_order_is_that_of_the_services_file() -> None:
    plan = planned(request())

    assert list(plan) == ["scan", "plain", "link"]
    assert plan["link"].depends_on == ("plain",)


def test_a_pipeline_in_the_request_takes_the_place_of_the_services_own() -> None:
    own = PipelineConfig(steps=(ConfiguredStep(name="plain"), ConfiguredStep(name="scan")))

    assert list(planned(request(pipeline=own))) == ["plain", "scan"]


def test_wished_steps_run_in_the_order_of_the_pipeline_and_pass_over_those_left_out() -> None:
    plan = planned(request(steps=("link", "scan")))

    assert list(plan) == ["scan", "link"]
    assert plan["link"].depends_on == ("scan",)


def test_options_for_one_step_go_over_those_for_all_and_these_over_the_files() -> None:
    plan = planned(request(options={"depth": 2, "other": True}, step_options={"link": {"depth": 3}}))

    assert plan["scan"].options == {"depth": 2, "other": True}
    assert plan["link"].options == {"model": "small", "depth": 3, "other": True}
    assert plan["plain"].options == {"depth": 2, "other": True}


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        pytest.param(
            request(steps=("scna",)),
            errors.UnknownStep,
            "The pipeline has no step 'scna' (did you mean 'scan'?)",
            id="typo",
        ),
        pytest.param(
            request(steps=("x", "y", "scan")),
            errors.UnknownStep,
            "The pipeline has no steps 'x', 'y' (known: scan, plain, link)",
            id="two unknown",
        ),
        pytest.param(
            request(pipeline=PipelineConfig(steps=(ConfiguredStep(name="summarizer"),))),
            errors.UnknownStep,
            "No service offers the step 'summarizer' (known: scan, link, plain)",
            id="not registered",
        ),
        pytest.param(
            request(steps=("scan",), step_options={"link": {"model": "big"}}),
            errors.UnknownStep,
            "Options are given for, but the job does not run, the step 'link'",
            id="options for a step that does not run",
        ),
        pytest.param(
            request(step_options={"scan": {"ignor": []}}),
            errors.UnknownOption,
            "The step 'scan' has no option 'ignor'. Its options: depth, ignore.",
            id="undeclared option",
        ),
        pytest.param(
            request(step_options={"plain": {"x": 1}}),
            errors.UnknownOption,
            "It has no options.",
            id="a step without any",
        ),
        pytest.param(
            request(step_options={"scan": {"ignore": ["a", 1]}}),
            errors.InvalidOption,
            "The option 'ignore[1]' of the step 'scan': 1 is not of type 'string'",
            id="wrong type",
        ),
        pytest.param(
            request(options={"depth": 0}), errors.InvalidOption, "of the step 'scan'", id="for all, wrong for one"
        ),
        pytest.param(
            request(pipeline=PipelineConfig(steps=(ConfiguredStep(name="link"),))),
            errors.InvalidOption,
            "The options of the step 'link': 'model' is a required property",
            id="left out",
        ),
        pytest.param(
            request(pipeline=PipelineConfig(steps=(ConfiguredStep(name="scan", options={"x": 1}),))),
            errors.UnknownOption,
            "'x'",
            id="undeclared in the request's pipeline",
        ),
        pytest.param(
            request(pipeline=PipelineConfig(steps=(ConfiguredStep(name="scan"), ConfiguredStep(name="scan")))),
            errors.PipelineInvalid,
            "step 'scan' is named twice",
            id="step twice",
        ),
        pytest.param(
            request(pipeline=PipelineConfig(steps=(ConfiguredStep(name="scan", depends_on=("scan",)),))),
            errors.PipelineInvalid,
            "'scan' depends on 'scan'",
            id="circle",
        ),
    ],
)
def test_a_request_that_cannot_be_planned_is_told_why(
    asked: SubmitJob, error: type[errors.IngestionError], told: str
) -> None:
    with pytest.raises(error) as refused:
        planned(asked)

    assert told in str(refused.value)
    assert refused.value.status == 422


@pytest.mark.parametrize("options", [{"dpth": 1}, {"depth": "deep"}])
def test_a_mistake_in_the_services_own_file_is_not_blamed_on_the_request(options: Options) -> None:
    config = PipelineConfig(steps=(ConfiguredStep(name="scan", options=options),))

    with pytest.raises(errors.ConfigInvalid, match=r"In pipeline_config\.yml: The .*'scan'") as refused:
        planned(request(), config)

    assert refused.value.status == 503


def test_an_option_that_the_file_leaves_out_may_come_with_the_request() -> None:
    config = PipelineConfig(steps=(ConfiguredStep(name="link"),))

    assert planned(request(step_options={"link": {"model": "big"}}), config)["link"].options == {"model": "big"}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"x": {"type": "no such type"}}},
        {"properties": {"x": {"$ref": "https://example.invalid/schema.json"}}},
        {"properties": {"x": {"$ref": "#/properties/x"}}},
        {"properties": {"x": {"pattern": "(?<"}}},
        {"$schema": "urn:unknown", "properties": {"x": {}}},
        {"properties": ["x"]},
    ],
)
def test_a_schema_that_cannot_be_used_leaves_the_judgement_to_the_step(schema: dict[str, JsonValue]) -> None:
    known = {"scan": StepInfo(name="scan", version="1", options_schema=schema)}
    config = PipelineConfig(steps=(ConfiguredStep(name="scan"),))

    [step] = submission.plan(request(options={"x": "a"}), config, known)

    assert step.options == {"x": "a"}


def test_without_roots_any_directory_may_be_read(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    assert submission.allowed(tmp_path / "link", ()) == tmp_path


def test_with_roots_only_what_really_lies_below_one_may_be_read(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "shop").mkdir(parents=True)
    outside.mkdir()
    (root / "way_out").symlink_to(outside)
    (tmp_path / "other_name").symlink_to(root)

    assert submission.allowed(root / "shop", (root,)) == root / "shop"
    assert submission.allowed(root, (outside, tmp_path / "other_name")) == root
    for path in (outside, root / "way_out", root / ".." / "outside", tmp_path / "root2", Path("/")):
        with pytest.raises(errors.OutsideRoots):
            submission.allowed(path, (root,))


def test_outside_the_roots_nothing_tells_what_exists(tmp_path: Path) -> None:
    told: set[str] = set()
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(errors.OutsideRoots) as refused:
            submission.allowed(path, (tmp_path / "root",))
        told.add(str(refused.value))

    assert len(told) == 1


@pytest.mark.parametrize("path", ["shop", "./shop", "~/shop", "nul\0", "/nul\0"])
def test_what_is_no_absolute_path_is_refused(path: str) -> None:
    with pytest.raises(errors.RepositoryRefused, match=r"The repository's path '") as refused:
        submission.allowed(Path(path), ())

    assert str(refused.value).isprintable()


def test_a_step_that_works_in_parallel_does_so_up_to_its_concurrency_unless_told_otherwise() -> None:
    known = {"many": StepInfo(name="many", version="1", options_schema={"properties": {"parallel": {}}})}
    config = PipelineConfig(steps=(ConfiguredStep(name="many", concurrency=5),))

    [default] = submission.plan(request(), config, known)
    [told] = submission.plan(request(options={"parallel": 2}), config, known)

    assert default.options == {"parallel": 5}
    assert told.options == {"parallel": 2}
