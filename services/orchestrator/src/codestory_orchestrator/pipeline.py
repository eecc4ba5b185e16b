"""What a job does next. Pure: no clock, no client, no await; times come in with the news."""

from datetime import datetime, timedelta

from codestory.contracts.commands import RunStep
from codestory.contracts.events import (
    StepCancelled,
    StepCompleted,
    StepEnded,
    StepFailed,
    StepInterrupted,
    StepStarted,
    StepStopped,
)
from codestory.contracts.jobs import ATTEMPTS_KEPT, Attempt, Job, Repository, Source, StepRecord
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import JobId, JobState, Mode, OnFull, Priority, Reason, StepState, Verb, When

News = StepStarted | StepCompleted | StepFailed | StepStopped | StepCancelled

#: What a step left that its dependents need not wait for any more.
OVER = frozenset({StepState.COMPLETED, StepState.FAILED, StepState.STOPPED, StepState.CANCELLED, StepState.SKIPPED})


def make(
    job_id: str,
    repository: Repository,
    plan: tuple[StepPlan, ...],
    *,
    at: datetime,
    priority: Priority = Priority.DEFAULT,
    mode: Mode = Mode.FULL,
    due_at: datetime | None = None,
    schedule: str = "",
    after: tuple[JobId, ...] = (),
    when: When = When.SUCCESS,
    on_full: OnFull = OnFull.WAIT,
    later: dict[str, tuple[str, ...]] | None = None,
    traceparent: str = "",
    tracestate: str = "",
    owner: str = "",
    source: Source | None = None,
) -> Job:
    """A job that waits for its time, then for the jobs it comes after, then for its turn on its repository."""
    scheduled = due_at is not None and due_at > at
    return Job(
        id=job_id,
        repository=repository,
        source=source,
        owner=owner,
        plan=plan,
        steps={step.name: StepRecord() for step in plan},
        created_at=at,
        state=JobState.SCHEDULED if scheduled else JobState.PENDING,
        priority=priority,
        mode=mode,
        due_at=due_at,
        schedule=schedule,
        after=after,
        when=when,
        eligible=not scheduled and not after and fetched(source),
        on_full=on_full,
        later=later or {},
        traceparent=traceparent,
        tracestate=tracestate,
    )


def fetched(source: Source | None) -> bool:
    """The files are where the repository's path says."""
    return source is None or bool(source.commit)


def begun(job: Job) -> bool:
    """Its first commands have been decided, or it is over."""
    if job.state not in {JobState.SCHEDULED, JobState.PENDING}:
        return True
    return bool(job.active)


def waits_since(job: Job, step: str) -> datetime | None:
    """Since when its command waits to be admitted, and ages. A retry does from when it is due."""
    record = job.steps[step]
    return record.ready_at or record.due_at


def begin(job: Job, at: datetime) -> tuple[Job, list[RunStep]]:
    """Its turn on the repository has come. A second time changes nothing, nor does one that is too early."""
    return (job, []) if begun(job) or not job.eligible else go_on(job, at)


def advance(job: Job, step_name: str, news: News, sequence: int) -> tuple[Job, list[RunStep]]:
    """Apply one event. News already heard, or of another attempt, changes nothing."""
    step = job.steps.get(step_name)
    if step is None or news.attempt != step.attempt:
        return job, []
    if not step.state.active:
        # Two orchestrators may hear it after the end. What is to run again, or was to, is not meant any more.
        late = step.started_at is None and step.state in OVER - {StepState.SKIPPED}
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
        case StepStopped() | StepCancelled():
            state = StepState.STOPPED if isinstance(news, StepStopped) else StepState.CANCELLED
            job = _released(_ended(job, step_name, news, state).having(step_name, after=sequence), news)
    return go_on(job, news.at)


def go_on(job: Job, at: datetime) -> tuple[Job, list[RunStep]]:
    """Start what may start now; with nothing left to wait for, end the job."""
    free: list[str] = []
    if not job.state.ending:
        job = _skipped(job)
        free = [
            plan.name for plan in job.plan if job.steps[plan.name].state is StepState.WAITING and _may_start(job, plan)
        ]
    for name in free:
        job = job.having(name, state=StepState.READY, attempt=job.steps[name].attempt + 1, ready_at=at)
    if free or job.active:
        return job, [command(job, name) for name in free]
    return end(job, at), []


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
        mode=job.mode,
        run=job.run,
        later=job.later.get(name, ()),
        traceparent=job.traceparent,
        tracestate=job.tracestate,
    )


def _may_start(job: Job, plan: StepPlan) -> bool:
    if plan.when is When.ALWAYS:
        return all(job.steps[name].state in OVER for name in plan.depends_on)
    return all(_satisfied(job, name) for name in plan.depends_on)


def _satisfied(job: Job, name: str) -> bool:
    state = job.steps[name].state
    return state is StepState.COMPLETED or (state is StepState.FAILED and job.plan_of(name).optional)


def _skipped(job: Job) -> Job:
    """Steps that can never start, because one that they depend on did not complete."""
    before = None
    while before != job:  # what depends on a skipped step is skipped too, and may stand before it in the plan
        before = job
        for plan in job.plan:
            lost = [name for name in plan.depends_on if job.steps[name].state in OVER and not _satisfied(job, name)]
            if job.steps[plan.name].state is StepState.WAITING and lost and plan.when is When.SUCCESS:
                why = f"{lost[0]} is {job.steps[lost[0]].state}"
                job = job.having(plan.name, state=StepState.SKIPPED, message=why)
    return job


def end(job: Job, at: datetime) -> Job:
    """No step is active, none will be: how the job has ended, and the receipt of who asked for it."""
    verb = "stopped" if job.state is JobState.STOPPING else "cancelled"
    for name, step in job.steps.items():
        if step.state is StepState.WAITING:
            job = job.having(name, state=StepState.SKIPPED, message=f"the job was {verb}")
    states = {name: step.state for name, step in job.steps.items()}
    if all(
        state is StepState.COMPLETED or (state is StepState.FAILED and job.plan_of(name).optional)
        for name, state in states.items()
    ):
        state = JobState.COMPLETED  # also when a cancel came too late
    elif job.state is JobState.STOPPING:
        state = JobState.STOPPED
    elif job.state is JobState.CANCELLING or StepState.CANCELLED in states.values():
        state = JobState.CANCELLED
    else:
        state = JobState.STOPPED if StepState.STOPPED in states.values() else JobState.FAILED
    receipt = job.receipt
    if receipt and receipt.verb in {Verb.CANCEL, Verb.STOP} and receipt.ended_at is None:
        receipt = receipt.model_copy(update={"ended_at": at, "kept": completed(job)})
    return job.model_copy(update={"state": state, "ended_at": at, "receipt": receipt})


def completed(job: Job) -> tuple[str, ...]:
    """The steps whose results stay."""
    return tuple(name for name, step in job.steps.items() if step.state is StepState.COMPLETED)


def _released(job: Job, news: StepInterrupted) -> Job:
    """One more step that was ended on request, for the receipt."""
    receipt = job.receipt
    if not receipt or receipt.ended_at is not None:
        return job
    names = {name for name, step in job.steps.items() if step.state in {StepState.STOPPED, StepState.CANCELLED}}
    steps = tuple(plan.name for plan in job.plan if plan.name in names)
    tokens = receipt.tokens_released + news.admitted
    return job.model_copy(update={"receipt": receipt.model_copy(update={"steps": steps, "tokens_released": tokens})})


def _started(job: Job, name: str, news: StepStarted) -> Job:
    known = next((a for a in job.steps[name].attempts if a.number == news.attempt), None)
    if known and known.started_at and known.started_at > news.at:
        return job  # of the worker before this one, heard late
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
    earlier = job.run > 1 and not step.state.active  # it may be of an earlier run of the job
    return job if job.started_at or earlier else job.model_copy(update={"started_at": news.at})


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
    if job.state.ending or not news.retryable:
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
        ready_at=None if counted else news.at,
        ended_at=None,
        due_at=news.at + timedelta(seconds=wait) if counted else None,
        message=f"{news.reason}: {news.message}" if news.message else news.reason,
    )
    return job, [command(job, name)]
