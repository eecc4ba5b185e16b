"""How far an attempt is: a fraction that never falls, a rate of late, and no estimate that would be a guess."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codestory.contracts.results import Progress
from codestory.steps import discovery
from codestory.steps.progress import ETA_AFTER, RATE_WINDOW, Gauge, PhasesInvalid, normalised
from codestory.steps.step import StepContext

PHASES = {"listing": 1.0, "reading": 6.0, "writing": 3.0}
COUNTS = st.integers(-5, 1000) | st.integers(-(10**30), 10**30)
SAID = st.builds(
    Progress,
    done=COUNTS,
    total=st.none() | COUNTS,
    unit=st.sampled_from(["", "files", "rows"]),
    phase=st.sampled_from(["", "listing", "reading", "writing", "unknown"]),
)


def said(done: int, total: int | None = None, phase: str = "") -> Progress:
    return Progress(done=done, total=total, unit="files", phase=phase)


def gauge(*, phases: Mapping[str, float] | None = None, floor: float = 0.0) -> Gauge:
    return Gauge(phases or {}, 0.0, floor)


@settings(deadline=None)
@given(
    st.lists(st.tuples(SAID, st.floats(0, 100))),
    st.sampled_from([{}, PHASES]),
    st.floats(0, 1),
)
def test_the_fraction_never_falls_and_nothing_is_out_of_bounds(
    heard: list[tuple[Progress, float]], phases: Mapping[str, float], floor: float
) -> None:
    measuring, at, before = gauge(phases=phases, floor=floor), 0.0, round(floor, 4)

    for progress, seconds in heard:
        at += seconds
        measuring.hear(progress, at)
        measured = measuring.measure(at)
        fraction = measured.fraction or 0.0
        assert before <= fraction <= 1.0
        assert measured.rate is None or measured.rate >= 0
        assert measured.eta_seconds is None or measured.eta_seconds >= 0
        assert measured.moved <= at
        before = fraction


def test_without_phases_the_fraction_is_what_is_done() -> None:
    measuring = gauge()

    assert measuring.measure(0).fraction is None
    measuring.hear(said(3), 1)
    assert measuring.measure(1).fraction is None
    measuring.hear(said(3, 12), 2)
    assert measuring.measure(2).fraction == 0.25


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [
        (said(500, None, "listing"), 0.0),
        (said(0, 10, "reading"), 0.1),
        (said(5, 10, "reading"), 0.4),
        (said(20, 10, "reading"), 0.7),
        (said(0, None, "writing"), 0.7),
        (said(0, 0, "writing"), 1.0),
        (said(5, 10, "unknown"), None),
        (said(5, 10), None),
    ],
)
def test_with_phases_each_has_its_share(progress: Progress, fraction: float | None) -> None:
    measuring = gauge(phases=PHASES)

    measuring.hear(progress, 1)

    assert measuring.measure(1).fraction == (None if fraction is None else pytest.approx(fraction))


def test_an_attempt_stands_where_the_one_before_was_until_it_is_further() -> None:
    measuring = gauge(floor=0.6)

    assert measuring.measure(0).fraction == 0.6
    measuring.hear(said(5, 10), 10)
    assert measuring.measure(10).fraction == 0.6
    assert measuring.measure(10).eta_seconds == pytest.approx(10)  # its own: half is done after ten seconds
    measuring.hear(said(7, 10), 14)
    assert measuring.measure(14).fraction == 0.7


def test_what_is_left_is_not_guessed() -> None:
    measuring = gauge()

    measuring.hear(said(50, 100), ETA_AFTER / 2)
    assert measuring.measure(ETA_AFTER / 2).eta_seconds is None  # too early
    assert measuring.measure(ETA_AFTER).eta_seconds == pytest.approx(ETA_AFTER)

    measuring = gauge()
    measuring.hear(said(1, 100), 10)
    assert measuring.measure(10).eta_seconds is None  # too little


def test_the_rate_is_that_of_late_and_of_the_present_phase() -> None:
    measuring = gauge(phases=PHASES)

    for second in range(101):
        measuring.hear(said(second * (10 if second < 50 else 20), 10_000, "reading"), second)
    assert measuring.measure(100).rate == pytest.approx(20)
    measuring.hear(said(0, 50, "writing"), 101)
    assert measuring.measure(101).rate is None
    measuring.hear(said(10, 50, "writing"), 103)
    assert measuring.measure(103).rate == pytest.approx(5)


def test_a_step_that_stands_still_has_no_speed_and_moved_when_it_last_said_something_new() -> None:
    measuring = gauge()
    measuring.hear(said(5, 10), 1)
    measuring.hear(said(6, 10), 2)

    for second in (10, 20, 30):
        measuring.hear(said(6, 10), second)

    measured = measuring.measure(2 + 2 * RATE_WINDOW)
    assert (measured.moved, measured.rate) == (2, 0.0)


@pytest.mark.parametrize(
    ("name", "share"), [("", 1), ("x" * 41, 1), ("a", 0), ("a", -1), ("a", float("nan")), ("a", float("inf"))]
)
def test_a_phase_that_cannot_be_is_refused_by_name(name: str, share: float) -> None:
    with pytest.raises(PhasesInvalid, match=f"phase '{name}'"):
        normalised({name: share})


def test_shares_are_made_to_sum_to_one_in_their_order() -> None:
    assert list(normalised({"b": 30, "a": 10}).items()) == [("b", 0.75), ("a", 0.25)]


@pytest.mark.parametrize("name", ["filesystem", "blarify", "documentation_grapher", "summarizer"])
def test_our_steps_say_their_phases(name: str) -> None:
    info = discovery.describe(discovery.load(name))

    assert list(info.phases)[-1] == "writing"
    assert sum(info.phases.values()) == pytest.approx(1)


def test_a_step_says_its_phase_and_file_through_its_context() -> None:
    told: list[Progress] = []
    context = cast("StepContext[Any]", StepContext.__new__(StepContext))
    context.report = told.append
    context.progress(1, 2, "files", "a\udcff.py", phase="reading")

    assert told == [Progress(done=1, total=2, unit="files", message="a\\udcff.py", phase="reading")]
