"""How far a job is and how long it will take, from what its steps say and from how it went the last time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codestory.contracts.events import StepProgressed
from codestory.contracts.jobs import Attempt, Job, Repository, StepRecord
from codestory.contracts.plans import StepPlan
from codestory.contracts.results import Progress, Usage
from codestory.contracts.values import JobState, Mode, StepState
from codestory_orchestrator.progress import estimates
from codestory_orchestrator.progress.estimates import Course, Heard
from codestory_orchestrator.progress.usual import Times, Usual
from codestory_orchestrator.progress.watching import Watching
from codestory_orchestrator.views import job_view

AT = datetime(2026, 1, 1, tzinfo=UTC)
#: a and b side by side, c after both.
PLAN = (StepPlan(name="a"), StepPlan(name="b"), StepPlan(name="c", depends_on=("a", "b")))
TIMES = Times({"a": 10, "b": 30, "c": 60}, {"a": 10, "b": 30, "c": 60})
S = StepState


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def record(state: StepState, attempt: int = 1, **more: object) -> StepRecord:
    began = state not in {S.WAITING, S.READY, S.SKIPPED}
    attempts = (Attempt(number=attempt, worker="w", started_at=AT, usage=Usage(seconds=4)),) if began else ()
    return StepRecord(state=state, attempt=attempt, attempts=attempts, started_at=AT if began else None).model_copy(
        update=more
    )


def job_of(a: StepRecord, b: StepRecord, c: StepRecord, state: JobState = JobState.RUNNING, **more: object) -> Job:
    repository = Repository(id="r", name="r", path="/r")
    job = Job(id="j", repository=repository, plan=PLAN, steps={"a": a, "b": b, "c": c}, state=state, created_at=AT)
    return job.model_copy(update={"started_at": AT, **more})


def said(fraction: float | None, *, still: float = 0, after: float = 0, **more: object) -> Heard:
    """Heard so many seconds `after` AT, of a step that has stood `still` for so long by then."""
    heard_at = AT + seconds(after)
    worker = heard_at + timedelta(hours=1)  # its clock is wrong
    progress = StepProgressed(
        attempt=1,
        at=worker,
        moved_at=worker - seconds(still),
        fraction=fraction,
        progress=Progress(done=3, phase="reading", message="src/app.py"),
        usage=Usage(seconds=after, cpu_seconds=1, peak_memory_bytes=1),
    )
    return Heard(progress.model_copy(update=more), heard_at)


def course(at: float = 0, times: Times | None = None, stalled: float = 60, **heard: Heard) -> Course:
    return Course(AT + seconds(at), heard, times or Times(), stalled)


RUNNING = job_of(record(S.RUNNING), record(S.READY), record(S.WAITING))


def test_without_history_every_step_counts_the_same() -> None:
    assert estimates.job_fraction(RUNNING, course(a=said(0.6))) == pytest.approx(0.2)


def test_with_history_each_counts_by_how_long_it_took() -> None:
    assert estimates.job_fraction(RUNNING, course(times=TIMES, a=said(0.5))) == pytest.approx(0.05)


def test_a_step_that_is_new_to_the_repository_counts_as_the_mean_of_the_others() -> None:
    times = Times({}, {"a": 10, "b": 30})

    assert estimates.job_fraction(RUNNING, course(times=times, a=said(1.0))) == pytest.approx(10 / 60)


def test_a_step_keeps_its_fraction_between_attempts_and_when_it_failed() -> None:
    for state in (S.RETRYING, S.READY, S.FAILED, S.STOPPED, S.CANCELLED):
        job = job_of(record(state, 2), record(S.WAITING), record(S.WAITING))
        assert estimates.fraction(job, "a", course(a=said(0.4))) == 0.4


def test_what_was_said_in_another_run_of_the_job_does_not_count() -> None:
    assert estimates.fraction(RUNNING.model_copy(update={"run": 2}), "a", course(a=said(0.4))) == 0.0


def test_a_completed_job_is_whole_also_with_an_optional_step_that_failed() -> None:
    job = job_of(record(S.COMPLETED), record(S.FAILED), record(S.COMPLETED), JobState.COMPLETED)

    view = job_view(job, course=course(b=said(0.3)))

    assert (view.fraction, [step.fraction for step in view.steps]) == (1.0, [1.0, 0.3, 1.0])


def test_a_failed_job_shows_how_far_it_had_come() -> None:
    job = job_of(record(S.COMPLETED), record(S.FAILED), record(S.SKIPPED), JobState.FAILED)

    view = job_view(job, course=course(times=TIMES, b=said(0.5, eta_seconds=9.0)))

    assert view.fraction == pytest.approx(0.25)
    assert view.steps[1].progress is not None
    assert view.steps[1].progress.message == "src/app.py"
    assert (view.steps[1].eta_seconds, view.steps[1].stalled, view.eta_seconds) == (None, None, None)


def test_the_job_ends_when_the_longest_way_through_it_does() -> None:
    job = job_of(record(S.RUNNING), record(S.RUNNING), record(S.WAITING))
    known = course(2, TIMES, a=said(0.5, eta_seconds=8.0, after=1), b=said(0.1, eta_seconds=40.0, after=2))

    assert estimates.step_eta(job, "a", known) == pytest.approx(7)
    assert estimates.job_eta(job, known) == pytest.approx(40 + 60)


def test_a_running_step_without_an_estimate_of_its_own_takes_as_long_as_the_last_time() -> None:
    job = job_of(record(S.COMPLETED), record(S.RUNNING), record(S.WAITING))

    assert estimates.job_eta(job, course(10, TIMES)) == pytest.approx(20 + 60)
    assert estimates.job_eta(job, course(10, TIMES, b=said(None, after=5))) == pytest.approx(20 + 60)
    assert estimates.job_eta(job, course(31, TIMES)) is None  # longer than ever


@pytest.mark.parametrize(
    ("job", "known"),
    [
        (RUNNING, course(a=said(0.5, eta_seconds=5.0))),  # nothing is known of b
        (job_of(record(S.COMPLETED), record(S.READY, ready_at=AT), record(S.WAITING)), course(60, TIMES)),  # for others
        (job_of(record(S.RUNNING), record(S.RUNNING), record(S.WAITING)), course(70, TIMES)),  # they stand still
        (job_of(record(S.WAITING), record(S.WAITING), record(S.WAITING), JobState.PENDING), course(times=TIMES)),
    ],
)
def test_what_is_not_known_is_not_said(job: Job, known: Course) -> None:
    assert estimates.job_eta(job, known) is None


def test_a_step_that_is_tried_again_starts_when_it_is_due() -> None:
    job = job_of(record(S.COMPLETED), record(S.RETRYING, 2, due_at=AT + seconds(7)), record(S.WAITING))

    assert estimates.job_eta(job, course(2, TIMES)) == pytest.approx(5 + 30 + 60)


def test_a_step_that_says_nothing_new_is_stalled_and_what_it_was_at_is_named() -> None:
    assert estimates.stalled(RUNNING, "a", course(29, a=said(0.5, still=30))) is None

    stalled = estimates.stalled(RUNNING, "a", course(31, a=said(0.5, still=30, eta_seconds=5.0)))

    assert stalled is not None
    assert (stalled.phase, stalled.message, stalled.seconds) == ("reading", "src/app.py", 61)
    assert stalled.since == AT - seconds(30)
    assert estimates.step_eta(RUNNING, "a", course(31, a=said(0.5, still=30, eta_seconds=5.0))) is None


def test_a_step_that_has_never_said_anything_is_stalled_too() -> None:
    stalled = estimates.stalled(RUNNING, "a", course(61))

    assert stalled is not None
    assert (stalled.phase, stalled.message, stalled.since) == ("", "", AT)


def test_when_to_look_for_a_stall() -> None:
    assert estimates.until_stalled(RUNNING, course(10, a=said(0.5, still=20))) == pytest.approx(30)
    assert estimates.until_stalled(RUNNING, course(70, a=said(0.5))) is None
    assert estimates.until_stalled(job_of(record(S.WAITING), record(S.WAITING), record(S.WAITING)), course(70)) is None


# one watcher


def test_a_watcher_hears_of_a_stall_once_without_anything_having_been_said() -> None:
    watching, heard = Watching(), said(0.5)

    def told(at: float) -> list[tuple[str, str, bool]]:
        now = course(at, a=heard)
        return [(m.kind, m.step, m.stalled is not None) for m in watching.news(job_view(RUNNING, 5, course=now), now)]

    assert told(1) == [("job", "", False)]
    assert told(2) == []
    assert told(61) == [("progress", "a", True)]
    assert told(62) == []
    heard = said(0.6, after=63)
    assert told(63) == [("progress", "a", False)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.sampled_from([Times(), TIMES])), max_size=30))
def test_to_a_watcher_nothing_falls_within_a_run(heard: list[tuple[float, bool, Times]]) -> None:
    watching, revision, before, seq = Watching(), 1, (0.0, 0.0), 0

    for count, (fraction, changed, times) in enumerate(heard):
        revision += changed
        now = course(count, times, a=said(fraction, after=count))
        for message in watching.news(job_view(RUNNING, revision, course=now), now):
            step = message.job.steps[0].fraction if message.job else message.fraction
            assert (step, message.job_fraction) >= before
            assert message.job_fraction >= before[1]
            assert message.seq > seq
            before, seq = (step, message.job_fraction), message.seq


def test_in_a_new_run_a_watcher_sees_it_begin_anew() -> None:
    watching, known = Watching(), course(a=said(0.5))
    list(watching.news(job_view(RUNNING, 1, course=known), known))
    again = RUNNING.model_copy(update={"run": 2})

    [message] = watching.news(job_view(again, 2, course=known), known)

    assert message.job is not None
    assert (message.job.steps[0].fraction, message.job_fraction) == (0.0, 0.0)


# how long it took


def completed(took: float, ended: float = 0, **more: object) -> Job:
    attempt = Attempt(number=1, worker="w", started_at=AT, ended_at=AT + seconds(ended), usage=Usage(seconds=took))
    step = StepRecord(state=S.COMPLETED, attempt=1, attempts=(attempt,))
    return job_of(step, step, step, JobState.COMPLETED).model_copy(update={"id": f"j{ended}", **more})


def test_a_step_takes_as_long_as_the_last_time() -> None:
    usual = Usual()
    usual.learn(completed(5, ended=1))
    usual.learn(completed(9, ended=3))
    usual.learn(completed(7, ended=2))  # heard of late
    usual.learn(completed(99, ended=4, state=JobState.FAILED))

    assert usual.of(RUNNING).seconds == {"a": 9, "b": 9, "c": 9}
    elsewhere = Repository(id="s", name="s", path="/s")
    assert usual.of(RUNNING.model_copy(update={"id": "k", "repository": elsewhere})) == Times()


def test_the_times_of_the_other_mode_are_no_estimate_but_a_share() -> None:
    usual = Usual()
    usual.learn(completed(5))

    times = usual.of(RUNNING.model_copy(update={"mode": Mode.UPDATE}))

    assert (times.seconds, times.weights) == ({}, {"a": 5, "b": 5, "c": 5})


def test_what_becomes_known_while_a_job_runs_changes_nothing_for_it() -> None:
    usual = Usual()
    assert usual.of(RUNNING) == Times()

    usual.learn(completed(5))

    assert usual.of(RUNNING) == Times()
    assert usual.of(RUNNING.model_copy(update={"id": "later"})).seconds == {"a": 5, "b": 5, "c": 5}
    assert usual.of(RUNNING.model_copy(update={"run": 2})).seconds == {"a": 5, "b": 5, "c": 5}
