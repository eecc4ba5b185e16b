"""Hears what the steps say: one compare-and-set a job, then what follows from it, then the acks."""

import asyncio
from collections import defaultdict
from datetime import datetime

from nats.aio.msg import Msg
from pydantic import ValidationError

from codestory import telemetry
from codestory.bus import Bus, BusLost, Stored, TooLarge, parsed
from codestory.contracts.commands import RunStep
from codestory.contracts.events import KINDS, TERMINAL, StepFailed
from codestory.contracts.jobs import Job
from codestory.contracts.values import Reason
from codestory.puller import Puller
from codestory_orchestrator import pipeline, telling
from codestory_orchestrator.dispatcher import Dispatcher
from codestory_orchestrator.reconciler import Reconciler
from codestory_orchestrator.records import TRIES
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.telling import Heard

log = telemetry.logger(__name__)

BATCH = 64


class Handlers:
    def __init__(self, bus: Bus, store: JobStore, dispatcher: Dispatcher, reconciler: Reconciler) -> None:
        self.bus, self.store, self.dispatcher, self.reconciler = bus, store, dispatcher, reconciler
        reconciler.on_unheard = self.hear_again

    async def start(self, events: Puller) -> None:
        self.events = events

    async def hear(self) -> None:
        """One batch of news. Pulls expire within ack_wait, so that none is delivered to somebody who has gone."""
        by_job: dict[str, list[Msg]] = defaultdict(list)
        for msg in await self.events.take(BATCH, wait=min(5.0, self.bus.settings.ack_wait_seconds)):
            by_job[msg.subject.split(".")[-3]].append(msg)
        await asyncio.gather(*(self.apply(job_id, messages) for job_id, messages in by_job.items()))

    async def apply(self, job_id: str, messages: list[Msg]) -> None:
        """One job's news, oldest first."""
        news = [
            heard
            for msg in messages
            if (heard := parse(msg.subject, msg.data, msg.metadata.sequence.stream, msg.metadata.timestamp))
        ]
        unchanged = await self.learn(job_id, news)
        if unchanged and any(msg.metadata.num_delivered > 1 for msg in messages):
            await self.reconciler.mend(unchanged, ended=True)  # whoever wrote it may have died before sending
        for msg in messages:
            await self.bus.ack(msg, "ack-event")

    async def learn(self, job_id: str, news: list[Heard]) -> Job | None:
        """Write down what is new and do what follows. The record, if nothing of it was new.

        A remembered record may act; before news is dropped the record is read anew."""
        fresh = False
        for _ in range(TRIES):
            found = await self.store.read(job_id, fresh=fresh)
            if not found:
                return None
            before, revision = found
            job, commands = advance_all(before, news)
            if job == before:
                if fresh:
                    return job
            elif await self._write(job, revision):
                await self.follow(before, job, commands, news)
                return None
            fresh = True
        raise BusLost(f"the record of {job_id} does not hold still")

    async def _write(self, job: Job, revision: int) -> bool:
        try:
            return await self.store.write(job, revision)
        except TooLarge as error:
            log.warning("job.trimmed", job_id=job.id, error=str(error))
            return await self.store.write(pipeline.trimmed(job), revision)

    async def hear_again(self, job_id: str, event: Stored) -> None:
        """The record does not know how its step ended, and nobody will be told any more: the delivery was lost."""
        if heard := parse(event.subject, event.data, event.sequence, event.at):
            await self.learn(job_id, [heard])

    async def follow(self, before: Job, job: Job, commands: list[RunStep], news: list[Heard]) -> None:
        for step, event, _ in news:
            if isinstance(event, StepFailed):
                self._say_why(job, step, event)
        try:
            await self.dispatcher.send(job, commands)
        finally:  # the record is written: nobody will tell of it again
            telling.followed(before, job, news, self.bus.now())
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


def parse(subject: str, data: bytes, sequence: int, at: datetime) -> Heard | None:
    """None: nothing of ours. An unreadable event must neither stop an orchestrator nor leave its job without end.

    `at`: when the server stored it. The clocks of workers may differ from it, and from each other."""
    *_, step, kind = subject.split(".")
    model = KINDS.get(kind)
    if model is None:
        return None
    try:
        return step, model.model_validate_json(data).model_copy(update={"at": at}), sequence
    except ValidationError as error:
        log.warning("event.unreadable", subject=subject[:200], error=str(error)[:500])
        attempt = parsed(data).get("attempt")
        if kind not in TERMINAL or not isinstance(attempt, int):
            return None
        message = f"how it ended ({kind}) cannot be read"
        failed = StepFailed(attempt=attempt, worker="", at=at, reason=Reason.UNREADABLE, message=message)
        return step, failed, sequence
