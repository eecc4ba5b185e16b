"""What an active step runs at or waits for, in the order in which the dispatcher asks. Pure."""

from typing import Any

from codestory.contracts.api import Cause, Holder, Wait
from codestory.contracts.values import StepState
from codestory_orchestrator.why.facts import Facts, Queued, StepFacts
from codestory_orchestrator.why.words import length, listed, moment, share, since

#: Holders that one link names.
HOLDERS_NAMED = 20


def runs(facts: Facts, name: str) -> str:
    """How far a running step is, and what it is at."""
    view = next(step for step in facts.view.steps if step.name == name)
    started = f" {since(view.started_at, facts.at)}" if view.started_at else ""
    said = f"step {name}, running{started}, is at {share(view.fraction)}"
    now = view.progress
    at = " ".join(filter(None, (now.phase, now.message))) if now else ""
    if view.stalled:
        at = " ".join(filter(None, (view.stalled.phase, view.stalled.message))) or at
        return f"{said}, but has said nothing new for {length(view.stalled.seconds)}{f': {at}' if at else ''}"
    return f"{said}: {at}" if at else said


def step_waits(facts: Facts, name: str) -> list[Wait]:
    """The links of one active step; none when a worker is at it."""
    step, record = facts.steps.get(name, StepFacts()), facts.job.steps[name]
    if record.state is StepState.RUNNING:
        return _abandoned(facts, name, step)
    again: dict[str, Any] = {"step": name}
    if record.retries:
        again |= {"retry": record.retries, "max_retries": facts.job.plan_of(name).retry.max_retries}
    if step.queued:
        return _in_line(facts, name, step, step.queued, again)
    if step.admitted_at:
        return [_to_be_taken(facts, name, step, again)]
    if record.state is StepState.RETRYING and record.due_at:
        last = f": {record.message}" if record.message else ""
        times = f"retry {again.get('retry', 0)} of {again.get('max_retries', 0)}"
        text = f"step {name} failed and waits for {times}, due at {moment(record.due_at, facts.at)}; last error{last}"
        return [Wait(cause=Cause.RETRY, text=text, until=record.due_at, **again)]
    return [
        Wait(
            cause=Cause.PICKUP,
            text=f"step {name} is being handed on: its command, or the news of it, is on its way",
            **again,
        )
    ]


def _abandoned(facts: Facts, name: str, step: StepFacts) -> list[Wait]:
    """A running step whose worker is gone."""
    attempts = facts.job.steps[name].attempts
    worker = attempts[-1].worker if attempts else ""
    if worker in step.workers or not step.admitted_at:
        return []
    gone = f"the worker of step {name}, {worker}, is not heard of any more"
    if not step.workers:
        text = f"{gone}, and no other lives: {_start(name)}"
        return [Wait(cause=Cause.WORKER, text=text, step=name)]
    text = f"{gone}: within {length(facts.ack_wait_seconds)} of its last word another takes it over"
    return [Wait(cause=Cause.PICKUP, text=text, step=name)]


def _to_be_taken(facts: Facts, name: str, step: StepFacts, again: dict[str, Any]) -> Wait:
    admitted = step.admitted_at or facts.at
    said = f"step {name} was admitted at {moment(admitted, facts.at)}"
    if not step.workers:
        return Wait(
            cause=Cause.WORKER, text=f"{said}, but no worker of it lives: {_start(name)}", since=admitted, **again
        )
    return Wait(cause=Cause.PICKUP, text=f"{said}: a worker takes it next", since=admitted, **again)


def _in_line(facts: Facts, name: str, step: StepFacts, queued: Queued, again: dict[str, Any]) -> list[Wait]:
    """All that holds a waiting command back, as things are now."""
    links = [
        *_worker(facts, name, step, again),
        *_token(facts, name, again),
        *_concurrency(facts, name, step, again),
        *_resources(facts, name, again),
        *_position(facts, name, queued, again),
    ]
    if links:
        return links
    return [Wait(cause=Cause.PICKUP, text=f"step {name} is next and there is room: it is admitted at once", **again)]


def _worker(facts: Facts, name: str, step: StepFacts, again: dict[str, Any]) -> list[Wait]:
    if step.workers:
        return []
    text = f"no worker of step {name} lives: {_start(name)}"
    if holders := facts.holding(step=name):
        text += f" (one command of it is admitted even so, to wake it: {_held(facts, holders[0])})"
    return [Wait(cause=Cause.WORKER, text=text, **_by(holders), **again)]


def _token(facts: Facts, name: str, again: dict[str, Any]) -> list[Wait]:
    tokens = facts.tokens
    if tokens.available_tokens > 0:
        return []
    holders, most = tokens.holders, tokens.max_tokens
    held = "the only one is held" if most == 1 else f"all {most} are held"
    if len(holders) > most:
        held = f"{len(holders)} are held, though there are only {most} by now"
    text = f"step {name} waits for a token: {held}"
    if holders:
        text += _by_whom(facts, holders)
    return [Wait(cause=Cause.TOKEN, text=text, limit=most, **_by(holders), **again)]


def _concurrency(facts: Facts, name: str, step: StepFacts, again: dict[str, Any]) -> list[Wait]:
    holders = facts.holding(step=name)
    if not step.workers or not holders or len(holders) < step.concurrency:
        return []
    many = f"{step.concurrency} of it may run at once, and {len(holders)} are admitted"
    text = f"step {name} waits for its turn: {many}{', the longest' if holders[1:] else ''}: {_held(facts, holders[0])}"
    return [Wait(cause=Cause.CONCURRENCY, text=text, limit=step.concurrency, **_by(holders), **again)]


def _resources(facts: Facts, name: str, again: dict[str, Any]) -> list[Wait]:
    needed = facts.job.plan_of(name).resources
    links: list[Wait] = []
    for tag in facts.tokens.tags:
        if tag.tag not in needed or tag.held < tag.limit:
            continue
        holders = facts.holding(tag=tag.tag)
        text = f"step {name} waits for the resource {tag.tag}: {tag.held} of {tag.limit} are held"
        if holders:
            text += _by_whom(facts, holders)
        elif tag.limit == 0:
            text = f"step {name} waits for the resource {tag.tag}, of which there are 0: raise its limit"
        links.append(Wait(cause=Cause.RESOURCE, text=text, resource=tag.tag, limit=tag.limit, **_by(holders), **again))
    return links


def _position(facts: Facts, name: str, queued: Queued, again: dict[str, Any]) -> list[Wait]:
    above = {priority: count for priority, count in queued.above.items() if count}
    ahead = queued.before + sum(above.values())
    if not ahead:
        return []
    text = f"step {name} is at position {queued.before + 1} in priority {queued.priority}"
    if queued.priority is not facts.job.priority:
        text += f", to which waiting has raised it from {facts.job.priority}"
    if above:
        text += f"; in front of that wait {listed([f'{count} of priority {name}' for name, count in above.items()])}"
    return [
        Wait(
            cause=Cause.POSITION,
            text=text,
            position=queued.before + 1,
            priority=queued.priority,
            ahead=ahead,
            **again,
        )
    ]


def _by(holders: tuple[Holder, ...]) -> dict[str, Any]:
    """Who holds it, as data; `since`: the longest."""
    if not holders:
        return {}
    jobs = tuple(dict.fromkeys(holder.job for holder in holders[:HOLDERS_NAMED]))
    return {"holders": holders[:HOLDERS_NAMED], "jobs": jobs, "since": holders[0].since}


def _by_whom(facts: Facts, holders: tuple[Holder, ...]) -> str:
    longest = ", the longest" if holders[1:] else ""
    return f"{longest} by {_held(facts, holders[0])}"


def _held(facts: Facts, holder: Holder) -> str:
    """`step a of job X (repository shop) since T (5 min)`."""
    where = f" (repository {holder.repository})" if holder.repository else ""
    idle = "" if holder.worker else ", which no worker has begun yet"
    return f"step {holder.step} of job {holder.job}{where} {since(holder.since, facts.at)}{idle}"


def _start(name: str) -> str:
    return f"start the service of {name} (`codestory service start`, or `codestory-step {name}`)"
