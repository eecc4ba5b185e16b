"""What a step says it did is shown whole, whatever step it is, and harmless."""

import io
from collections.abc import Callable
from typing import Any

from rich.console import Console

from codestory.cli import results
from codestory.contracts.api import StepView

MakeStep = Callable[..., dict[str, Any]]


def shown(*steps: dict[str, Any]) -> str:
    written = io.StringIO()
    results.show(Console(file=written, width=100), [StepView.model_validate(step) for step in steps])
    return written.getvalue()


def test_counts_of_one_kind_share_a_row(make_step: MakeStep) -> None:
    counts = {"documents": 3, "describes.path": 4, "describes.code": 7, "describes.none": 0, "sections": 9}

    text = shown(make_step("documentation_grapher", "COMPLETED", outcome={"counts": counts}))

    assert "counts     sections 9, documents 3" in text
    assert "describes  code 7, path 4" in text
    assert "none" not in text


def test_details_are_shown_by_their_names(make_step: MakeStep) -> None:
    details = {
        "references": {"Python": {"CALLS": 1200, "USES": 3}, "Go": {}},
        "destination": "nowhere",
        "syntax_errors": [{"path": f"bad{number}.py", "line": 1} for number in range(7)],
    }

    text = shown(make_step("blarify", "COMPLETED", outcome={"details": details}))

    assert "references, Python  CALLS 1,200, USES 3" in text
    assert "nowhere" in text
    assert "bad0.py:1, bad1.py:1, bad2.py:1, bad3.py:1, bad4.py:1 and 2 more" in text
    assert "Go" not in text


def test_a_step_without_a_result_is_not_named(make_step: MakeStep) -> None:
    assert shown(make_step("filesystem", "WAITING"), make_step("x", "COMPLETED", outcome={})) == ""


def test_what_a_step_says_does_not_steer_the_terminal(make_step: MakeStep) -> None:
    outcome = {"counts": {"\x1b[31mred": 1}, "details": {"note": "\x1b]0;owned\x07"}}

    assert "\x1b" not in shown(make_step("plugin", "COMPLETED", outcome=outcome))
