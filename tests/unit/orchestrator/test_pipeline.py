"""What a job does next, as a pure function: every arrow of docs/state_machine.md, and what must change nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from codestory.contracts.events import StepCancelled, StepCompleted, StepFailed, StepStarted, StepStopped
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.plans import Retry, StepPlan
from codestory.contracts.values import JobState, Reason, StepState, When
from codestory_orchestrator import control, pipeline

AT = datetime(2026, 1, 1, tzinfo=UTC)
CHAIN = (StepPlan(name="a"), StepPlan(name="b", depends_on=("a",)), StepPlan(name="c", depends_on=("b",)))


def job_of(*plan: StepPlan) -> Job:
    repository = Repository(id="r", name="r", path="/r")
    return pipeline.make("j", repository, plan or CHAIN, at=AT)


def begun(*plan: StepPlan) -> Job:
    return pipeline.begin(job_of(*plan), AT)[0]


def started(attempt: int = 1) -> StepStarted:
    return StepStarted(attempt=attempt, worker="w", at=AT, delivery=(1, 1))


def completed(attempt: int = 1) -> StepCompleted:
    return StepCompleted(attempt=attempt, worker="w", at=AT)


def failed(attempt: int = 1, reason: Reason = Reason.TEMPORARY, *, retryable: bool = True) -> StepFailed:
    return StepFailed(attempt=attempt, worker="w", at=AT, reason=reason, message="no", retryable=retryable)


def cancelled(attempt: int = 1) -> StepCancelled:
    return StepCancelled(attempt=attempt, worker="w", at=AT)


def stopped(attempt: int = 1) -> StepStopped:
    return StepStopped(attempt=attempt, worker="w", at=AT)


def states(job: Job) -> list[StepState]:
    return [job.steps[plan.name].state for plan in job.plan]


def test_a_job_waits_until_its_turn_and_begins_once() -> None:
    job = job_of()

    first, commands = pipeline.begin(job, AT)
    again, no_commands = pipeline.begin(first, AT)

    assert [c.step for c in commands] == ["a"]
    assert states(first) == [StepState.READY, StepState.WAITING, StepState.WAITING]
    assert (again, no_commands) == (first, [])


def test_steps_run_in_order_and_the_last_one_ends_the_job() -> None:
    job = begun()

    for number, name in enumerate("abc", 1):
        job, none = pipeline.advance(job, name, started(), number * 2)
        assert none == []
        assert job.state is JobState.RUNNING
        job, commands = pipeline.advance(job, name, completed(), number * 2 + 1)
        assert [c.step for c in commands] == ([chr(ord(name) + 1)] if name != "c" else [])

    assert job.state is JobState.COMPLETED
    assert job.ended_at == AT


def test_independent_steps_start_side_by_side() -> None:
    plan = (StepPlan(name="a"), StepPlan(name="b"), StepPlan(name="c", depends_on=("a", "b")))

    job, commands = pipeline.begin(job_of(*plan), AT)
    job, after_a = pipeline.advance(job, "a", completed(), 1)
    job, after_b = pipeline.advance(job, "b", completed(), 2)

    assert [c.step for c in commands] == ["a", "b"]
    assert after_a == []
    assert [c.step for c in after_b] == ["c"]


def test_a_command_follows_the_last_event_that_is_known_of_its_step() -> None:
    job, [first] = pipeline.begin(job_of(), AT)

    job, [again] = pipeline.advance(job, "a", failed(), 7)

    assert (first.attempt, first.after) == (1, 0)
    assert (again.attempt, again.after) == (2, 7)


def test_a_temporary_failure_is_retried_after_a_growing_wait_until_the_limit() -> None:
    retry = Retry(max_retries=2, back_off_seconds=10)
    job = begun(StepPlan(name="a", retry=retry))

    waits: list[timedelta | None] = []
    for attempt in (1, 2):
        job, _ = pipeline.advance(job, "a", failed(attempt), attempt)
        due = job.steps["a"].due_at
        waits.append(due - AT if due else None)
        assert states(job) == [StepState.RETRYING]
    job, commands = pipeline.advance(job, "a", failed(3), 3)

    assert waits == [timedelta(seconds=10), timedelta(seconds=20)]
    assert commands == []
    assert (job.state, states(job)) == (JobState.FAILED, [StepState.FAILED])
    assert [a.reason for a in job.steps["a"].attempts] == [Reason.TEMPORARY] * 3


def test_a_worker_that_shuts_down_costs_no_retry_and_no_wait() -> None:
    job = begun(StepPlan(name="a", retry=Retry(max_retries=0)))

    job, [command] = pipeline.advance(job, "a", failed(reason=Reason.SHUTDOWN), 1)

    assert command.attempt == 2
    assert (job.steps["a"].state, job.steps["a"].retries, job.steps["a"].due_at) == (StepState.READY, 0, None)


def test_what_gives_up_fails_the_job_and_skips_what_depended_on_it() -> None:
    job = begun(*CHAIN, StepPlan(name="d"))

    job, commands = pipeline.advance(job, "a", failed(retryable=False), 1)
    still_running = job.state
    job, _ = pipeline.advance(job, "d", completed(), 2)

    assert commands == []
    assert still_running is JobState.PENDING
    assert job.state is JobState.FAILED
    assert states(job) == [StepState.FAILED, StepState.SKIPPED, StepState.SKIPPED, StepState.COMPLETED]
    assert job.steps["b"].message == "a is FAILED"


def test_an_optional_step_may_fail_without_harm() -> None:
    job = begun(StepPlan(name="a", optional=True), StepPlan(name="b", depends_on=("a",)))

    job, [command] = pipeline.advance(job, "a", failed(retryable=False), 1)
    job, _ = pipeline.advance(job, "b", completed(), 2)

    assert command.step == "b"
    assert job.state is JobState.COMPLETED


@pytest.mark.parametrize("news", [started(), completed(), failed(), failed(retryable=False), stopped(), cancelled()])
def test_the_same_news_twice_changes_nothing(news: pipeline.News) -> None:
    once, _ = pipeline.advance(begun(), "a", news, 5)

    twice, commands = pipeline.advance(once, "a", news, 5)

    assert (twice, commands) == (once, [])


def test_a_start_that_is_heard_after_the_end_still_says_what_the_step_received() -> None:
    job, _ = pipeline.advance(begun(), "a", completed(), 2)

    job, commands = pipeline.advance(job, "a", started().model_copy(update={"options": {"x": 1}}), 1)

    assert commands == []
    assert job.steps["a"].state is StepState.COMPLETED
    assert (job.steps["a"].options, job.steps["a"].started_at, job.started_at) == ({"x": 1}, AT, AT)


def test_a_record_that_has_outgrown_the_bus_keeps_its_states() -> None:
    job, _ = pipeline.advance(begun(), "a", failed().model_copy(update={"detail": "x" * 16_000}), 1)

    trimmed = pipeline.trimmed(job)

    assert states(trimmed) == states(job)
    assert len(trimmed.model_dump_json()) < 5000


@pytest.mark.parametrize("news", [started(1), completed(1), failed(1), stopped(1), cancelled(1)])
def test_news_of_an_older_attempt_changes_nothing(news: pipeline.News) -> None:
    job, _ = pipeline.advance(begun(), "a", failed(1), 5)

    assert pipeline.advance(job, "a", news, 6) == (job, [])


def test_a_second_start_of_an_attempt_replaces_the_worker_that_died() -> None:
    job, _ = pipeline.advance(begun(), "a", started(), 1)

    job, _ = pipeline.advance(job, "a", started().model_copy(update={"worker": "w2", "starts": 2}), 2)

    assert [(a.number, a.worker) for a in job.steps["a"].attempts] == [(1, "w2")]


def test_the_start_of_a_worker_that_died_does_not_displace_its_successor_when_it_is_heard_late() -> None:
    second = started().model_copy(update={"worker": "w2", "starts": 2, "at": AT + timedelta(seconds=5)})
    job, _ = pipeline.advance(begun(), "a", second, 2)

    assert pipeline.advance(job, "a", started(), 1) == (job, [])


def test_what_is_skipped_skips_its_dependents_wherever_they_stand_in_the_plan() -> None:
    plan = (
        StepPlan(name="d", depends_on=("c",), when=When.ALWAYS),
        StepPlan(name="c", depends_on=("b",)),
        StepPlan(name="b", depends_on=("a",)),
        StepPlan(name="a"),
    )

    job, [command] = pipeline.advance(begun(*plan), "a", failed(retryable=False), 1)

    assert command.step == "d"
    assert states(job) == [StepState.READY, StepState.SKIPPED, StepState.SKIPPED, StepState.FAILED]
    assert [job.steps[name].message for name in "cb"] == ["b is SKIPPED", "a is FAILED"]


@pytest.mark.parametrize("how", [completed(), failed(retryable=False)])
def test_a_step_that_always_runs_waits_for_the_end_however_it_is(how: pipeline.News) -> None:
    job = begun(StepPlan(name="a"), StepPlan(name="b", depends_on=("a",), when=When.ALWAYS))

    job, [command] = pipeline.advance(job, "a", how, 1)
    job, _ = pipeline.advance(job, "b", completed(), 2)

    assert command.step == "b"
    assert job.state is (JobState.COMPLETED if isinstance(how, StepCompleted) else JobState.FAILED)


def test_a_job_that_is_not_due_or_waits_for_another_does_not_begin() -> None:
    repository = Repository(id="r", name="r", path="/r")
    later = pipeline.make("j", repository, CHAIN, at=AT, due_at=AT + timedelta(seconds=1))
    second = pipeline.make("j", repository, CHAIN, at=AT, after=("i",))

    assert pipeline.begin(later, AT) == (later, [])
    assert pipeline.begin(second, AT) == (second, [])
    assert (later.state, second.state) == (JobState.SCHEDULED, JobState.PENDING)


def test_cancel_of_a_waiting_job_ends_it_at_once() -> None:
    job = control.cancel(job_of(), AT, 10)

    assert (job.state, job.ended_at) == (JobState.CANCELLED, AT)
    assert states(job) == [StepState.SKIPPED] * 3


def test_cancel_of_an_active_job_waits_for_its_step() -> None:
    cancelling = control.cancel(begun(), AT, 10)

    again = control.cancel(cancelling, AT, 99)
    ended, commands = pipeline.advance(cancelling, "a", cancelled(), 3)

    assert (cancelling.state, cancelling.cancel_by) == (JobState.CANCELLING, AT + timedelta(seconds=10))
    assert again == cancelling
    assert (ended.state, commands) == (JobState.CANCELLED, [])
    assert states(ended) == [StepState.CANCELLED, StepState.SKIPPED, StepState.SKIPPED]


def test_a_cancelled_job_retries_nothing() -> None:
    cancelling = control.cancel(begun(), AT, 10)

    job, commands = pipeline.advance(cancelling, "a", failed(), 3)

    assert (job.state, commands) == (JobState.CANCELLED, [])


def test_a_job_whose_last_step_completes_meanwhile_is_completed() -> None:
    cancelling = control.cancel(begun(StepPlan(name="a")), AT, 10)

    job, _ = pipeline.advance(cancelling, "a", completed(), 3)

    assert job.state is JobState.COMPLETED


@pytest.mark.parametrize("how", [completed(), failed(retryable=False)])
def test_cancel_of_an_ended_job_is_refused(how: pipeline.News) -> None:
    job, _ = pipeline.advance(begun(StepPlan(name="a")), "a", how, 3)

    with pytest.raises(control.Conflict, match=str(job.state)):
        control.cancel(job, AT, 10)
