"""A job that goes on is shown as bars on a terminal, as lines elsewhere."""

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from codestory.cli.following import Bars, Lines, Newest, count, display
from codestory.contracts.api import JobView, StatusMessage, StepView
from codestory.contracts.values import now

MakeJob = Callable[..., JobView]
MakeStep = Callable[..., dict[str, Any]]

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOSTILE = "\x1b]0;owned\x07[red]\u202e\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def console(file: io.StringIO, width: int = 120) -> Console:
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False, force_terminal=file.isatty())


def message(kind: str, **fields: Any) -> StatusMessage:
    return StatusMessage.model_validate({"kind": kind, "seq": 1, "at": now()} | fields)


def test_progress_is_kept_until_the_record_knows_better(make_job: MakeJob, make_step: MakeStep) -> None:
    newest = Newest()
    newest.hear(message("job", job=make_job()))

    newest.hear(message("progress", step="documentation_grapher", progress={"done": 3, "total": 9}))
    after = newest.hear(message("job", job=make_job(message="changed")))
    again = newest.hear(message("job", job=make_job(steps=[make_step("documentation_grapher", attempt=2)])))

    assert after is not None
    assert (after.message, count(after.steps[1])) == ("changed", "3/9")
    assert again is not None
    assert count(again.steps[0]) == ""


def test_progress_of_a_job_not_yet_known_is_nothing_to_show() -> None:
    assert Newest().hear(message("progress", step="filesystem", progress={"done": 3})) is None


@pytest.mark.parametrize(
    ("progress", "shown"),
    [
        (None, ""),
        ({"done": 0}, ""),
        ({"done": 0, "total": 9, "unit": "files"}, "0/9 files"),
        ({"done": 1200, "total": None, "unit": "files"}, "1,200 files"),
        ({"done": 3, "total": 1200}, "3/1,200"),
        ({"done": 3, "unit": "\x1b[2J"}, r"3 \x1b[2J"),
    ],
)
def test_how_far_a_step_is_can_be_read(make_step: MakeStep, progress: dict[str, Any] | None, shown: str) -> None:
    assert count(StepView.model_validate(make_step(progress=progress))) == shown


def test_without_a_terminal_each_change_is_one_line(make_job: MakeJob, make_step: MakeStep) -> None:
    written = io.StringIO()
    shown = display(console(written), every=5)
    steps = [
        make_step("filesystem", "WAITING"),
        make_step("filesystem", "RUNNING", started_at=AT),
        make_step("filesystem", "RUNNING", started_at=AT),
        make_step("filesystem", "RETRYING", started_at=AT, retries=1, message="the disk\nis busy"),
        make_step("filesystem", "RUNNING", attempt=2, started_at=AT),
        make_step("filesystem", "COMPLETED", attempt=2, started_at=AT, ended_at=AT.replace(second=3))
        | {"outcome": {"summary": "12 files"}},
    ]

    with shown:
        for step in steps:
            shown.show(make_job(steps=[step]))

    assert isinstance(shown, Lines)
    assert written.getvalue().splitlines() == [
        "filesystem: WAITING",
        "filesystem: RUNNING",
        r"filesystem: RETRYING retry 1 of 3: the disk\nis busy",
        "filesystem: RUNNING",
        "filesystem: COMPLETED in 3.0 s 12 files",
    ]


def test_without_a_terminal_progress_is_said_now_and_then(make_job: MakeJob, make_step: MakeStep) -> None:
    written, clock = io.StringIO(), Clock()
    shown = Lines(console(written), every=5, clock=clock)

    for second, done in enumerate([0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100, 100, 100, 100, 100, 100]):
        clock.seconds = second
        progress = {"done": done, "total": 100, "unit": "files"}
        shown.show(make_job(steps=[make_step(progress=progress)]))

    assert written.getvalue().splitlines() == [
        "filesystem: RUNNING",
        "filesystem: 50/100 files",
        "filesystem: 100/100 files",
    ]


def test_a_job_that_waits_for_another_says_so(make_job: MakeJob, make_step: MakeStep) -> None:
    written = io.StringIO()

    with display(console(written), every=5) as shown:
        shown.show(make_job(waits_for=["job0"], steps=[make_step(state="WAITING")]))

    assert written.getvalue() == "filesystem: WAITING waits for job job0\n"


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"state": "SCHEDULED", "due_at": AT}, "due 2024-05-01"),
        ({"state": "PENDING", "after": ["job0"]}, "comes after job job0"),
    ],
)
def test_a_job_that_waits_for_its_time_or_another_job_says_so(
    make_job: MakeJob, make_step: MakeStep, job: dict[str, Any], said: str
) -> None:
    written = io.StringIO()

    with display(console(written), every=5) as shown:
        shown.show(make_job(steps=[make_step(state="WAITING")], **job))

    assert written.getvalue().startswith(f"filesystem: WAITING {said}")


def test_a_job_that_is_told_to_end_says_so_once(make_job: MakeJob, make_step: MakeStep) -> None:
    written = io.StringIO()

    with display(console(written), every=5) as shown:
        for state in ("RUNNING", "STOPPING", "STOPPING"):
            shown.show(make_job(state=state, steps=[make_step()]))
        shown.show(make_job(state="STOPPED", steps=[make_step(state="STOPPED")]))

    assert written.getvalue().splitlines() == ["filesystem: RUNNING", "job: STOPPING", "filesystem: STOPPED"]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_on_a_terminal_each_step_has_a_bar_that_fits(make_job: MakeJob, make_step: MakeStep, width: int) -> None:
    written = Terminal()
    screen = console(written, width)
    progress = {"done": 30, "total": 120, "unit": "files", "message": "reading " + "x" * 300}

    with display(screen, every=5) as shown:
        shown.show(make_job(steps=[make_step(progress=progress, started_at=AT), make_step("docs", "WAITING")]))

    lines = without_codes(written.getvalue()).splitlines()
    assert isinstance(shown, Bars)
    assert any("filesystem" in line or "files…" in line for line in lines)
    assert max(map(len, lines)) <= width


def test_on_a_terminal_counts_rate_and_message_are_there(make_job: MakeJob, make_step: MakeStep) -> None:
    written = Terminal()
    progress = {"done": 30, "total": 120, "unit": "files", "message": "src/app.py"}

    known = {"rate": 12.3, "eta_seconds": 130, "fraction": 0.5}

    with Bars(console(written, 160)) as shown:
        shown.show(make_job(steps=[make_step(started_at=AT, progress=progress) | known]))
        shown.show(
            make_job(steps=[make_step(started_at=AT, progress=progress | {"done": 60, "phase": "reading"}) | known])
        )

    last = without_codes(written.getvalue())
    assert re.search(r"filesystem +running .* 60/120 files +12/s .* 2 min 10 s left +reading: src/app.py", last)


def test_on_a_terminal_the_job_has_a_bar_of_its_own(make_job: MakeJob, make_step: MakeStep) -> None:
    written = Terminal()

    with Bars(console(written, 160)) as shown:
        shown.show(make_job(fraction=0.25, eta_seconds=42, steps=[make_step(), make_step("docs", "WAITING")]))

    assert re.search(r"^job +running .* 42 s left *$", without_codes(written.getvalue()), re.MULTILINE)


def test_a_step_that_stands_still_is_told_once_with_what_it_was_at(make_job: MakeJob, make_step: MakeStep) -> None:
    written = io.StringIO()
    stalled = {"since": AT, "seconds": 75.0, "phase": "reading", "message": "src/app.py"}
    progress = {"done": 50, "total": 100, "unit": "files", "phase": "reading", "message": "src/app.py"}

    with display(console(written), every=0) as shown:
        shown.show(make_job(steps=[make_step(progress=progress) | {"fraction": 0.34}]))
        shown.show(make_job(steps=[make_step(progress=progress) | {"fraction": 0.34, "stalled": stalled}]))
        shown.show(make_job(steps=[make_step(progress=progress) | {"fraction": 0.34, "stalled": stalled}]))
        progress = progress | {"done": 60}
        shown.show(make_job(steps=[make_step(progress=progress) | {"fraction": 0.4, "eta_seconds": 61.2}]))
        progress = progress | {"done": 70}
        shown.show(make_job(steps=[make_step(progress=progress) | {"fraction": 0.5, "eta_seconds": 61.2}]))

    assert written.getvalue().splitlines() == [
        "filesystem: RUNNING reading: src/app.py",
        "filesystem: RUNNING nothing new for 1 min 15 s, at reading: src/app.py",
        "filesystem: RUNNING reading: src/app.py",
        "filesystem: 70/100 files (50 %, 1 min 01 s left) reading: src/app.py",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_text_does_not_reach_the_terminal(make_job: MakeJob, make_step: MakeStep, *, terminal: bool) -> None:
    written = Terminal() if terminal else io.StringIO()
    progress = {"done": 1, "total": 2, "unit": HOSTILE, "message": HOSTILE}
    steps = [make_step(HOSTILE, progress=progress), make_step("b", "FAILED", message=HOSTILE)]

    with display(console(written, 200), every=0) as shown:
        shown.show(make_job(steps=steps))
        steps[0]["progress"] = progress | {"done": 2}
        shown.show(make_job(steps=steps))

    assert not re.search(r"\x1b\]|\x07|\u202e", written.getvalue())
    assert r"\x1b]0;owned\x07[red]\u202e\n" in without_codes(written.getvalue())


def test_a_bar_does_not_go_back_with_a_new_attempt(make_job: MakeJob, make_step: MakeStep) -> None:
    written = Terminal()

    with Bars(console(written, 160)) as shown:
        shown.show(make_job(steps=[make_step(progress={"done": 90, "total": 100}) | {"fraction": 0.9}]))
        shown.show(make_job(steps=[make_step(attempt=2, progress={"done": 5, "total": 100}) | {"fraction": 0.9}]))

    last = without_codes(written.getvalue()).splitlines()[-1]
    assert "5/100" in last
    assert "━" * 21 + "╸" in last, "nine tenths of it"


def without_codes(text: str) -> str:
    """The text as a person sees it: without the codes that move the cursor and colour."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
