"""Why a job waits, in words and as data: each situation that there is, from facts that are made up."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from codestory.contracts.api import Cause, Holder, Holders, Stalled, TagStatus, Wait
from codestory.contracts.events import StepCompleted, StepFailed, StepStarted
from codestory.contracts.jobs import Job, Repository, Source
from codestory.contracts.plans import Retry, StepPlan
from codestory.contracts.results import Progress
from codestory.contracts.values import JobState, Priority, Reason, When
from codestory_orchestrator import control, pipeline
from codestory_orchestrator.views import job_view
from codestory_orchestrator.why.facts import Facts, Other, Queued, StepFacts
from codestory_orchestrator.why.job_links import explain, held_up

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)
BERLIN = timezone(timedelta(hours=1))
CHAIN = StepPlan(name="a"), StepPlan(name="b", depends_on=("a",))
SIDE_BY_SIDE = StepPlan(name="a"), StepPlan(name="b")
HELD = Holder(job="j0", step="b", attempt=1, repository="flask", since=AT - timedelta(minutes=12), worker="w0")
IDLE = HELD.model_copy(update={"job": "j1", "step": "a", "since": AT, "worker": ""})
ALIVE = StepFacts(queued=Queued(Priority.DEFAULT), workers=frozenset({"w"}), concurrency=4)
FREE = Holders(available_tokens=2, max_tokens=2, holders=())
FULL = Holders(available_tokens=0, max_tokens=2, holders=(HELD, IDLE))


def made(*plan: StepPlan, **more: Any) -> Job:
    return pipeline.make("j", Repository(id="r", name="shop", path="/shop"), plan or CHAIN, at=AT, **more)


def begun(*plan: StepPlan) -> Job:
    return pipeline.begin(made(*plan), AT)[0]


def told(job: Job, step: str, *news: pipeline.News) -> Job:
    for sequence, one in enumerate(news, 1):
        job, _ = pipeline.advance(job, step, one, sequence)
    return job


def started(attempt: int = 1) -> StepStarted:
    return StepStarted(attempt=attempt, worker="w", at=AT, delivery=(1, 1))


def failed(attempt: int = 1, *, retryable: bool = True) -> StepFailed:
    reason = Reason.TEMPORARY
    return StepFailed(attempt=attempt, worker="w", at=AT, reason=reason, message="no answer", retryable=retryable)


def completed() -> StepCompleted:
    return StepCompleted(attempt=1, worker="w", at=AT)


RUNNING = told(begun(), "a", started())
RETRYING = told(begun(StepPlan(name="a", retry=Retry(max_retries=3, back_off_seconds=60))), "a", started(), failed())


def facts(job: Job, *, at: datetime = AT, shown: dict[str, Any] | None = None, **more: Any) -> Facts:
    """`shown`: what is known of step a beside the record."""
    view = job_view(job)
    steps = tuple(step.model_copy(update=shown or {}) if step.name == "a" else step for step in view.steps)
    found = Facts(job, view.model_copy(update={"steps": steps, "fraction": 0.2}), at)
    return replace(found, **({"tokens": FREE} | more))


def waiting(job: Job | None = None, *, tokens: Holders = FREE, **step: Any) -> Facts:
    """Step a waits to be admitted."""
    return facts(job or begun(StepPlan(name="a")), tokens=tokens, steps={"a": replace(ALIVE, **step)})


def tagged(limit: int, *holders: Holder) -> Facts:
    tags = (TagStatus(tag="gpu", limit=limit, held=len(holders)), TagStatus(tag="disk", limit=1, held=1))
    tokens = Holders(available_tokens=1, max_tokens=2, holders=holders, tags=tags)
    return waiting(begun(StepPlan(name="a", resources=("gpu",))), tokens=tokens)


def data(wait: Wait) -> dict[str, Any]:
    return {key: value for key, value in wait if value not in ("", None, ()) and key not in {"cause", "text"}}


Case = tuple[Facts, str, list[tuple[Cause, dict[str, Any]]]]

BEFORE_IT: dict[str, Case] = {
    "due": (
        facts(made(due_at=LATER.astimezone(BERLIN))),
        "SCHEDULED: due at 2026-01-01T13:05:00+01:00 (in 5 min)",
        [(Cause.DUE, {"until": LATER})],
    ),
    "due by now": (
        facts(made(due_at=LATER), at=LATER + timedelta(seconds=2)),
        "SCHEDULED: due at 2026-01-01T12:05:00Z (2.0 s ago), so it begins in a moment",
        [(Cause.DUE, {"until": LATER})],
    ),
    "its repository is being fetched": (
        facts(made(source=Source(url="https://git.example/a.git", ref="main"))),
        "PENDING: its repository is being fetched: main of https://git.example/a.git",
        [(Cause.FETCH, {"since": AT})],
    ),
    "fetching failed": (
        facts(made(source=Source(url="https://git.example/a.git", failures=2, problem="timed out", retry_at=LATER))),
        (
            "PENDING: its repository (https://git.example/a.git) is fetched again at 2026-01-01T12:05:00Z (in 5 min), "
            "after 2 failures: timed out"
        ),
        [(Cause.FETCH, {"since": AT, "until": LATER})],
    ),
    "after a job that waits itself": (
        facts(
            made(after=("x",)),
            after=(Other("x", JobState.PENDING, waits=(Wait(cause=Cause.WORKER, text="no worker of step a lives"),)),),
        ),
        "PENDING: the job x, which it comes after, is PENDING (x waits itself: no worker of step a lives)",
        [
            (
                Cause.AFTER,
                {
                    "jobs": ("x",),
                    "fraction": 0.0,
                    "waits": (Wait(cause=Cause.WORKER, text="no worker of step a lives"),),
                },
            )
        ],
    ),
    "after one that runs and one that is stopped": (
        facts(made(after=("x", "y")), after=(Other("x", JobState.RUNNING, 0.4), Other("y", JobState.STOPPED, 0.1))),
        (
            "PENDING: the job x, which it comes after, is RUNNING at 40 %; "
            "the job y, which it comes after, is STOPPED: resume that one, or cancel this one"
        ),
        [(Cause.AFTER, {"jobs": ("x",), "fraction": 0.4}), (Cause.AFTER, {"jobs": ("y",), "fraction": 0.1})],
    ),
    "after one, however it ends": (
        facts(made(after=("x",), when=When.ALWAYS), after=(Other("x", JobState.RUNNING, 0.4),)),
        "PENDING: the job x, which it comes after, is RUNNING at 40 %; however it ends, this one begins then",
        [(Cause.AFTER, {"jobs": ("x",), "fraction": 0.4})],
    ),
    "after one that has failed": (
        facts(made(after=("x",)), after=(Other("x", JobState.FAILED),)),
        "PENDING: the job x, which it comes after, is FAILED, so this one fails in a moment",
        [(Cause.AFTER, {"jobs": ("x",), "fraction": 0.0})],
    ),
    "after one that is gone": (
        facts(made(after=("x",)), after=(Other("x"),)),
        "PENDING: the job x, which it comes after, is not known any more, so this one fails in a moment",
        [(Cause.AFTER, {"jobs": ("x",)})],
    ),
    "due, and after a job": (
        facts(made(due_at=LATER, after=("x",)), after=(Other("x", JobState.RUNNING, 0.4),)),
        "SCHEDULED: due at 2026-01-01T12:05:00Z (in 5 min); the job x, which it comes after, is RUNNING at 40 %",
        [(Cause.DUE, {"until": LATER}), (Cause.AFTER, {"jobs": ("x",), "fraction": 0.4})],
    ),
    "others on the repository": (
        facts(made(), ahead=("x", "y", "z"), first=Other("x", JobState.RUNNING, 0.999)),
        "PENDING: another job on the repository shop has to end first: x, RUNNING at 99 %; then y and z",
        [(Cause.REPOSITORY, {"jobs": ("x", "y", "z"), "fraction": 0.999})],
    ),
    "a place without a job": (
        facts(made(), ahead=("x",), first=Other("x")),
        (
            "PENDING: the place on the repository shop is held for x, a job that is not known: "
            "it is given on within 30 s, unless that job appears"
        ),
        [(Cause.REPOSITORY, {"jobs": ("x",)})],
    ),
    "nothing any more": (facts(made()), "PENDING: it goes on at once", []),
}

IN_LINE: dict[str, Case] = {
    "no worker": (
        waiting(workers=frozenset()),
        "PENDING: no worker of step a lives: start the service of a (`codestory service start`, or `codestory-step a`)",
        [(Cause.WORKER, {"step": "a"})],
    ),
    "no worker, and one is admitted": (
        waiting(workers=frozenset(), tokens=Holders(available_tokens=1, max_tokens=2, holders=(IDLE,))),
        (
            "PENDING: no worker of step a lives: start the service of a "
            "(`codestory service start`, or `codestory-step a`) "
            "(one command of it is admitted even so, to wake it: step a of job j1 (repository flask) "
            "since 2026-01-01T12:00:00Z (0.0 s), which no worker has begun yet)"
        ),
        [(Cause.WORKER, {"step": "a", "holders": (IDLE,), "jobs": ("j1",), "since": AT})],
    ),
    "token": (
        waiting(tokens=FULL),
        (
            "PENDING: step a waits for a token: all 2 are held, the longest by step b of job j0 (repository flask) "
            "since 2026-01-01T11:48:00Z (12 min)"
        ),
        [(Cause.TOKEN, {"step": "a", "limit": 2, "holders": (HELD, IDLE), "jobs": ("j0", "j1"), "since": HELD.since})],
    ),
    "the only token": (
        waiting(tokens=Holders(available_tokens=0, max_tokens=1, holders=(HELD,))),
        (
            "PENDING: step a waits for a token: the only one is held by step b of job j0 (repository flask) "
            "since 2026-01-01T11:48:00Z (12 min)"
        ),
        [(Cause.TOKEN, {"step": "a", "limit": 1, "holders": (HELD,), "jobs": ("j0",), "since": HELD.since})],
    ),
    "fewer tokens by now": (
        waiting(tokens=Holders(available_tokens=0, max_tokens=1, holders=(HELD, IDLE))),
        (
            "PENDING: step a waits for a token: 2 are held, though there are only 1 by now, "
            "the longest by step b of job j0 (repository flask) since 2026-01-01T11:48:00Z (12 min)"
        ),
        [(Cause.TOKEN, {"step": "a", "limit": 1, "holders": (HELD, IDLE), "jobs": ("j0", "j1"), "since": HELD.since})],
    ),
    "concurrency": (
        waiting(concurrency=1, tokens=Holders(available_tokens=1, max_tokens=2, holders=(HELD, IDLE))),
        (
            "PENDING: step a waits for its turn: 1 of it may run at once, and 1 are admitted: step a of job j1 "
            "(repository flask) since 2026-01-01T12:00:00Z (0.0 s), which no worker has begun yet"
        ),
        [(Cause.CONCURRENCY, {"step": "a", "limit": 1, "holders": (IDLE,), "jobs": ("j1",), "since": AT})],
    ),
    "resource": (
        tagged(1, HELD.model_copy(update={"resources": ("gpu",)})),
        (
            "PENDING: step a waits for the resource gpu: 1 of 1 are held by step b of job j0 (repository flask) "
            "since 2026-01-01T11:48:00Z (12 min)"
        ),
        [
            (
                Cause.RESOURCE,
                {
                    "step": "a",
                    "resource": "gpu",
                    "limit": 1,
                    "jobs": ("j0",),
                    "since": HELD.since,
                    "holders": (HELD.model_copy(update={"resources": ("gpu",)}),),
                },
            )
        ],
    ),
    "a resource of which there is none": (
        tagged(0),
        "PENDING: step a waits for the resource gpu, of which there are 0: raise its limit",
        [(Cause.RESOURCE, {"step": "a", "resource": "gpu", "limit": 0})],
    ),
    "position": (
        waiting(queued=Queued(Priority.DEFAULT, before=2, above={Priority.HIGH: 4})),
        "PENDING: step a is at position 3 in priority default; in front of that wait 4 of priority high",
        [(Cause.POSITION, {"step": "a", "position": 3, "priority": Priority.DEFAULT, "ahead": 6})],
    ),
    "raised by waiting": (
        waiting(queued=Queued(Priority.HIGH, before=1)),
        "PENDING: step a is at position 2 in priority high, to which waiting has raised it from default",
        [(Cause.POSITION, {"step": "a", "position": 2, "priority": Priority.HIGH, "ahead": 1})],
    ),
    "next": (
        waiting(),
        "PENDING: step a is next and there is room: it is admitted at once",
        [(Cause.PICKUP, {"step": "a"})],
    ),
}

ACTIVE: dict[str, Case] = {
    "running": (
        facts(
            RUNNING,
            shown={"fraction": 0.4, "progress": Progress(phase="parse", message="src/x.py")},
            steps={"a": StepFacts(admitted_at=AT, workers=frozenset({"w"}))},
        ),
        (
            "RUNNING, at 20 %: step a, running since 2026-01-01T12:00:00Z (0.0 s), is at 40 %: parse src/x.py; "
            "step b waits for step a, which is at 40 % since 2026-01-01T12:00:00Z (0.0 s)"
        ),
        [(Cause.DEPENDENCY, {"step": "b", "dependency": "a", "fraction": 0.4})],
    ),
    "stalled": (
        facts(
            told(begun(StepPlan(name="a")), "a", started()),
            shown={"stalled": Stalled(since=AT, seconds=90, phase="parse", message="src/x.py")},
            steps={"a": StepFacts(admitted_at=AT, workers=frozenset({"w"}))},
        ),
        (
            "RUNNING, at 20 %: step a, running since 2026-01-01T12:00:00Z (0.0 s), is at 0 %, "
            "but has said nothing new for 1 min 30 s: parse src/x.py"
        ),
        [],
    ),
    "its worker is gone": (
        facts(
            told(begun(StepPlan(name="a")), "a", started()),
            steps={"a": StepFacts(admitted_at=AT, workers=frozenset({"other"}))},
        ),
        (
            "RUNNING, at 20 %: step a, running since 2026-01-01T12:00:00Z (0.0 s), is at 0 %; "
            "the worker of step a, w, is not heard of any more: within 30 s of its last word another takes it over"
        ),
        [(Cause.PICKUP, {"step": "a"})],
    ),
    "all its workers are gone": (
        facts(told(begun(StepPlan(name="a")), "a", started()), steps={"a": StepFacts(admitted_at=AT)}),
        (
            "RUNNING, at 20 %: step a, running since 2026-01-01T12:00:00Z (0.0 s), is at 0 %; "
            "the worker of step a, w, is not heard of any more, and no other lives: "
            "start the service of a (`codestory service start`, or `codestory-step a`)"
        ),
        [(Cause.WORKER, {"step": "a"})],
    ),
    "admitted": (
        facts(begun(StepPlan(name="a")), steps={"a": StepFacts(admitted_at=AT, workers=frozenset({"w"}))}),
        "PENDING: step a was admitted at 2026-01-01T12:00:00Z (now): a worker takes it next",
        [(Cause.PICKUP, {"step": "a", "since": AT})],
    ),
    "admitted, without a worker": (
        facts(begun(StepPlan(name="a")), steps={"a": StepFacts(admitted_at=AT)}, at=LATER),
        (
            "PENDING: step a was admitted at 2026-01-01T12:00:00Z (5 min ago), but no worker of it lives: "
            "start the service of a (`codestory service start`, or `codestory-step a`)"
        ),
        [(Cause.WORKER, {"step": "a", "since": AT})],
    ),
    "on its way": (
        facts(begun(StepPlan(name="a")), steps={"a": StepFacts()}),
        "PENDING: step a is being handed on: its command, or the news of it, is on its way",
        [(Cause.PICKUP, {"step": "a"})],
    ),
    "retry": (
        facts(RETRYING, steps={"a": StepFacts(workers=frozenset({"w"}))}),
        (
            "RUNNING, at 20 %: step a failed and waits for retry 1 of 3, due at 2026-01-01T12:01:00Z (in 1 min); "
            "last error: temporary: no answer"
        ),
        [(Cause.RETRY, {"step": "a", "retry": 1, "max_retries": 3, "until": AT + timedelta(minutes=1)})],
    ),
    "a retry that is due waits in line": (
        waiting(RETRYING, tokens=FULL, queued=Queued(Priority.DEFAULT, before=1)),
        (
            "RUNNING, at 20 %: step a waits for a token: all 2 are held, the longest by step b of job j0 "
            "(repository flask) since 2026-01-01T11:48:00Z (12 min); step a is at position 2 in priority default"
        ),
        [
            (
                Cause.TOKEN,
                {
                    "step": "a",
                    "retry": 1,
                    "max_retries": 3,
                    "limit": 2,
                    "holders": (HELD, IDLE),
                    "jobs": ("j0", "j1"),
                    "since": HELD.since,
                },
            ),
            (
                Cause.POSITION,
                {
                    "step": "a",
                    "retry": 1,
                    "max_retries": 3,
                    "position": 2,
                    "priority": Priority.DEFAULT,
                    "ahead": 1,
                },
            ),
        ],
    ),
    "side by side": (
        facts(
            told(begun(*SIDE_BY_SIDE), "b", started()),
            steps={
                "a": replace(ALIVE, queued=Queued(Priority.DEFAULT, before=1)),
                "b": StepFacts(admitted_at=AT, workers=frozenset({"w"})),
            },
        ),
        (
            "RUNNING, at 20 %: step b, running since 2026-01-01T12:00:00Z (0.0 s), is at 0 %; "
            "step a is at position 2 in priority default"
        ),
        [(Cause.POSITION, {"step": "a", "position": 2, "priority": Priority.DEFAULT, "ahead": 1})],
    ),
    "cancelling": (
        facts(control.cancel(RUNNING, AT, 10), steps={"a": StepFacts(admitted_at=AT, workers=frozenset({"w"}))}, at=AT),
        (
            "CANCELLING: step a has been told to end: "
            "if it has not by 2026-01-01T12:00:10Z (in 10 s), the service ends it itself"
        ),
        [(Cause.ENDING, {"step": "a", "until": AT + timedelta(seconds=10), "since": AT})],
    ),
    "stopping for too long": (
        facts(
            control.stop(RUNNING, AT, 10), steps={"a": StepFacts(admitted_at=AT, workers=frozenset({"w"}))}, at=LATER
        ),
        "STOPPING: step a has been told to end and has not in time: the service ends it itself now",
        [(Cause.ENDING, {"step": "a", "until": AT + timedelta(seconds=10), "since": AT})],
    ),
    "stopping without a worker": (
        facts(control.stop(RUNNING, AT, 10), steps={"a": StepFacts(admitted_at=AT)}),
        "STOPPING: step a has been told to end, and no worker of it lives: the service ends it itself at once",
        [(Cause.ENDING, {"step": "a", "until": AT + timedelta(seconds=10), "since": AT})],
    ),
}

ENDED: dict[str, Case] = {
    "completed": (
        facts(told(begun(StepPlan(name="a")), "a", started(), completed()), at=LATER),
        "It completed at 2026-01-01T12:00:00Z (5 min ago).",
        [],
    ),
    "failed": (
        facts(told(begun(), "a", started(), failed(retryable=False)), at=LATER),
        (
            "It failed at 2026-01-01T12:00:00Z (5 min ago): a: temporary: no answer. "
            "Retry it to run what did not complete."
        ),
        [],
    ),
    "failed before it began": (
        facts(control.fail(made(after=("x",)), "the job x, which it comes after, is FAILED", AT), at=LATER),
        (
            "It failed at 2026-01-01T12:00:00Z (5 min ago): the job x, which it comes after, is FAILED. "
            "Retry it to run what did not complete."
        ),
        [],
    ),
    "stopped": (
        facts(control.stop(made(), AT, 10), at=LATER),
        (
            "It was stopped and ended at 2026-01-01T12:00:00Z (5 min ago); no step had completed. "
            "Resume it to run the rest."
        ),
        [],
    ),
    "cancelled": (
        facts(control.cancel(made(), AT, 10), at=LATER),
        "It was cancelled and ended at 2026-01-01T12:00:00Z (5 min ago). Retry it to run what did not complete.",
        [],
    ),
}
CASES = BEFORE_IT | IN_LINE | ACTIVE | ENDED


@pytest.mark.parametrize("case", CASES)
def test_each_situation_is_told_in_words_and_as_data(case: str) -> None:
    known, text, links = CASES[case]

    why = explain(known)

    assert why.text == text
    assert (why.job, why.state) == ("j", known.job.state)
    assert [(wait.cause, data(wait)) for wait in why.waits] == links
    assert all(wait.text in why.text for wait in why.waits)


def test_every_cause_is_in_the_table() -> None:
    assert {cause for _, _, links in CASES.values() for cause, _ in links} == set(Cause)


def test_all_that_holds_a_command_back_is_told_in_the_order_in_which_the_dispatcher_asks() -> None:
    holder = IDLE.model_copy(update={"resources": ("gpu",)})
    tags = (TagStatus(tag="gpu", limit=1, held=1),)
    full = Holders(available_tokens=0, max_tokens=1, holders=(holder,), tags=tags)
    job = begun(StepPlan(name="a", resources=("gpu",)))

    why = explain(waiting(job, tokens=full, concurrency=1, queued=Queued(Priority.DEFAULT, before=1)))

    assert [w.cause for w in why.waits] == [Cause.TOKEN, Cause.CONCURRENCY, Cause.RESOURCE, Cause.POSITION]


def test_a_link_names_some_holders_only() -> None:
    many = tuple(HELD.model_copy(update={"job": f"j{i}"}) for i in range(1000))

    [wait] = explain(waiting(tokens=Holders(available_tokens=0, max_tokens=1000, holders=many))).waits

    assert wait.holders == many[:20]
    assert wait.limit == 1000


@pytest.mark.parametrize(("job", "held"), [(made(), True), (begun(), True), (RUNNING, False), (RETRYING, True)])
def test_a_job_of_which_a_step_runs_is_not_held_up(job: Job, held: bool) -> None:
    assert held_up(facts(job)) is held
