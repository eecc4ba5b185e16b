"""Sends again what the records ask for and no stream holds. On any replica, at start and every few seconds."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

import nats.js.errors

from codestory import repository_identity, telemetry
from codestory.bus import LONG_AGO, Bus, Stored, attempt_in, encoded
from codestory.contracts.events import StepCancelled, StepStopped
from codestory.contracts.jobs import Job, Tombstone
from codestory.contracts.values import JobState, Verb
from codestory_orchestrator import control, pipeline, telling
from codestory_orchestrator.dispatcher import Dispatcher
from codestory_orchestrator.errors import JobNotFound, NameTaken
from codestory_orchestrator.records import TRIES
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.scheduling.timers import Timers
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.sketches import Sketch
from codestory_orchestrator.slices import slices
from codestory_orchestrator.store import JobStore, Line, QueueEntry, RepositoryQueue
from codestory_orchestrator.topology import Topology

log = telemetry.logger(__name__)

#: Commands that one round gives their new priority, so that a long backlog that has aged does not hold it up.
MOVES = 200


class Reconciler:
    def __init__(
        self,
        topology: Topology,
        store: JobStore,
        registry: Registry,
        dispatcher: Dispatcher,
        timers: Timers,
        *,
        settings: OrchestratorSettings,
    ) -> None:
        self.bus: Bus = topology.bus
        self.topology, self.store, self.registry, self.dispatcher, self.settings = (
            topology,
            store,
            registry,
            dispatcher,
            settings,
        )
        self.timers = timers
        #: Told of a step's last word that the record does not know of. Set by who hears the events.
        self.on_unheard: Callable[[str, Stored], Awaitable[None]] | None = None
        #: Told each round which timers the server has. Set by who keeps the schedules.
        self.on_timers: Callable[[set[str]], Awaitable[None]] | None = None
        #: Asked each round. Set by who deletes repositories.
        self.on_deletions: Callable[[], Awaitable[None]] | None = None

    async def reconcile(self) -> None:
        await self.round()
        await asyncio.sleep(self.settings.reconcile_seconds)

    async def round(self) -> None:
        epoch = await self._current_epoch()
        if epoch != self.bus.epoch:
            await self._restore(epoch)
        await self.bus.sync_clock()
        for subject in await self.bus.subjects("RUN", self.bus.subject("run.>")):
            *_, step, job_id = subject.split(".")
            await self.dispatcher.sweep(step, job_id)
        await self._mend_all()
        await self._mend_queues()
        if self.on_deletions:
            await self.on_deletions()
        await self.dispatcher.tend()
        advisories = await self.bus.js.stream_info(self.bus.stream("ADVISORIES"))
        telemetry.DEAD_LETTERS.set(advisories.state.messages)
        telemetry.lag()

    # jobs

    async def _mend_all(self) -> None:
        """Two listings sift first, so that a healthy job costs no request of its own."""
        stored, priorities = await self._stored()
        timers = await self.timers.pending()
        if self.on_timers:
            await self.on_timers(timers)
        unfinished = self.store.unfinished()
        telling.jobs(unfinished)
        telling.queue(unfinished, priorities, self.bus.now())
        await self._move_all(unfinished, priorities)
        ids = {job.id for job in unfinished}
        async for some in slices(unfinished):
            for job in some:
                lost = any((job.id, step) not in stored for step, _ in job.active)
                if job.state.ending or lost or (job.state is JobState.SCHEDULED and job.id not in timers):
                    await self._with(job, self.mend)
                elif job.state is JobState.PENDING and not job.eligible and not ids.issuperset(job.after):
                    await self._with(job, self.release)

    async def _with(self, job: Sketch, what: Callable[[Job], Awaitable[object]]) -> None:
        """What is remembered of it decides to act; it may be gone."""
        if found := await self.store.read(job.id, fresh=False):
            await what(found[0])

    async def _move_all(self, jobs: list[Sketch], stored: dict[tuple[str, str], str]) -> None:
        """What waits under another priority than it should by now: the user changed it, or it has waited long."""
        wrong: list[tuple[datetime, Sketch, str]] = []
        at, age = self.bus.now(), self.settings.priority_age_seconds
        async for some in slices(jobs):
            wrong += [
                (since or LONG_AGO, job, step)
                for job in some
                for step, since in job.active
                if (job.id, step) in stored and stored[job.id, step] != control.aged(job.priority, since, at, age)
            ]
        for _, job, step in sorted(wrong, key=lambda entry: entry[0])[:MOVES]:
            await self._with(job, partial(self.move, step=step))

    async def _stored(self) -> tuple[set[tuple[str, str]], dict[tuple[str, str], str]]:
        """Which (job, step) have a command somewhere, and under which priority one waits. In the order of travel."""
        stored: set[tuple[str, str]] = set()
        priorities: dict[tuple[str, str], str] = {}
        for subject in await self.bus.subjects("READY", self.bus.subject("sched.>")):
            *_, job_id, step = subject.split(".")
            stored.add((job_id, step))
        async for some in slices(await self.bus.subjects("READY", self.bus.subject("ready.>"))):
            for subject in some:
                *_, priority, step, job_id = subject.split(".")
                stored.add((job_id, step))
                priorities[job_id, step] = priority
        for subject in await self.bus.subjects("RUN", self.bus.subject("run.>")):
            *_, step, job_id = subject.split(".")
            stored.add((job_id, step))
        return stored, priorities

    async def mend(self, job: Job, *, ended: bool = False) -> None:
        """Do again what follows from the record and may not have been done."""
        if job.state.ended:
            if ended:
                await self.finish(job)
        elif job.state.ending:
            await self.withdraw(job)
        elif job.state is JobState.SCHEDULED:
            await self.timers.set(job.id, job.due_at or self.bus.now())
        else:
            for step in job.active:
                await self._mend_step(job, step)

    async def _mend_step(self, job: Job, step: str) -> None:
        """Look in the order in which a command travels, so that one on the move is not taken for a lost one."""
        places = [
            ("READY", self.bus.subject("sched", job.id, step)),
            ("READY", self.bus.subject("ready", "*", step, job.id)),
            ("RUN", self.bus.subject("run", step, job.id)),
        ]
        for stream, subject in places:
            if await self.bus.last(stream, subject):
                return
        last = await self.bus.last("EVENTS", self.bus.events_of(job.id, step))
        if last and last.ends(job.steps[step].attempt):
            await self._tell_again(job, last)
            return
        log.info("command.sent_again", job_id=job.id, step=step, attempt=job.steps[step].attempt)
        telemetry.RECONCILED.inc()
        await self.dispatcher.enqueue(job, pipeline.command(job, step))

    async def _tell_again(self, job: Job, last: Stored) -> None:
        """Usually it is on its way to the record. Told again once a delivery of it would have been repeated."""
        if self.on_unheard and self.bus.now() - last.at > timedelta(seconds=2 * self.settings.ack_wait_seconds):
            log.warning("event.heard_again", job_id=job.id, subject=last.subject, attempt=last.attempt)
            await self.on_unheard(job.id, last)

    async def reprioritise(self, job: Job, step: str) -> None:
        """At once, where the user changed it. What is admitted already stays so."""
        waiting = await self.bus.last("READY", self.bus.subject("ready", "*", step, job.id))
        if waiting and waiting.subject.split(".")[-3] != self.dispatcher.priority_of(job, step):
            await self.move(job, step)

    async def move(self, job: Job, step: str) -> None:
        """A command waits under an old priority: take it out and put it in under the new one."""
        await self.bus.purge("READY", self.bus.subject("ready", "*", step, job.id))
        await self.dispatcher.enqueue(job, pipeline.command(job, step))

    async def withdraw(self, job: Job) -> None:
        """Stop or cancel: a living worker says so itself, within the grace; else we say it and free the token.

        RUN is never purged before: the token would be free while the step still runs."""
        stopping = job.state is JobState.STOPPING
        attempts = {name: job.steps[name].attempt for name in job.active}
        wished = encoded(Tombstone(verb=Verb.STOP if stopping else Verb.CANCEL, attempts=attempts))
        tombstone = await self.bus.value("cancel", job.id)
        if not tombstone or tombstone.data != wished:
            await self.bus.publish(self.bus.key("cancel", job.id), wished, what="tombstone")
        await self.bus.say("control", job.id)
        living = await self.registry.living()
        for step, attempt in attempts.items():
            sched, ready = self.bus.subject("sched", job.id, step), self.bus.subject("ready", "*", step, job.id)
            await self.bus.purge("READY", sched, ready)
            admitted = await self.bus.last("RUN", self.bus.subject("run", step, job.id))
            if admitted and (attempt_in(admitted.headers) or 0) > attempt:
                continue  # the job has ended since, and runs again: this one is not meant
            if admitted and step in living and job.cancel_by and self.bus.now() < job.cancel_by:
                continue
            ended = (StepStopped if stopping else StepCancelled)(
                attempt=attempt, worker=self.dispatcher.me, at=self.bus.now(), admitted=admitted is not None
            )
            await self.bus.overrule(job.id, step, ended)
            if admitted:
                await self.dispatcher.free(step, admitted.sequence)
            last = await self.bus.last("EVENTS", self.bus.events_of(job.id, step))
            if last and last.ends(attempt):
                await self._tell_again(job, last)

    # what follows the end of a job

    async def finish(self, job: Job) -> None:
        """Say that it ended, give its place on the repository to the next, and let go on who waits for it."""
        await self.dispatcher.announce(job)
        if job.due_at:
            await self.timers.clear(job.id)
        await self._start_first(await self.store.leave(job.repository.id, job.id, job.run))
        for other in self.store.dependents(job.id):
            await self.release(other)

    # what precedes the beginning of a job

    async def due(self, job_id: str) -> None:
        """Its time has come, says the server."""
        with suppress(JobNotFound):
            job = await self.store.change(job_id, lambda job: control.due(job, self.bus.now()))
            await self.ready(job)

    async def release(self, job: Job) -> None:
        """Has it waited long enough for the jobs that it comes after?"""
        states: dict[str, JobState | None] = {}
        for name in job.after:
            found = await self.store.read(name)
            states[name] = found[0].state if found else None
        after = await self.store.change(job.id, lambda job: control.release(job, states, self.bus.now()))
        if after.state.ended:
            await self.finish(after)
        elif after.eligible:
            await self.ready(after)

    async def ready(self, job: Job) -> None:
        """It is due, or asked for again: from here on it waits for other jobs at most."""
        if job.state is not JobState.PENDING or job.active:
            return
        if not job.eligible:
            await self.release(job)
        elif await self._stand_in_line(job):
            await self.start_next(job.repository.id)

    async def start_next(self, repository_id: str) -> None:
        await self._start_first(await self.store.queue(repository_id))

    async def _start_first(self, queue: RepositoryQueue | None) -> None:
        """Begin the first job in a repository's queue, unless it has begun."""
        for _ in range(TRIES):
            free = queue and queue.jobs and not queue.deletion
            found = await self.store.read(queue.jobs[0]) if queue and free else None
            if not found or not queue or not queue.holds(found[0].id, found[0].run):
                return  # or it stands there for an earlier run, and whoever ends that one puts it out of the line
            job, commands = pipeline.begin(found[0], self.bus.now())
            if job == found[0]:
                return
            if await self.store.write(job, found[1]):
                await self.dispatcher.send(job, commands)
                return

    async def _mend_queues(self) -> None:
        lines = dict(self.store.lines())
        unfinished = {job.id: job for job in self.store.unfinished()}
        async for some in slices(lines.items()):
            for repository_id, line in some:
                if line.entries and not _in_order(line, unfinished):
                    await self._mend_queue(repository_id)
        async for some in slices(unfinished.values()):
            for job in some:
                line = lines.get(job.repository)
                if job.eligible and (line is None or not line.holds(job.id, job.run)):
                    await self._with(job, self._stand_in_line)

    async def _mend_queue(self, repository_id: str) -> None:
        """Drop who has ended, and who stood in line but was never recorded; then begin the first."""
        queue = await self.store.queue(repository_id)
        for entry in queue.entries if queue else ():
            found = await self.store.read(entry.job)
            too_old = self.bus.now() - entry.at > timedelta(seconds=self.settings.queue_entry_seconds)
            if found is None and too_old:
                await self.store.leave(repository_id, entry.job)
            elif found and found[0].state.ended:
                await self.finish(found[0])
            elif found and found[0].run > entry.run:  # it stands in line anew once nothing else holds it back
                await self.store.leave(repository_id, entry.job, entry.run)
        await self.start_next(repository_id)

    async def _stand_in_line(self, job: Job) -> bool:
        """For the first time, or because its place was lost with an orchestrator that died between two writes."""
        found = await self.store.read(job.id)
        if not found or found[0].state.ended:
            return False
        origin = repository_identity.origin(job.repository)
        entry = QueueEntry(job=job.id, at=self.bus.now(), priority=found[0].priority, run=found[0].run)
        try:
            return await self.store.join(job.repository, origin, entry, moved=lambda _: True)
        except NameTaken as error:
            log.warning("job.stranded", job_id=job.id, error=str(error))  # until the others on this name have ended
            return False

    # a broker that lost its storage

    async def _current_epoch(self) -> int:
        try:
            return await self.bus.current_epoch()
        except nats.js.errors.NotFoundError:
            await self.topology.declare()
            return await self.bus.current_epoch()

    async def _restore(self, epoch: int) -> None:
        """Declare everything anew and put back the records that we remember. What they ask for is then sent again."""
        await self.topology.declare()
        await self.store.restore()
        await self.registry.forget()
        await self.topology.limits.restore()
        await self.dispatcher.forget()
        self.bus.epoch = epoch  # last: what is interrupted before is done again
        log.warning("bus.restored", epoch=epoch)


def _in_order(line: Line, unfinished: dict[str, Sketch]) -> bool:
    """As far as this process has heard: who stands in line has a record and has not ended, and the first has begun."""
    jobs = [unfinished.get(job) for job, _ in line.entries]
    first = jobs[0]
    stand = all(job is not None and job.run == run for job, (_, run) in zip(jobs, line.entries, strict=True))
    return stand and first is not None and first.begun
