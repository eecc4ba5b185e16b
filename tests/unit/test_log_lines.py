"""A log line is one line of JSON, and never longer than it may be, whatever is logged."""

import io
import json
import logging
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from codestory import telemetry
from codestory.telemetry import LONGEST_LINE, JsonLines


def line(event: str = "x", error: BaseException | None = None, **fields: Any) -> str:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines("test"))
    logger = logging.getLogger("codestory.lines")
    logger.addHandler(handler)
    try:
        telemetry.logger("codestory.lines").error(event, exc_info=error, **fields)
    finally:
        logger.removeHandler(handler)
    return written.getvalue()


def test_what_is_long_is_cut_and_says_so() -> None:
    told = json.loads(line(data="x" * 1_000_000, job_id="j1"))

    assert told["job_id"] == "j1"
    assert told["event"] == "x"
    assert told["cut"] is True


def test_the_end_of_a_long_traceback_is_kept() -> None:
    told = json.loads(line(error=ValueError("y" * 100_000 + "the reason")))

    assert "the reason" in told["exception"]
    assert told["service"] == "test"


def test_a_line_that_is_not_too_long_is_as_it_was() -> None:
    assert json.loads(line(data="x" * 10_000))["data"] == "x" * 10_000


WORDS = st.text(max_size=20)
LARGE: st.SearchStrategy[str] = st.tuples(st.text(min_size=1, max_size=5), st.integers(0, 100_000)).map(
    lambda pair: pair[0] * pair[1]
)
NAMES = st.from_regex(r"\A[a-z]{1,8}\Z").filter(lambda name: name not in {"event", "error"})


@settings(max_examples=60, deadline=None, database=None)
@given(st.dictionaries(NAMES, WORDS | LARGE | st.integers() | st.lists(LARGE, max_size=3), max_size=60), LARGE)
def test_no_line_is_longer_than_it_may_be(fields: dict[str, Any], event: str) -> None:
    written = line(event, **fields)

    assert len(written.encode()) <= LONGEST_LINE + 1
    assert written.count("\n") == 1
    assert json.loads(written)["service"] == "test"
