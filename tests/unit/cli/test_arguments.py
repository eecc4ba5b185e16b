"""What is typed becomes what the API takes, or a sentence."""

import pytest

from codestory.cli import arguments
from codestory.cli.exits import BadUse
from codestory.contracts.api import SubmitJob
from codestory.contracts.values import Priority


def test_values_are_json_where_they_can_be_and_text_otherwise() -> None:
    typed = ["parallel=4", "deep=true", 'ignore=["a", "b"]', "name=x=y", "empty=", "nan=NaN", "n=null", "s=\\d"]

    assert arguments.options(typed) == {
        "parallel": 4,
        "deep": True,
        "ignore": ["a", "b"],
        "name": "x=y",
        "empty": "",
        "nan": "NaN",
        "n": None,
        "s": "\\d",
    }


def test_options_of_steps_are_sorted_by_step() -> None:
    typed = ["filesystem.ignore=x", "docs.deep.er=1", "filesystem.n=2"]

    assert arguments.step_options(typed) == {"filesystem": {"ignore": "x", "n": 2}, "docs": {"deep.er": 1}}


@pytest.mark.parametrize("typed", [["novalue"], ["=4"], [""], ["a=1", "a=2"]])
def test_what_is_no_option_is_refused(typed: list[str]) -> None:
    with pytest.raises(BadUse):
        arguments.options(typed)


@pytest.mark.parametrize("typed", ["parallel=4", "filesystem", "filesystem.=4", "filesystem.a", "a=1.5"])
def test_what_is_no_option_of_a_step_is_refused(typed: str) -> None:
    with pytest.raises(BadUse):
        arguments.step_options([typed])


def test_steps_are_listed_with_commas() -> None:
    assert arguments.step_names(" filesystem, docs,,") == ("filesystem", "docs")
    assert arguments.step_names("") == ()


def test_a_request_that_cannot_be_is_refused_with_its_field() -> None:
    with pytest.raises(BadUse, match=r"steps\.1"):
        arguments.checked(SubmitJob, repository="/srv", steps=("a", "No Step"))


def test_a_request_holds_what_was_typed() -> None:
    request = arguments.checked(SubmitJob, repository="/srv", steps=("a",), priority=Priority.HIGH, options={"n": 1})

    assert (request.repository, request.steps, request.priority, request.options) == ("/srv", ("a",), "high", {"n": 1})


def test_a_request_with_two_times_is_refused_in_its_own_words() -> None:
    with pytest.raises(BadUse, match="eta or countdown, not both"):
        arguments.checked(SubmitJob, repository="/srv", eta="2026-12-01T03:00Z", countdown=3)


def test_dependencies_limits_and_concurrency_are_pairs() -> None:
    assert arguments.dependencies(["docs=a, b", "a="]) == {"docs": ("a", "b"), "a": ()}
    assert arguments.limits(["gpu=1", "disk="]) == {"gpu": 1, "disk": None}
    assert arguments.concurrency(["docs=2"]) == {"docs": 2}


@pytest.mark.parametrize("typed", [["gpu"], ["=1"], ["gpu=1", "gpu=2"], ["gpu=-1"], ["gpu=some"], ["gpu=1.5"]])
def test_what_is_no_limit_is_refused(typed: list[str]) -> None:
    with pytest.raises(BadUse):
        arguments.limits(typed)


@pytest.mark.parametrize("typed", ["docs=", "docs", "docs=a"])
def test_what_is_no_concurrency_is_refused(typed: str) -> None:
    with pytest.raises(BadUse):
        arguments.concurrency([typed])
