"""Each step receives what its own model declares: of every step that is installed, and of somebody else's."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from codestory.contracts.api import StepInfo, SubmitJob
from codestory.contracts.plans import ConfiguredStep, Options, PipelineConfig, StepPlan
from codestory.steps import discovery, options
from codestory_orchestrator import errors, planning, submission

EXAMPLE = Path(__file__).parents[2] / "example_step" / "src"
STEPS = ("blarify", "documentation_grapher", "filesystem", "line_counter", "summarizer")
CONCURRENCY = {name: number for number, name in enumerate(STEPS, start=2)}
CONFIG = PipelineConfig(steps=tuple(ConfiguredStep(name=name, concurrency=CONCURRENCY[name]) for name in STEPS))


@pytest.fixture(scope="module")
def known() -> Mapping[str, StepInfo]:
    """As their services write it into the registry."""
    described = {name: discovery.describe(discovery.load(name)) for name in STEPS if name in discovery.installed()}
    if "line_counter" not in described:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", [str(EXAMPLE), *sys.path])
            example: Any = importlib.import_module("codestory_line_counter.step")
            schema: dict[str, JsonValue] = example.LineCounterStep.options_model().model_json_schema()
        described["line_counter"] = StepInfo(name="line_counter", version="1", options_schema=schema)
    return described


def planned(known: Mapping[str, StepInfo], **asked: Any) -> dict[str, StepPlan]:
    return {step.name: step for step in submission.plan(SubmitJob(repository="/r", **asked), CONFIG, known)}


def defaults(info: StepInfo) -> Options:
    """A value for each option that has one by itself."""
    properties: Any = info.options_schema.get("properties", {})
    return {name: stated["default"] for name, stated in properties.items() if "default" in stated}


def test_all_four_steps_and_the_example_say_what_their_options_are(known: Mapping[str, StepInfo]) -> None:
    assert sorted(known) == sorted(STEPS)
    for info in known.values():
        assert info.option_names, info.name
        properties: Any = info.options_schema["properties"]
        assert all(stated.get("description") or stated.get("title") for stated in properties.values()), info.name


@pytest.mark.parametrize("step", STEPS)
def test_of_options_for_every_step_each_receives_its_own(known: Mapping[str, StepInfo], step: str) -> None:
    everybodys: Options = {"nobody_has_this": 1}
    for info in known.values():  # of names that two of them have, the first one's: it may not suit the other
        everybodys = defaults(info) | everybodys
    everybodys |= defaults(known[step])
    plan = planned(known, options=everybodys, steps=(step,))[step]

    received, dropped = options.split(known[step].option_names, plan.options)

    assert received == {name: value for name, value in everybodys.items() if name in known[step].option_names}
    assert set(dropped) == everybodys.keys() - known[step].option_names
    assert "nobody_has_this" in dropped
    shown = planning.planned(plan, known[step], {}, 1, 0)
    assert (shown.options, shown.options_dropped) == (received, dropped)


def test_in_one_job_every_step_receives_its_own_and_nothing_else(known: Mapping[str, StepInfo]) -> None:
    declared = [name for info in known.values() for name in info.option_names]
    everybodys = {name: value for info in known.values() for name, value in defaults(info).items()}
    alone = {name: value for name, value in everybodys.items() if declared.count(name) == 1}
    assert len(alone) > len(STEPS)

    for name, plan in planned(known, options=alone).items():
        received, dropped = options.split(known[name].option_names, plan.options)
        assert received.keys() | {"parallel"} == (alone.keys() & known[name].option_names) | {"parallel"}
        assert set(dropped) == alone.keys() - known[name].option_names


@pytest.mark.parametrize("step", STEPS)
def test_an_option_for_one_step_that_it_lacks_is_refused_with_the_names_of_those_it_has(
    known: Mapping[str, StepInfo], step: str
) -> None:
    foreign = {name for info in known.values() for name in info.option_names} - known[step].option_names
    assert foreign
    for name in (*sorted(foreign), "nobody_has_this"):
        with pytest.raises(errors.UnknownOption) as refused:
            planned(known, step_options={step: {name: None}})

        assert refused.value.status == 422
        assert f"The step '{step}' has no option '{name}'." in str(refused.value)
        assert all(own in str(refused.value) for own in known[step].option_names)


@pytest.mark.parametrize("step", STEPS)
def test_how_parallel_a_step_works_is_its_concurrency_unless_told(known: Mapping[str, StepInfo], step: str) -> None:
    declares = "parallel" in known[step].option_names

    assert planned(known)[step].options == ({"parallel": CONCURRENCY[step]} if declares else {})
    told = planned(known, options={"parallel": 1})[step]
    assert options.split(known[step].option_names, told.options) == (
        ({"parallel": 1}, ()) if declares else ({}, ("parallel",))
    )


def test_the_summarizer_works_in_parallel_and_no_step_has_concurrency_for_an_option(
    known: Mapping[str, StepInfo],
) -> None:
    assert "parallel" in known["summarizer"].option_names
    assert not [info.name for info in known.values() if "concurrency" in info.option_names]
