"""What may be asked of a job, by examples. The whole table is tried in test_control_table.py."""

from datetime import UTC, datetime, timedelta

import pytest

from codestory.contracts.api import RetryJob
from codestory.contracts.events import StepCancelled, StepCompleted, StepFailed, StepStopped
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import JobState, Priority, Reason, StepState, Verb, When
from codestory_orchestrator import control, pipeline

AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = AT + timedelta(minutes=1)
LAST = AT + timedelta(minutes=2)
REPOSITORY = Repository(id="r", name="r", path="/r")
CHAIN = (StepPlan(name="a"), StepPlan(name="b", depends_on=("a",)), StepPlan(name="c", depends_on=("b",)))
ABREAST = (StepPlan(name="a"), StepPlan(name="b"), StepPlan(name="c", depends_on=("a", "b")))


def begun(plan: tuple[StepPlan, ...] = CHAIN) -> Job:
    return pipeline.begin(pipeline.make("j", REPOSITORY, plan, at=AT), AT)[0]


def completed(job: Job, *names: str) -> Job:
    for name in names:
        news = StepCompleted(attempt=job.steps[name].attempt, worker="w", at=AT)
        job, _ = pipeline.advance(job, name, news, job.steps[name].after + 2)
    return job


def gave_up(job: Job, name: str) -> Job:
    news = StepFailed(attempt=job.steps[name].attempt, worker="w", at=AT, reason=Reason.GAVE_UP)
    return pipeline.advance(job, name, news, job.steps[name].after + 2)[0]


def after(*jobs: str, when: When = When.SUCCESS) -> Job:
    return pipeline.make("j", REPOSITORY, CHAIN, at=AT, after=jobs, when=when)


def states(job: Job) -> list[StepState]:
    return [job.steps[plan.name].state for plan in job.plan]


def test_the_receipt_of_a_stop_says_how_long_it_took_what_was_kept_and_what_came_free() -> None:
    job = control.stop(completed(begun((*ABREAST, StepPlan(name="d"))), "a"), LATER, 10)
    waited = StepStopped(attempt=1, worker="o", at=LATER, admitted=False)
    ran = StepStopped(attempt=1, worker="w", at=LAST)

    job, _ = pipeline.advance(job, "b", ran, 3)
    on_the_way = job.receipt
    job, _ = pipeline.advance(job, "d", waited.model_copy(update={"at": LAST}), 4)

    assert on_the_way
    assert (on_the_way.ended_at, on_the_way.steps, on_the_way.tokens_released) == (None, ("b",), 1)
    assert job.state is JobState.STOPPED
    assert job.receipt
    assert (job.receipt.verb, job.receipt.asked_at, job.receipt.ended_at) == (Verb.STOP, LATER, LAST)
    assert (job.receipt.kept, job.receipt.steps, job.receipt.tokens_released) == (("a",), ("b", "d"), 1)
    assert states(job) == [StepState.COMPLETED, StepState.STOPPED, StepState.SKIPPED, StepState.STOPPED]


def test_a_cancel_of_what_is_stopping_wins_and_counts_what_the_stop_has_ended() -> None:
    job, _ = pipeline.advance(
        control.stop(begun(ABREAST), AT, 10), "a", StepStopped(attempt=1, worker="w", at=LATER), 3
    )

    job = control.cancel(job, LATER, 20)
    job, _ = pipeline.advance(job, "b", StepCancelled(attempt=1, worker="w", at=LAST), 4)

    assert job.state is JobState.CANCELLED
    assert job.receipt
    assert (job.receipt.verb, job.receipt.asked_at, job.receipt.steps) == (Verb.CANCEL, LATER, ("a", "b"))
    assert job.receipt.tokens_released == 2


def test_a_resumed_job_goes_on_where_it_was_with_new_attempts() -> None:
    job = completed(begun(), "a")
    stopped, _ = pipeline.advance(control.stop(job, AT, 10), "b", StepStopped(attempt=1, worker="w", at=AT), 7)

    job, [command] = pipeline.begin(control.resume(stopped, LATER), LATER)

    assert (command.step, command.attempt, command.after, command.run) == ("b", 2, 7, 2)
    assert states(job) == [StepState.COMPLETED, StepState.READY, StepState.WAITING]
    assert job.receipt
    assert (job.receipt.verb, job.receipt.kept, job.receipt.steps) == (Verb.RESUME, ("a",), ("b", "c"))
    assert completed(job, "b", "c").state is JobState.COMPLETED


@pytest.mark.parametrize(
    ("from_step", "runs"),
    [("", ("b", "c")), ("b", ("b", "c")), ("c", ("b", "c")), ("a", ("a", "b", "c")), ("start", ("a", "b", "c"))],
)
def test_a_retry_runs_what_failed_what_is_named_and_what_depends_on_them(from_step: str, runs: tuple[str, ...]) -> None:
    failed = gave_up(completed(begun(), "a"), "b")

    job = control.retry(failed, RetryJob(from_step=from_step), failed.plan, LATER)

    assert job.receipt
    assert job.receipt.steps == runs
    assert job.receipt.kept == tuple(name for name in "abc" if name not in runs)


def test_a_retry_with_other_options_runs_the_steps_that_get_them_and_gives_them() -> None:
    failed = gave_up(completed(begun(), "a"), "b")
    plan = (CHAIN[0].model_copy(update={"options": {"depth": 2}}), *CHAIN[1:])
    request = RetryJob(step_options={"a": {"depth": 2}})

    job = control.retry(failed, request, plan, LATER)
    again = control.retry(job, request, plan, LAST)
    _, [command] = pipeline.begin(job, LATER)

    assert again == job
    assert (command.step, command.attempt, command.options) == ("a", 2, {"depth": 2})
    with pytest.raises(control.Conflict, match="only a job that has ended can be retried"):
        control.retry(job, RetryJob(from_step="b"), plan, LAST)


def test_news_of_the_run_before_means_nothing_to_a_job_that_was_retried() -> None:
    failed = gave_up(completed(begun(), "a"), "b")
    job = control.retry(failed, RetryJob(), failed.plan, LATER)

    for attempt in (1, 2):
        late = StepCompleted(attempt=attempt, worker="w", at=LAST)
        assert pipeline.advance(job, "b", late, 9) == (job, [])


def test_a_job_that_was_put_off_and_is_resumed_before_its_time_is_put_off_again() -> None:
    job = pipeline.make("j", REPOSITORY, CHAIN, at=AT, due_at=LAST)
    stopped = control.stop(job, AT, 10)

    resumed = control.resume(stopped, LATER)

    assert (stopped.state, resumed.state, resumed.eligible) == (JobState.STOPPED, JobState.SCHEDULED, False)
    assert control.resume(stopped, LAST).state is JobState.PENDING


def test_a_due_message_counts_once_and_only_when_it_is_due() -> None:
    job = pipeline.make("j", REPOSITORY, CHAIN, at=AT, due_at=LATER)

    early, due = control.due(job, AT), control.due(job, LATER)

    assert early == job
    assert (due.state, due.eligible) == (JobState.PENDING, True)
    assert control.due(due, LAST) == due


def test_a_new_priority_puts_what_waits_at_the_end_of_its_line() -> None:
    job = control.prioritise(begun(), Priority.HIGH, LATER)

    assert (job.priority, job.steps["a"].ready_at) == (Priority.HIGH, LATER)
    assert control.prioritise(job, Priority.HIGH, LAST) == job


def test_a_job_begins_when_all_that_it_comes_after_have_completed() -> None:
    job = after("x", "y")

    half = control.release(job, {"x": JobState.COMPLETED, "y": JobState.RUNNING}, LATER)
    whole = control.release(job, {"x": JobState.COMPLETED, "y": JobState.COMPLETED}, LATER)

    assert half == job
    assert (whole.state, whole.eligible) == (JobState.PENDING, True)


@pytest.mark.parametrize(
    ("became", "words"),
    [(JobState.FAILED, "is FAILED"), (JobState.CANCELLED, "is CANCELLED"), (None, "is not known any more")],
)
def test_a_job_whose_predecessor_will_not_complete_fails_and_says_so(became: JobState | None, words: str) -> None:
    job = control.release(after("x"), {"x": became}, LATER)

    assert (job.state, job.ended_at) == (JobState.FAILED, LATER)
    assert states(job) == [StepState.SKIPPED] * 3
    assert job.message == job.steps["a"].message == f"the job x, which it comes after, {words}"


def test_a_job_waits_for_a_stopped_one_as_that_can_be_resumed() -> None:
    assert control.release(after("x"), {"x": JobState.STOPPED}, LATER) == after("x")


@pytest.mark.parametrize("became", [state for state in JobState if state.ended] + [None])
def test_a_job_that_always_comes_after_begins_however_the_other_ended(became: JobState | None) -> None:
    assert control.release(after("x", when=When.ALWAYS), {"x": became}, LATER).eligible


def test_a_retried_job_does_not_need_the_ones_before_it_again_once_they_have_completed() -> None:
    """By then their records may be gone."""
    job = control.release(after("x"), {"x": JobState.COMPLETED}, AT)
    failed = gave_up(pipeline.begin(job, AT)[0], "a")

    job = control.retry(failed, RetryJob(), failed.plan, LATER)

    assert (job.state, job.eligible) == (JobState.PENDING, True)


def test_a_job_that_failed_for_the_one_before_it_looks_again_when_it_is_retried() -> None:
    failed = control.release(after("x"), {"x": JobState.FAILED}, AT)

    job = control.retry(failed, RetryJob(), failed.plan, LATER)

    assert (job.state, job.eligible, job.message) == (JobState.PENDING, False, "")
    assert states(job) == [StepState.WAITING] * 3


@pytest.mark.parametrize(
    ("waited", "becomes"),
    [(0, Priority.LOW), (59, Priority.LOW), (60, Priority.DEFAULT), (120, Priority.HIGH), (10_000, Priority.HIGH)],
)
def test_what_waits_rises_by_one_priority_for_each_while(waited: int, becomes: Priority) -> None:
    at = AT + timedelta(seconds=waited)

    assert control.aged(Priority.LOW, AT, at, 60) is becomes
    assert control.aged(Priority.LOW, AT, at, 0) is Priority.LOW
    assert control.aged(Priority.LOW, None, at, 60) is Priority.LOW
