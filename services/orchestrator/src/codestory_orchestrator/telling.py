"""What the orchestrator measures and traces of jobs, told from their records."""

from collections.abc import Iterable
from datetime import datetime

from codestory import telemetry
from codestory.bus import PRIORITIES
from codestory.contracts.commands import RunStep
from codestory.contracts.events import StepEnded, StepFailed, StepStarted
from codestory.contracts.jobs import Attempt, Job
from codestory.contracts.values import JobState, StepState
from codestory_orchestrator import pipeline
from codestory_orchestrator.sketches import Sketch

#: One step, what happened to it, and the sequence of that.
Heard = tuple[str, pipeline.News, int]


def of_command(command: RunStep) -> telemetry.Attempt:
    return telemetry.Attempt(
        job=command.job,
        step=command.step,
        number=command.attempt,
        traceparent=command.traceparent,
        tracestate=command.tracestate,
        run=command.run,
    )


def of_job(job: Job, step: str, number: int) -> telemetry.Attempt:
    return telemetry.Attempt(job.id, step, number, job.traceparent, job.tracestate, job.run)


def admitted(job: Job | None, step: str, attempt: int | None, at: datetime) -> None:
    """The command of this attempt is in RUN."""
    record = job.steps.get(step) if job else None
    if job is None or record is None or record.attempt != attempt:
        return
    since = pipeline.waits_since(job, step)
    telemetry.dispatched(of_job(job, step, record.attempt), since, at)
    if since:
        telemetry.QUEUE_WAIT.labels(job.priority).observe(max(0.0, (at - since).total_seconds()))


def followed(before: Job, job: Job, news: Iterable[Heard], at: datetime) -> None:
    """What these events led to is done."""
    for step, event, _ in news:
        attempt = _attempt(job, step, event.attempt)
        match event:
            case StepStarted():
                _replaced(before, job, step, event)
            case StepEnded():
                observe(step, event)
                if attempt and attempt.worker != event.worker:
                    reason = event.reason if isinstance(event, StepFailed) else event.kind
                    _lost(job, step, attempt, event.at, f"its worker did not say how it ended ({reason})")
                context = attempt.traceparent if attempt else ""
                told = of_job(job, step, event.attempt)
                telemetry.settled(told, context, event.kind, began=event.at, until=at)


def _replaced(before: Job, job: Job, step: str, event: StepStarted) -> None:
    """Another worker had begun this attempt, and was never heard of again."""
    earlier = _attempt(before, step, event.attempt)
    if earlier and earlier.state is StepState.RUNNING and earlier.worker and earlier.worker != event.worker:
        _lost(job, step, earlier, event.at, "its worker was not heard of any more; another began the attempt anew")


def _lost(job: Job, step: str, attempt: Attempt, until: datetime, why: str) -> None:
    telemetry.lost(
        of_job(job, step, attempt.number),
        attempt.traceparent,
        began=attempt.started_at or until,
        until=until,
        worker=attempt.worker,
        why=why,
    )


def _attempt(job: Job, step: str, number: int) -> Attempt | None:
    record = job.steps.get(step)
    return next((one for one in record.attempts if one.number == number), None) if record else None


def observe(step: str, event: StepEnded) -> None:
    used = event.usage
    telemetry.STEP_SECONDS.labels(step, event.kind).observe(used.seconds)
    telemetry.STEP_ATTEMPTS.labels(step, event.reason if isinstance(event, StepFailed) else event.kind).inc()
    telemetry.STEP_CPU.labels(step).inc(max(0.0, used.cpu_seconds))
    if used.peak_memory_bytes:
        telemetry.STEP_MEMORY.labels(step).observe(used.peak_memory_bytes)


def begin() -> None:
    """What counts jobs begins at 0: Prometheus sees no increase in a series that begins at 1."""
    for state in filter(lambda state: state.ended, JobState):
        telemetry.JOBS_ENDED.labels(state)
        telemetry.JOB_SECONDS.labels(state)


def job_ended(job: Job) -> None:
    telemetry.JOBS_ENDED.labels(job.state).inc()
    if job.started_at and job.ended_at:
        telemetry.JOB_SECONDS.labels(job.state).observe((job.ended_at - job.started_at).total_seconds())


def jobs(unfinished: list[Sketch]) -> None:
    for state in (state for state in JobState if not state.ended):
        telemetry.JOBS.labels(state).set(sum(job.state is state for job in unfinished))


def queue(unfinished: list[Sketch], waiting: dict[tuple[str, str], str], at: datetime) -> None:
    """`waiting`: (job, step) of each command that waits, and under which priority."""
    since = {(job.id, step): moment for job in unfinished for step, moment in job.active if moment}
    oldest = dict.fromkeys(PRIORITIES, 0.0)
    counts: dict[tuple[str, str], int] = {}
    for place, priority in waiting.items():
        if priority not in oldest:
            continue
        key = place[1], priority
        counts[key] = counts.get(key, 0) + 1
        waited = (at - since[place]).total_seconds() if place in since else 0.0
        oldest[priority] = max(oldest[priority], waited)  # type: ignore[index]
    for priority, seconds in oldest.items():
        telemetry.QUEUE_OLDEST.labels(priority).set(seconds)
    telemetry.QUEUED.clear()
    for (step, priority), count in counts.items():
        telemetry.QUEUED.labels(step, priority).set(count)
