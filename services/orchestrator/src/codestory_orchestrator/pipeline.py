"""What a job does next. Pure: no clock, no client, no await; times come in with the news."""

from datetime import datetime, timedelta

from codestory.contracts.commands import RunStep
from codestory.contracts.events import StepCancelled, StepCompleted, StepEnded, StepFailed, StepStarted
from codestory.contracts.jobs import ATTEMPTS_KEPT, Attempt, Job, Repository, StepRecord
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import JobState, Priority, Reason, StepState

News = StepStarted | StepCompleted | StepFailed | StepCancelled

#: What a step left that its dependents need not wait for any more.
OVER = frozenset({StepState.COMPLETED, StepState.FAILED, StepState.CANCELLED, StepState.SKIPPED})


class Conflict(Exception):
    """The job is in a state that does not allow this."""


def make(
    job_id: str,
    repository: Repository,
    plan: tuple[StepPlan, ...],
    *,
    at: datetime,
    priority: Priority = Priority.DEFAULT,
    traceparent: str = "",
) -> Job:
    """A job that waits for its turn on its repository."""
    return Job(
        id=job_id,
        repository=repository,
        plan=plan,
        steps={step.name: StepRecord() for step in plan},
        created_at=at,
        priority=priority,
        traceparent=traceparent,
    )


def begun(job: Job) -> bool:
    """Its first commands have been decided, or it is over."""
    return job.state is not JobState.PENDING or any(step.state is not StepState.WAITING for step in job.steps.values())


def begin(job: Job, at: datetime) -> tuple[Job, list[RunStep]]:
    """Its turn on the repository has come. A second time changes nothing."""
    return (job, []) if begun(job) else go_on(job, at)


def advance(job: Job, step_name: str, news: News, sequence: int) -> tuple[Job, list[RunStep]]:
    """Apply one event. News already heard, or of another attempt, changes nothing."""
    step = job.steps.get(step_name)
    if step is None or news.attempt != step.attempt:
        return job, []
    if not step.state.active:
        late = isinstance(news, StepStarted) and step.started_at is None  # two orchestrators may hear it after the end
        return (_began(job, step_name, news), []) if late and isinstance(news, StepStarted) else (job, [])
    match news:
        case StepStarted():
            return _started(job, step_name, news), []
        case StepFailed() if _again(job, step_name, news):
            return _retry(job, step_name, news, sequence)
        case StepCompleted():
            job = _ended(job, step_name, news, StepState.COMPLETED)
            job = job.having(step_name, after=sequence, outcome=news.outcome, message="")
        case StepFailed():
            job = _ended(job, step_name, news, StepState.FAILED)
            job = job.having(
                step_name, after=sequence, message=f"{news.reason}: {news.message}" if news.message else news.reason
            )
        case StepCancelled():
            job = _ended(job, step_name, news, StepState.CANCELLED).having(step_name, after=sequence)
    return go_on(job, news.at)


def go_on(job: Job, at: datetime) -> tuple[Job, list[RunStep]]:
    """Start what may start now; with nothing left to wait for, end the job."""
    free: list[str] = []
    if job.state is not JobState.CANCELLING:
        job = _skipped(job)
        free = [
            plan.name for plan in job.plan if job.steps[plan.name].state is StepState.WAITING and _may_start(job, plan)
        ]
    for name in free:
        job = job.having(name, state=StepState.READY, attempt=job.steps[name].attempt + 1)
    if free or job.active:
        return job, [command(job, name) for name in free]
    return _end(job, at), []


def cancel(job: Job, at: datetime, grace_seconds: float) -> Job:
    """Towards CANCELLED; there at once when no step is active. Asked again, it changes nothing."""
    if job.state is JobState.CANCELLING:
        return job
    if job.state.ended:
        raise Conflict(job.state)
    job = job.model_copy(update={"state": JobState.CANCELLING, "cancel_by": at + timedelta(seconds=grace_seconds)})
    return job if job.active else _end(job, at)


def trimmed(job: Job) -> Job:
    """The same job in a smaller record, for when it has outgrown what the bus takes: examples and traces go."""
    for name, step in job.steps.items():
        attempts = tuple(a.model_copy(update={"detail": "", "message": a.message[:200]}) for a in step.attempts)
        outcome = step.outcome and step.outcome.model_copy(update={"gaps": (), "details": {}})
        job = job.having(name, attempts=attempts, outcome=outcome, options={}, message=step.message[:200])
    return job


def command(job: Job, name: str) -> RunStep:
    """What the record asks of this step now. Derived, so that the same decision twice is the same message."""
    plan, step = job.plan_of(name), job.steps[name]
    return RunStep(
        job=job.id,
        step=name,
        attempt=step.attempt,
        after=step.after,
        repository=job.repository,
        options=plan.options,
        timeout_seconds=plan.timeout_seconds,
        traceparent=job.traceparent,
    )


def _may_start(job: Job, plan: StepPlan) -> bool:
    return all(_satisfied(job, name) for name in plan.depends_on)


def _satisfied(job: Job, name: str) -> bool:
    state = job.steps[name].state
    return state is StepState.COMPLETED or (state is StepState.FAILED and job.plan_of(name).optional)


def _skipped(job: Job) -> Job:
    """Steps that can never start, because one that they depend on did not complete."""
    for plan in job.plan:  # in order, so that what depends on a skipped step is skipped in the same pass
        lost = [name for name in plan.depends_on if job.steps[name].state in OVER and not _satisfied(job, name)]
        if job.steps[plan.name].state is StepState.WAITING and lost:
            why = f"{lost[0]} is {job.steps[lost[0]].state}"
            job = job.having(plan.name, state=StepState.SKIPPED, message=why)
    return job


def _end(job: Job, at: datetime) -> Job:
    for name, step in job.steps.items():
        if step.state is StepState.WAITING:
            job = job.having(name, state=StepState.SKIPPED, message="the job was cancelled")
    states = {name: step.state for name, step in job.steps.items()}
    if all(
        state is StepState.COMPLETED or (state is StepState.FAILED and job.plan_of(name).optional)
        for name, state in states.items()
    ):
        end = JobState.COMPLETED  # also when a cancel came too late
    elif job.state is JobState.CANCELLING or StepState.CANCELLED in states.values():
        end = JobState.CANCELLED
    else:
        end = JobState.FAILED
    return job.model_copy(update={"state": end, "ended_at": at})


def _started(job: Job, name: str, news: StepStarted) -> Job:
    attempt = Attempt(number=news.attempt, worker=news.worker, started_at=news.at, traceparent=news.traceparent)
    job = _began(job, name, news).having(name, state=StepState.RUNNING, due_at=None)
    job = job.having(name, attempts=_with(job.steps[name].attempts, attempt))
    return job.model_copy(update={"state": JobState.RUNNING}) if job.state is JobState.PENDING else job


def _began(job: Job, name: str, news: StepStarted) -> Job:
    """What only its start says of a step."""
    step = job.steps[name]
    attempts = tuple(
        a.model_copy(update={"started_at": news.at, "traceparent": news.traceparent}) if a.number == news.attempt else a
        for a in step.attempts
    )
    job = job.having(
        name,
        started_at=step.started_at or news.at,
        options=news.options,
        options_dropped=news.options_dropped,
        attempts=attempts,
    )
    return job if job.started_at else job.model_copy(update={"started_at": news.at})


def _with(attempts: tuple[Attempt, ...], attempt: Attempt) -> tuple[Attempt, ...]:
    """The newest last. Of earlier ones only the outcome is kept, so that a record stays small; a second start of the
    same one takes its place: the first worker died."""
    earlier = [
        a.model_copy(update={"detail": "", "message": a.message[:500]}) for a in attempts if a.number != attempt.number
    ]
    return (*earlier, attempt)[-ATTEMPTS_KEPT:]


def _ended(job: Job, name: str, news: StepEnded, state: StepState) -> Job:
    step = job.steps[name]
    last = next(
        (a for a in step.attempts if a.number == news.attempt), Attempt(number=news.attempt, worker=news.worker)
    )
    failed = news if isinstance(news, StepFailed) else None
    attempt = last.model_copy(
        update={
            "ended_at": news.at,
            "state": state,
            "usage": news.usage,
            "reason": failed.reason if failed else None,
            "message": failed.message if failed else "",
            "detail": failed.detail if failed else "",
        }
    )
    return job.having(name, state=state, ended_at=news.at, due_at=None, attempts=_with(step.attempts, attempt))


def _again(job: Job, name: str, news: StepFailed) -> bool:
    if job.state is JobState.CANCELLING or not news.retryable:
        return False
    return news.reason is Reason.SHUTDOWN or job.steps[name].retries < job.plan_of(name).retry.max_retries


def _retry(job: Job, name: str, news: StepFailed, sequence: int) -> tuple[Job, list[RunStep]]:
    """A new attempt: after the back-off, or at once and uncounted when the worker was only told to shut down."""
    step = job.steps[name]
    counted = news.reason is not Reason.SHUTDOWN
    retries = step.retries + counted
    wait = job.plan_of(name).retry.wait(retries) if counted else 0.0
    job = _ended(job, name, news, StepState.FAILED).having(
        name,
        state=StepState.RETRYING if counted else StepState.READY,
        attempt=step.attempt + 1,
        retries=retries,
        after=sequence,
        ended_at=None,
        due_at=news.at + timedelta(seconds=wait) if counted else None,
        message=f"{news.reason}: {news.message}" if news.message else news.reason,
    )
    return job, [command(job, name)]
