"""What may be asked of a job, and what comes of it. Pure: no clock, no client, no await.

Each verb either changes the job as it says, or leaves it because that has been asked for already, or raises `Conflict`
with the reason. docs/state_machine.md has the whole table."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from codestory.contracts.api import RetryJob
from codestory.contracts.jobs import Job, Receipt
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import JobState, Priority, StepState, Verb, When
from codestory_orchestrator import pipeline

#: In `RetryJob.from_step`: every step.
START = "start"
#: The next higher priority of each that has one.
ABOVE = {Priority.LOW: Priority.DEFAULT, Priority.DEFAULT: Priority.HIGH}
#: What can be given up, or put off, before its end.
GOING = frozenset({JobState.SCHEDULED, JobState.PENDING, JobState.RUNNING})


class Conflict(Exception):
    """The job is in a state that does not allow this. The text goes on after `The job … is`."""


def cancel(job: Job, at: datetime, grace_seconds: float) -> Job:
    """Towards CANCELLED; there at once when no step is active."""
    if job.state in {JobState.CANCELLING, JobState.CANCELLED}:
        return job
    if job.state.ended:
        raise Conflict(f"{job.state}: there is nothing left to cancel")
    return _ending(job, Verb.CANCEL, JobState.CANCELLING, at, grace_seconds)


def stop(job: Job, at: datetime, grace_seconds: float) -> Job:
    """Towards STOPPED, from where it can be resumed; there at once when no step is active."""
    if job.state in {JobState.STOPPING, JobState.STOPPED}:
        return job
    if job.state not in GOING:
        raise Conflict(f"{job.state}: there is nothing left to stop")
    return _ending(job, Verb.STOP, JobState.STOPPING, at, grace_seconds)


def resume(job: Job, at: datetime) -> Job:
    """A stopped job goes on with what did not complete."""
    if job.state in GOING and job.receipt and job.receipt.verb is Verb.RESUME:
        return job
    if job.state is JobState.STOPPING:
        raise Conflict("STOPPING: resume it once it is STOPPED")
    if job.state in {JobState.FAILED, JobState.CANCELLED}:
        raise Conflict(f"{job.state}, and only a STOPPED job can be resumed: retry it")
    if job.state is not JobState.STOPPED:
        raise Conflict(f"{job.state}, and only a STOPPED job can be resumed")
    return _again(job, Verb.RESUME, _incomplete(job), at)


def retry(job: Job, request: RetryJob, plan: tuple[StepPlan, ...], at: datetime) -> Job:
    """A job that did not complete runs again: what did not complete, what is named, what got other options, and what
    depends on these. `plan`: with the options that it is to have now."""
    asked = request.model_dump_json(exclude_defaults=True)
    if job.state in GOING and job.receipt and job.receipt.verb is Verb.RETRY and job.receipt.request == asked:
        return job
    if job.state.ending:
        raise Conflict(f"{job.state}: retry it once it has ended")
    if job.state is JobState.COMPLETED:
        raise Conflict("COMPLETED: start a new job instead")
    if not job.state.ended:
        raise Conflict(f"{job.state}, and only a job that has ended can be retried")
    names = _incomplete(job) | {new.name for new in plan if new.options != job.plan_of(new.name).options}
    if request.from_step in job.steps:
        names.add(request.from_step)
    elif request.from_step == START:
        names = set(job.steps)
    job = job.model_copy(update={"plan": plan})
    return _again(job, Verb.RETRY, _with_dependents(plan, names), at, asked)


def prioritise(job: Job, priority: Priority, at: datetime) -> Job:
    """Its waiting commands go to the end of the line of their new priority."""
    if job.state not in GOING:
        raise Conflict(f"{job.state}: its priority means nothing any more")
    if job.priority is priority:
        return job
    for name, step in job.steps.items():
        if step.state is StepState.READY:
            job = job.having(name, ready_at=at)
    return job.model_copy(update={"priority": priority})


# what becomes of a job that waits


def due(job: Job, at: datetime) -> Job:
    """Its time has come. A message that comes early, or twice, changes nothing."""
    if job.state is not JobState.SCHEDULED or (job.due_at and at < job.due_at):
        return job
    return job.model_copy(
        update={"state": JobState.PENDING, "eligible": not job.after and pipeline.fetched(job.source)}
    )


def release(job: Job, prerequisites: Mapping[str, JobState | None], at: datetime) -> Job:
    """What has become of the jobs that it comes after; None: not known any more.

    All as they should be: it may begin. One that can no longer become so: it fails, with all its steps skipped. One
    that was stopped may be resumed, so that is waited for."""
    if job.state is not JobState.PENDING or job.eligible:
        return job
    if job.when is When.SUCCESS:
        for name in job.after:
            state = prerequisites.get(name)
            if state is None or state in {JobState.FAILED, JobState.CANCELLED}:
                became = f"is {state}" if state else "is not known any more"
                return fail(job, f"the job {name}, which it comes after, {became}", at)
    ready = pipeline.fetched(job.source) and all(_over(job.when, prerequisites.get(name)) for name in job.after)
    return job.model_copy(update={"eligible": True}) if ready else job


def wants_fetching(job: Job, at: datetime) -> bool:
    """It is due, and its repository lies elsewhere."""
    if job.state is not JobState.PENDING or job.source is None or pipeline.fetched(job.source):
        return False
    return job.source.retry_at is None or job.source.retry_at <= at


def fetched(job: Job, run: int, path: str, commit: str) -> Job:
    """Its repository is at hand now, as it was at this commit. Once is enough, and only in this run of the job."""
    source = job.source
    if source is None or job.run != run or job.state is not JobState.PENDING or pipeline.fetched(source):
        return job
    changes = {
        "repository": job.repository.model_copy(update={"path": path}),
        "source": source.model_copy(update={"commit": commit, "problem": "", "retry_at": None}),
        "eligible": not job.after,
    }
    return job.model_copy(update=changes)


def fetch_failed(job: Job, run: int, message: str, at: datetime, *, back_off_seconds: float, retries: int) -> Job:
    """It is fetched again, each time after twice as long; after so many times it fails."""
    source = job.source
    if source is None or job.run != run or job.state is not JobState.PENDING or pipeline.fetched(source):
        return job
    failures = source.failures + 1
    wait = timedelta(seconds=back_off_seconds * 2 ** min(failures - 1, 10))
    source = source.model_copy(update={"failures": failures, "problem": message[:1000], "retry_at": at + wait})
    job = job.model_copy(update={"source": source})
    return job if failures <= retries else fail(job, f"its repository could not be fetched: {message}"[:1000], at)


def lost_snapshot(job: Job) -> Job:
    """What was fetched is not kept any more: the same commit is fetched again."""
    if job.source is None or not job.source.commit or job.state not in GOING or job.active:
        return job
    source = job.source.model_copy(update={"ref": job.source.commit, "commit": ""})
    return job.model_copy(update={"source": source, "eligible": False})


def fail(job: Job, message: str, at: datetime) -> Job:
    """It cannot begin."""
    for name, step in job.steps.items():
        if step.state is not StepState.COMPLETED:
            job = job.having(name, state=StepState.SKIPPED, message=message)
    return job.model_copy(update={"state": JobState.FAILED, "ended_at": at, "message": message})


def give_up(job: Job, message: str, at: datetime) -> Job:
    """A cancel of a job that nobody asked to cancel: it could not begin at once, and was to fail then."""
    return job if job.state.ended else cancel(job.model_copy(update={"message": message}), at, 0)


def aged(priority: Priority, since: datetime | None, at: datetime, age_seconds: float) -> Priority:
    """One priority higher for each `age_seconds` of waiting; 0: never."""
    waited = (at - since).total_seconds() if since and age_seconds else 0.0
    while waited >= age_seconds > 0 and priority in ABOVE:
        priority, waited = ABOVE[priority], waited - age_seconds
    return priority


def _over(when: When, state: JobState | None) -> bool:
    if when is When.ALWAYS:
        return state is None or state.ended
    return state is JobState.COMPLETED


def _ending(job: Job, verb: Verb, state: JobState, at: datetime, grace_seconds: float) -> Job:
    by = at + timedelta(seconds=grace_seconds)
    receipt = Receipt(verb=verb, asked_at=at)
    if job.receipt and job.receipt.ended_at is None:  # a cancel of what was stopping: what that has ended counts too
        receipt = job.receipt.model_copy(update={"verb": verb, "asked_at": at})
    job = job.model_copy(update={"state": state, "cancel_by": by, "receipt": receipt})
    return job if job.active else pipeline.end(job, at)


def _again(job: Job, verb: Verb, names: set[str], at: datetime, request: str = "") -> Job:
    """A new run of the job. Its steps count their attempts on: nothing of an earlier one is taken for theirs."""
    for name in names:
        job = job.having(
            name,
            state=StepState.WAITING,
            retries=0,
            ready_at=None,
            started_at=None,
            ended_at=None,
            due_at=None,
            message="",
            outcome=None,
        )
    scheduled = job.due_at is not None and job.due_at > at
    # Those that it comes after have completed for good, and their records may be gone by now.
    satisfied = not job.after or (job.eligible and job.when is When.SUCCESS)
    receipt = Receipt(
        verb=verb,
        asked_at=at,
        ended_at=at,
        kept=pipeline.completed(job),
        steps=tuple(plan.name for plan in job.plan if plan.name in names),
        request=request,
    )
    changes = {
        "state": JobState.SCHEDULED if scheduled else JobState.PENDING,
        "run": job.run + 1,
        "eligible": not scheduled and satisfied and pipeline.fetched(job.source),
        "source": job.source and job.source.model_copy(update={"failures": 0, "problem": "", "retry_at": None}),
        "started_at": None,
        "ended_at": None,
        "cancel_by": None,
        "message": "",
        "receipt": receipt,
    }
    return job.model_copy(update=changes)


def _incomplete(job: Job) -> set[str]:
    return {name for name, step in job.steps.items() if step.state is not StepState.COMPLETED}


def _with_dependents(plan: Iterable[StepPlan], names: set[str]) -> set[str]:
    found, before = set(names), 0
    while len(found) > before:
        before = len(found)
        found |= {step.name for step in plan if found & set(step.depends_on)}
    return found
