"""Every verb in every state that real transitions reach, against the table in docs/state_machine.md.

Run as a program, this file writes the table."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from codestory.contracts.api import RetryJob
from codestory.contracts.events import StepCancelled, StepCompleted, StepFailed, StepStarted, StepStopped
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.plans import Retry, StepPlan
from codestory.contracts.values import JobState, Priority, Reason, StepState, Verb
from codestory_orchestrator import control, pipeline

DOCUMENT = Path(__file__).parents[3] / "docs" / "state_machine.md"
BEGIN, END = "<!-- verbs: begin -->\n", "<!-- verbs: end -->\n"
AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
DUE = AT + timedelta(hours=2)
GRACE = 10.0
PLAN = (
    StepPlan(name="a", retry=Retry(max_retries=1)),
    StepPlan(name="b", depends_on=("a",), retry=Retry(max_retries=0)),
)
#: Enough for every state to be reached anew.
RUNS = 2


def clock(job: Job) -> datetime:
    """When something is asked of it. A job that was due has run since."""
    return DUE if any(step.attempt for step in job.steps.values()) else LATER


Ask = Callable[[Job], Job]
#: What a user can ask. `change` is the priority's.
VERBS: dict[str, Ask] = {
    Verb.CANCEL: lambda job: control.cancel(job, clock(job), GRACE),
    Verb.STOP: lambda job: control.stop(job, clock(job), GRACE),
    Verb.RESUME: lambda job: control.resume(job, clock(job)),
    Verb.RETRY: lambda job: control.retry(job, RetryJob(), job.plan, clock(job)),
    "change": lambda job: control.prioritise(job, Priority.HIGH, clock(job)),
}
#: No change: it has been asked already. And a refusal.
SAME, REFUSED, CHANGED = "=", "409", "changed"


def makings() -> Iterator[Job]:
    repository = Repository(id="r", name="r", path="/r")
    for priority in (Priority.DEFAULT, Priority.HIGH):
        yield pipeline.make("j", repository, PLAN, at=AT, priority=priority)
        yield pipeline.make("j", repository, PLAN, at=AT, priority=priority, due_at=DUE)
        yield pipeline.make("j", repository, PLAN, at=AT, priority=priority, after=("i",))


def transitions(job: Job) -> Iterator[Job]:
    """Every job that this one can become by one thing that happens or is asked."""
    yield pipeline.begin(job, AT)[0]
    yield control.due(job, DUE)
    for state in (JobState.COMPLETED, JobState.FAILED, None):
        yield control.release(job, {"i": state}, AT)
    for name in job.active:
        attempt = job.steps[name].attempt
        for news in said(attempt):
            yield pipeline.advance(job, name, news, attempt)[0]
    for verb in Verb:
        changed = answer(VERBS[verb], job)
        if isinstance(changed, Job):
            yield changed


def said(attempt: int) -> Iterator[pipeline.News]:
    yield StepStarted(attempt=attempt, worker="w", at=AT, delivery=(1, 1))
    yield StepCompleted(attempt=attempt, worker="w", at=AT)
    for reason in (Reason.TEMPORARY, Reason.SHUTDOWN):
        yield StepFailed(attempt=attempt, worker="w", at=AT, reason=reason, retryable=True)
    yield StepFailed(attempt=attempt, worker="w", at=AT, reason=Reason.BUG)
    yield StepStopped(attempt=attempt, worker="w", at=AT)
    yield StepCancelled(attempt=attempt, worker="w", at=AT)


@cache
def reachable() -> tuple[Job, ...]:
    """One job of each kind: what the states of it and its steps are, what was asked last, what holds it back."""
    found: dict[object, Job] = {}
    ahead = list(makings())
    while ahead:
        job = ahead.pop()
        if job.run <= RUNS and kind(job) not in found:
            found[kind(job)] = job
            ahead += transitions(job)
    return tuple(found.values())


def kind(job: Job) -> object:
    steps = tuple(step.state for step in job.steps.values())
    receipt = job.receipt and (job.receipt.verb, job.receipt.request)
    return job.state, job.run, job.priority, job.eligible, job.due_at is None, receipt, steps


def answer(ask: Ask, job: Job) -> Job | str:
    try:
        return ask(job)
    except control.Conflict as conflict:
        return str(conflict)


def outcome(job: Job, answered: Job | str) -> str:
    if isinstance(answered, str):
        return REFUSED
    if answered == job:
        return SAME
    return CHANGED if answered.state is job.state else answered.state


def table() -> str:
    cells: dict[tuple[JobState, str], set[str]] = defaultdict(set)
    for job in reachable():
        for verb, ask in VERBS.items():
            cells[job.state, verb].add(outcome(job, answer(ask, job)))
    order = [*JobState, CHANGED, SAME, REFUSED]
    rows = [
        [state, *(", ".join(sorted(cells[state, verb], key=order.index)) for verb in VERBS)]  # pyright: ignore[reportArgumentType] - states are strings
        for state in JobState
    ]
    lines = [["state", *VERBS], ["---"] * (len(VERBS) + 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def of(*states: JobState) -> Iterable[Job]:
    return (job for job in reachable() if job.state in states)


def test_every_state_of_a_job_and_of_a_step_is_reached() -> None:
    assert {job.state for job in reachable()} == set(JobState)
    assert {step.state for job in reachable() for step in job.steps.values()} == set(StepState)


def test_the_documented_table_is_what_happens() -> None:
    written = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]

    assert written == table(), f"run: .venv/bin/python {Path(__file__).relative_to(DOCUMENT.parents[1])}"


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_refused_is_refused_twice_in_words_that_explain(verb: str) -> None:
    for job in reachable():
        first = answer(VERBS[verb], job)
        if isinstance(first, str):
            assert re.match(rf"{job.state}[:,] .{{10,}}", first), first
            assert answer(VERBS[verb], job) == first


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_done_is_done_once_and_asked_again_it_is_the_same(verb: str) -> None:
    for job in reachable():
        first = answer(VERBS[verb], job)
        if isinstance(first, Job):
            assert answer(VERBS[verb], first) == first, (job, first)
            assert Job.model_validate_json(first.model_dump_json(exclude_defaults=True)) == first


@pytest.mark.parametrize(
    ("verb", "on_the_way", "there"),
    [
        (Verb.CANCEL, JobState.CANCELLING, JobState.CANCELLED),
        (Verb.STOP, JobState.STOPPING, JobState.STOPPED),
    ],
)
def test_what_is_to_end_ends_at_once_or_waits_for_its_active_steps(
    verb: Verb, on_the_way: JobState, there: JobState
) -> None:
    for job in reachable():
        ended = answer(VERBS[verb], job)
        if not isinstance(ended, Job) or ended == job:
            continue
        assert ended.state is (on_the_way if job.active else there)
        assert ended.active == job.active
        assert ended.receipt
        assert (ended.receipt.verb, ended.receipt.asked_at) == (verb, clock(job))
        assert ended.receipt.ended_at == (None if job.active else clock(job))
        assert ended.cancel_by == clock(job) + timedelta(seconds=GRACE)


@pytest.mark.parametrize("verb", [Verb.RESUME, Verb.RETRY])
def test_what_goes_on_keeps_what_was_completed_and_counts_its_attempts_on(verb: Verb) -> None:
    for job in reachable():
        again = answer(VERBS[verb], job)
        if not isinstance(again, Job) or again == job:
            continue
        kept = [name for name, step in again.steps.items() if step.state is StepState.COMPLETED]
        assert again.state in {JobState.PENDING, JobState.SCHEDULED}
        assert (again.run, again.ended_at, again.started_at, again.cancel_by) == (job.run + 1, None, None, None)
        assert all(again.steps[name] == job.steps[name] for name in kept)
        for name in set(again.steps) - set(kept):
            step, before = again.steps[name], job.steps[name]
            assert (step.state, step.attempt, step.after) == (StepState.WAITING, before.attempt, before.after)
            assert step.attempts == before.attempts
        assert again.receipt
        assert again.receipt.kept == tuple(kept)
        assert set(again.receipt.steps) == set(again.steps) - set(kept)


def test_a_job_that_has_ended_hears_nothing_more() -> None:
    for job in of(JobState.COMPLETED, JobState.FAILED, JobState.STOPPED, JobState.CANCELLED):
        assert not job.active
        assert StepState.WAITING not in {step.state for step in job.steps.values()}
        for name, step in job.steps.items():
            for news in said(step.attempt):
                after, commands = pipeline.advance(job, name, news, 9)
                assert commands == []
                assert (after.state, after.ended_at) == (job.state, job.ended_at)
                assert [s.state for s in after.steps.values()] == [s.state for s in job.steps.values()]
        assert pipeline.begin(job, LATER) == (job, [])
        assert control.due(job, DUE) == control.release(job, {"i": None}, LATER) == job


def test_a_job_that_has_begun_and_not_ended_has_something_to_wait_for() -> None:
    for job in reachable():
        if job.state in {JobState.RUNNING, JobState.STOPPING, JobState.CANCELLING}:
            assert job.active, job


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    DOCUMENT.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
