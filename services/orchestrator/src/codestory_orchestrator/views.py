"""A job's record as everybody sees it. Pure."""

from codestory.contracts.api import JobView, StepView
from codestory.contracts.jobs import Job
from codestory.contracts.values import JobState, StepState
from codestory_orchestrator.progress import estimates
from codestory_orchestrator.progress.estimates import Course


def job_view(job: Job, revision: int = 0, *, waits_for: tuple[str, ...] = (), course: Course | None = None) -> JobView:
    """`course`: what is known of it beside its record."""
    course = course or Course(at=job.ended_at or job.started_at or job.created_at)
    steps = tuple(_step_view(job, plan.name, course) for plan in job.plan)
    gaps = sum(
        sum(step.outcome.skipped.values()) + sum(step.outcome.failed.values())
        for step in steps
        if step.outcome is not None
    )
    lost = [step for step in steps if step.state is not StepState.COMPLETED]
    return JobView(
        id=job.id,
        repository=job.repository,
        source=job.source,
        owner=job.owner,
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
        mode=job.mode,
        due_at=job.due_at,
        schedule=job.schedule,
        after=job.after,
        when=job.when,
        on_full=job.on_full,
        fraction=round(estimates.job_fraction(job, course), 4),
        eta_seconds=estimates.job_eta(job, course),
        receipt=job.receipt,
        revision=revision,
    )


def _step_view(job: Job, name: str, course: Course) -> StepView:
    plan, step, heard = job.plan_of(name), job.steps[name], estimates.present(job, name, course)
    said = heard.said if heard else None
    running = step.state is StepState.RUNNING
    usage = said.usage if said and running else step.attempts[-1].usage if step.attempts else None
    return StepView(
        name=name,
        state=step.state,
        attempt=step.attempt,
        retries=step.retries,
        max_retries=plan.retry.max_retries,
        message=step.message,
        started_at=step.started_at,
        ended_at=step.ended_at,
        due_at=step.due_at,
        progress=said.progress if said and step.state is not StepState.COMPLETED else None,
        usage=usage,
        options=step.options,
        options_dropped=step.options_dropped,
        outcome=step.outcome,
        attempts=step.attempts,
        depends_on=plan.depends_on,
        when=plan.when,
        resources=plan.resources,
        fraction=estimates.fraction(job, name, course),
        rate=said.rate if said and running else None,
        eta_seconds=estimates.step_eta(job, name, course),
        stalled=estimates.stalled(job, name, course),
    )


def _message(job: Job, waits_for: tuple[str, ...]) -> str:
    if job.message:
        return job.message
    if waits_for:
        return f"waits for {waits_for[-1]}, another job on this repository"
    failed = next(
        (name for name, step in job.steps.items() if step.state is StepState.FAILED and not job.plan_of(name).optional),
        "",
    )
    return f"{failed}: {job.steps[failed].message}" if failed and job.state is JobState.FAILED else ""
