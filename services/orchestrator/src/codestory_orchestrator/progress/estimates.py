"""How far a job is, how long it will take, and which of its steps say nothing new any more. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import fsum, inf

from codestory.contracts.api import Stalled
from codestory.contracts.events import StepProgressed
from codestory.contracts.jobs import Job
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import JobState, StepState
from codestory_orchestrator.pipeline import OVER
from codestory_orchestrator.progress.usual import Times

#: A command that has waited longer to be admitted waits for others, and nobody knows for how long.
QUEUED_SECONDS = 5.0
#: So that a step that took no time at all still has a share.
LEAST_SECONDS = 0.05


@dataclass(frozen=True)
class Heard:
    """The last that was said of a step, and when, by the clock of `Course.at`."""

    said: StepProgressed
    at: datetime


@dataclass(frozen=True)
class Course:
    """What is known of a job beside its record. `heard`: by step, of whatever attempt or run."""

    at: datetime
    heard: Mapping[str, Heard] = field(default_factory=dict[str, Heard])
    times: Times = field(default_factory=Times)
    stalled_seconds: float = inf


def present(job: Job, name: str, course: Course) -> Heard | None:
    """What was said of the step's present attempt."""
    heard, step = course.heard.get(name), job.steps[name]
    same = heard and heard.said.run == job.run and heard.said.attempt == step.attempt
    return heard if same and step.state in {StepState.RUNNING, *OVER} else None


def fraction(job: Job, name: str, course: Course) -> float:
    """Of the step; also while it waits for its next attempt, or has ended, as far as it had come."""
    state = job.steps[name].state
    if state is StepState.COMPLETED:
        return 1.0
    heard = course.heard.get(name)
    if heard is None or heard.said.run != job.run or state in {StepState.WAITING, StepState.SKIPPED}:
        return 0.0
    return heard.said.fraction or 0.0


def stalled(job: Job, name: str, course: Course) -> Stalled | None:
    """A running step that has said nothing new for so long, or nothing at all."""
    quiet = quiet_for(job, name, course)
    if quiet is None or quiet < course.stalled_seconds:
        return None
    heard = present(job, name, course)
    return Stalled(
        since=course.at - timedelta(seconds=quiet),
        seconds=round(quiet, 3),
        phase=heard.said.progress.phase if heard else "",
        message=heard.said.progress.message if heard else "",
    )


def quiet_for(job: Job, name: str, course: Course) -> float | None:
    """Seconds since a running step said something new. By two differences, each of one clock: the worker's may be
    wrong."""
    step = job.steps[name]
    if step.state is not StepState.RUNNING:
        return None
    if heard := present(job, name, course):
        still = (heard.said.at - heard.said.moved_at).total_seconds() if heard.said.moved_at else 0.0
        return max(0.0, still) + max(0.0, (course.at - heard.at).total_seconds())
    return _since_start(job, name, course)


def step_eta(job: Job, name: str, course: Course) -> float | None:
    """Of a running step, by what it says itself."""
    heard = present(job, name, course)
    if heard is None or heard.said.eta_seconds is None or job.steps[name].state is not StepState.RUNNING:
        return None
    if stalled(job, name, course):
        return None  # it goes on, or it does not
    return max(0.0, heard.said.eta_seconds - max(0.0, (course.at - heard.at).total_seconds()))


def job_fraction(job: Job, course: Course) -> float:
    """Of the whole: each step by how long it usually takes, one that is new to the repository by their mean."""
    if job.state is JobState.COMPLETED:
        return 1.0
    known = {name: max(seconds, LEAST_SECONDS) for name, seconds in course.times.weights.items() if name in job.steps}
    mean = fsum(known.values()) / len(known) if known else 1.0
    whole = fsum(known.get(name, mean) for name in job.steps)
    done = fsum(known.get(name, mean) * fraction(job, name, course) for name in job.steps)
    return min(done / whole, 1.0) if whole else 0.0


def job_eta(job: Job, course: Course) -> float | None:
    """Along the longest way through what is left. None unless something is known of every step on any way."""
    if job.state is not JobState.RUNNING:
        return None
    left: dict[str, float] = {}
    for plan in job.plan:
        seconds = _left(job, plan.name, course)
        if seconds is None:
            return None
        left[plan.name] = seconds
    plans = {plan.name: plan for plan in job.plan}
    until: dict[str, float] = {}
    return max((_until(plans, name, left, until) for name in plans), default=None)


def longest(plan: Iterable[StepPlan], seconds: Mapping[str, float]) -> float:
    """Along the longest way through these steps, of which each takes so long."""
    plans = {step.name: step for step in plan}
    until: dict[str, float] = {}
    return max((_until(plans, name, seconds, until) for name in plans), default=0.0)


def _until(plans: Mapping[str, StepPlan], name: str, left: Mapping[str, float], until: dict[str, float]) -> float:
    """Seconds until this step will have ended."""
    if name not in until:
        before = [_until(plans, other, left, until) for other in plans[name].depends_on if other in plans]
        until[name] = max(before, default=0.0) + left[name]
    return until[name]


def _left(job: Job, name: str, course: Course) -> float | None:
    """Seconds of its own that a step still needs."""
    step, usual = job.steps[name], course.times.seconds.get(name)
    if step.state in OVER:
        return 0.0
    if step.state is StepState.RUNNING:
        return _running(job, name, course, usual)
    queued = (course.at - step.ready_at).total_seconds() if step.ready_at else 0.0
    if step.state is StepState.READY and queued > QUEUED_SECONDS:
        return None
    if step.state is StepState.RETRYING and step.due_at and usual is not None:
        return usual + max(0.0, (step.due_at - course.at).total_seconds())
    return usual


def _running(job: Job, name: str, course: Course, usual: float | None) -> float | None:
    if (own := step_eta(job, name, course)) is not None:
        return own
    if usual is None or stalled(job, name, course):
        return None
    heard = present(job, name, course)
    if heard:
        elapsed = heard.said.usage.seconds + max(0.0, (course.at - heard.at).total_seconds())
    else:
        elapsed = _since_start(job, name, course) or 0.0
    return usual - elapsed if elapsed <= usual else None  # longer than ever: nobody knows


def _since_start(job: Job, name: str, course: Course) -> float | None:
    """Seconds since the newest attempt that is recorded began."""
    step = job.steps[name]
    began = (step.attempts[-1].started_at if step.attempts else None) or step.started_at
    return max(0.0, (course.at - began).total_seconds()) if began else None


def until_stalled(job: Job, course: Course) -> float | None:
    """Seconds until the next running step will count as stalled, if it says nothing new. None: none will."""
    quiet = (quiet_for(job, name, course) for name in job.steps)
    waits = [course.stalled_seconds - seconds for seconds in quiet if seconds is not None]
    return min((seconds for seconds in waits if 0 < seconds < inf), default=None)
