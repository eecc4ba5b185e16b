"""Why a job does not go on, from the facts: what stands before the job itself, and how it all is said. Pure."""

from codestory.contracts.api import Cause, Wait, Why
from codestory.contracts.values import JobState, StepState, When
from codestory_orchestrator.pipeline import OVER, completed, fetched
from codestory_orchestrator.why.facts import Facts, Other
from codestory_orchestrator.why.step_links import runs, step_waits
from codestory_orchestrator.why.words import length, listed, moment, share, since

#: Jobs that one link names.
JOBS_NAMED = 100


def explain(facts: Facts) -> Why:
    """All links in the order of the chain: the job's own first, then each active step's, then what these hold up."""
    job = facts.job
    if job.state.ended:
        return Why(job=job.id, state=job.state, text=_ended(facts))
    waits = _links(facts)
    running = () if job.state.ending else (name for name in job.active if job.steps[name].state is StepState.RUNNING)
    said = "; ".join([*(runs(facts, name) for name in running), *(wait.text for wait in waits)])
    how = f"{job.state}, at {share(facts.view.fraction)}" if job.state is JobState.RUNNING else job.state
    return Why(job=job.id, state=job.state, text=f"{how}: {said or 'it goes on at once'}", waits=waits)


def held_up(facts: Facts) -> bool:
    """No step of it runs: what it waits for is what its dependents wait for."""
    return not any(step.state is StepState.RUNNING for step in facts.job.steps.values())


def _links(facts: Facts) -> tuple[Wait, ...]:
    job = facts.job
    if job.state.ending:
        return tuple(_ending(facts, name) for name in job.active)
    links = [*_due(facts), *_fetch(facts), *_after(facts)]
    if not links and not job.active:
        links = _repository(facts)
    for name in (plan.name for plan in job.plan if plan.name in job.active):
        links += step_waits(facts, name)
    return (*links, *_dependencies(facts))


def _ended(facts: Facts) -> str:
    job = facts.job
    kept = completed(job)
    when = moment(job.ended_at, facts.at) if job.ended_at else "some time ago"
    match job.state:
        case JobState.COMPLETED:
            return f"It completed at {when}."
        case JobState.STOPPED:
            done = f"{listed(kept)} had completed" if kept else "no step had completed"
            return f"It was stopped and ended at {when}; {done}. Resume it to run the rest."
        case JobState.CANCELLED:
            return f"It was cancelled and ended at {when}. Retry it to run what did not complete."
        case _:
            reason = f": {facts.view.message or job.message}" if facts.view.message or job.message else ""
            return f"It failed at {when}{reason}. Retry it to run what did not complete."


def _ending(facts: Facts, name: str) -> Wait:
    job = facts.job
    workers = facts.steps[name].workers if name in facts.steps else frozenset[str]()
    told = f"step {name} has been told to end"
    if not workers:
        text = f"{told}, and no worker of it lives: the service ends it itself at once"
    elif job.cancel_by and job.cancel_by > facts.at:
        text = f"{told}: if it has not by {moment(job.cancel_by, facts.at)}, the service ends it itself"
    else:
        text = f"{told} and has not in time: the service ends it itself now"
    return Wait(
        cause=Cause.ENDING,
        text=text,
        step=name,
        until=job.cancel_by,
        since=job.receipt.asked_at if job.receipt else None,
    )


def _due(facts: Facts) -> list[Wait]:
    job = facts.job
    if job.state is not JobState.SCHEDULED or job.due_at is None:
        return []
    late = "" if job.due_at > facts.at else ", so it begins in a moment"
    return [Wait(cause=Cause.DUE, text=f"due at {moment(job.due_at, facts.at)}{late}", until=job.due_at)]


def _fetch(facts: Facts) -> list[Wait]:
    job, source = facts.job, facts.job.source
    if source is None or fetched(source) or job.state is not JobState.PENDING:
        return []
    what = f"{source.ref} of {source.url}" if source.ref else source.url
    if not source.problem:
        text = f"its repository is being fetched: {what}"
    else:
        when = f"at {moment(source.retry_at, facts.at)}" if source.retry_at and source.retry_at > facts.at else "now"
        text = f"its repository ({what}) is fetched again {when}, after {source.failures} failures: {source.problem}"
    return [Wait(cause=Cause.FETCH, text=text, since=job.created_at, until=source.retry_at)]


def _after(facts: Facts) -> list[Wait]:
    if facts.job.eligible or facts.job.active:
        return []
    return [_after_one(facts.job.when, other) for other in facts.after if not over(facts.job.when, other.state)]


def over(when: When, state: JobState | None) -> bool:
    """A job that comes after one in this state waits for it no more."""
    if when is When.ALWAYS:
        return state is None or state.ended
    return state is JobState.COMPLETED


def _after_one(when: When, other: Other) -> Wait:
    said = f"the job {other.id}, which it comes after, is {_standing(other)}"
    if other.state is None:
        said = f"the job {other.id}, which it comes after, is not known any more, so this one fails in a moment"
    elif other.state is JobState.STOPPED:
        said += ": resume that one, or cancel this one"
    elif other.state.ended:
        said += ", so this one fails in a moment"
    elif when is When.ALWAYS:
        said += "; however it ends, this one begins then"
    fraction = other.fraction if other.state else None
    return Wait(cause=Cause.AFTER, text=_chained(said, other), jobs=(other.id,), fraction=fraction, waits=other.waits)


def _repository(facts: Facts) -> list[Wait]:
    first, name = facts.first, facts.job.repository.name
    if first is None and facts.deleting_since:
        text = f"the repository {name} is being deleted {since(facts.deleting_since, facts.at)}: it begins after that"
        return [Wait(cause=Cause.REPOSITORY, text=text, since=facts.deleting_since)]
    if first is None:
        return []
    if first.state is None:
        soon = f"it is given on within {length(facts.queue_entry_seconds)}, unless that job appears"
        text = f"the place on the repository {name} is held for {first.id}, a job that is not known: {soon}"
        return [Wait(cause=Cause.REPOSITORY, text=text, jobs=facts.ahead[:JOBS_NAMED])]
    said = f"another job on the repository {name} has to end first: {first.id}, {_standing(first)}"
    if rest := facts.ahead[1:]:
        said += f"; then {listed(rest)}"
    if first.state.ended:
        said += ", whose place is about to be given on"
    return [
        Wait(
            cause=Cause.REPOSITORY,
            text=_chained(said, first),
            jobs=facts.ahead[:JOBS_NAMED],
            fraction=first.fraction,
            waits=first.waits,
        )
    ]


def _standing(other: Other) -> str:
    if other.state is None or other.state.ended or not other.fraction:
        return str(other.state)
    return f"{other.state} at {share(other.fraction)}"


def _chained(said: str, other: Other) -> str:
    return f"{said} ({other.id} waits itself: {other.waits[0].text})" if other.waits else said


def _dependencies(facts: Facts) -> list[Wait]:
    """Of a job that has begun: steps that wait for steps which are not over."""
    job = facts.job
    if not job.active:
        return []
    shown = {step.name: step for step in facts.view.steps}
    links: list[Wait] = []
    for plan in job.plan:
        if job.steps[plan.name].state is not StepState.WAITING:
            continue
        for name in plan.depends_on:
            other = job.steps[name]
            if other.state in OVER:
                continue
            fraction = shown[name].fraction if name in shown else 0.0
            standing = f"is at {share(fraction)}" if other.state is StepState.RUNNING else f"is {other.state}"
            began = f" {since(other.started_at, facts.at)}" if other.started_at and other.state.active else ""
            text = f"step {plan.name} waits for step {name}, which {standing}{began}"
            links.append(Wait(cause=Cause.DEPENDENCY, text=text, step=plan.name, dependency=name, fraction=fraction))
    return links
