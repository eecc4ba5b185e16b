"""Hears what the steps say: one compare-and-set a job, then what follows from it, then the acks."""

import asyncio
from collections import defaultdict

from nats.aio.msg import Msg
from pydantic import ValidationError

from codestory import telemetry
from codestory.bus import Bus, Puller
from codestory.contracts.commands import RunStep
from codestory.contracts.events import KINDS, StepEnded, StepFailed
from codestory.contracts.jobs import Job
from codestory_orchestrator import pipeline
from codestory_orchestrator.dispatcher import Dispatcher
from codestory_orchestrator.reconciler import Reconciler
from codestory_orchestrator.store import TRIES, JobStore

log = telemetry.logger(__name__)

Heard = tuple[str, pipeline.News, int]  # step, what, sequence

BATCH = 64


class Handlers:
    def __init__(self, bus: Bus, store: JobStore, dispatcher: Dispatcher, reconciler: Reconciler) -> None:
        self.bus, self.store, self.dispatcher, self.reconciler = bus, store, dispatcher, reconciler

    async def start(self, events: Puller) -> None:
        self.events = events

    async def hear(self) -> None:
        """One batch of news. Pulls expire within ack_wait, so that none is delivered to somebody who has gone."""
        by_job: dict[str, list[Msg]] = defaultdict(list)
        for msg in await self.events.take(BATCH, wait=min(5.0, self.bus.settings.ack_wait_seconds)):
            by_job[msg.subject.split(".")[-3]].append(msg)
        await asyncio.gather(*(self.apply(job_id, messages) for job_id, messages in by_job.items()))

    async def apply(self, job_id: str, messages: list[Msg]) -> None:
        """One job's news, oldest first. A remembered record may act; before news is dropped the record is read anew."""
        news = [heard for msg in messages if (heard := parse(msg))]
        fresh = changed = False
        job = None
        for _ in range(TRIES):
            found = await self.store.read(job_id, fresh=fresh)
            if not found:
                break
            before, revision = found
            job, commands = advance_all(before, news)
            if job == before:
                if fresh:
                    break
            elif await self.store.write(job, revision):
                changed = True
                await self.follow(before, job, commands, news)
                break
            fresh = True
        if job and not changed and any(msg.metadata.num_delivered > 1 for msg in messages):
            await self.reconciler.mend(job, ended=True)  # whoever wrote the record may have died before sending
        for msg in messages:
            await self.bus.ack(msg, "ack-event")

    async def follow(self, before: Job, job: Job, commands: list[RunStep], news: list[Heard]) -> None:
        for step, event, _ in news:
            if isinstance(event, StepEnded):
                observe(step, event)
                if isinstance(event, StepFailed):
                    self._say_why(job, step, event)
        await self.dispatcher.send(job, commands)
        if job.state.ended and not before.state.ended:
            await self.reconciler.finish(job)

    def _say_why(self, job: Job, step: str, event: StepFailed) -> None:
        record = job.steps[step]
        log.warning(
            "step.retrying" if record.state.active else "step.failed",
            job_id=job.id,
            step=step,
            attempt=event.attempt,
            reason=event.reason,
            message=event.message,
            retries=record.retries,
            max_retries=job.plan_of(step).retry.max_retries,
            due_at=record.due_at.isoformat() if record.due_at else None,
        )


def advance_all(job: Job, news: list[Heard]) -> tuple[Job, list[RunStep]]:
    """All the news in turn. A command that later news has overtaken is not sent."""
    commands: list[RunStep] = []
    for step, event, sequence in news:
        job, more = pipeline.advance(job, step, event, sequence)
        commands += more
    wanted = [c for c in commands if job.steps[c.step].state.active and job.steps[c.step].attempt == c.attempt]
    return job, wanted


def parse(msg: Msg) -> Heard | None:
    """None: nothing of ours. One unreadable event must not stop every orchestrator."""
    *_, step, kind = msg.subject.split(".")
    model = KINDS.get(kind)
    if model is None:
        return None
    try:
        return step, model.model_validate_json(msg.data), msg.metadata.sequence.stream
    except ValidationError as error:
        log.warning("event.unreadable", subject=msg.subject[:200], error=str(error)[:500])
        return None


def observe(step: str, event: StepEnded) -> None:
    telemetry.STEP_SECONDS.labels(step, event.kind).observe(event.usage.seconds)
    telemetry.STEP_ATTEMPTS.labels(step, event.reason if isinstance(event, StepFailed) else event.kind).inc()
