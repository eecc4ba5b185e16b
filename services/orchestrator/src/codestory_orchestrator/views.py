"""A job's record as everybody sees it. Pure."""

from codestory.contracts.api import JobView, StepView
from codestory.contracts.jobs import Job
from codestory.contracts.results import Progress, Usage
from codestory.contracts.values import JobState, StepState


def job_view(
    job: Job,
    revision: int = 0,
    *,
    waits_for: tuple[str, ...] = (),
    progress: dict[str, tuple[Progress, Usage]] | None = None,
) -> JobView:
    steps = tuple(_step_view(job, plan.name, (progress or {}).get(plan.name)) for plan in job.plan)
    gaps = sum(
        sum(step.outcome.skipped.values()) + sum(step.outcome.failed.values())
        for step in steps
        if step.outcome is not None
    )
    lost = [step for step in steps if step.state is not StepState.COMPLETED]
    return JobView(
        id=job.id,
        repository=job.repository,
        state=job.state,
        priority=job.priority,
        run=job.run,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        steps=steps,
        complete=job.state is JobState.COMPLETED and not gaps and not lost,
        gaps=gaps,
        waits_for=waits_for,
        message=_message(job, waits_for),
        traceparent=job.traceparent,
        revision=revision,
    )


def _step_view(job: Job, name: str, now: tuple[Progress, Usage] | None) -> StepView:
    step = job.steps[name]
    usage = now[1] if now else step.attempts[-1].usage if step.attempts else None
    return StepView(
        name=name,
        state=step.state,
        attempt=step.attempt,
        retries=step.retries,
        max_retries=job.plan_of(name).retry.max_retries,
        message=step.message,
        started_at=step.started_at,
        ended_at=step.ended_at,
        due_at=step.due_at,
        progress=now[0] if now else None,
        usage=usage,
        options=step.options,
        options_dropped=step.options_dropped,
        outcome=step.outcome,
        attempts=step.attempts,
    )


def _message(job: Job, waits_for: tuple[str, ...]) -> str:
    if waits_for:
        return f"waits for {waits_for[-1]}, another job on this repository"
    failed = next(
        (name for name, step in job.steps.items() if step.state is StepState.FAILED and not job.plan_of(name).optional),
        "",
    )
    return f"{failed}: {job.steps[failed].message}" if failed and job.state is JobState.FAILED else ""
