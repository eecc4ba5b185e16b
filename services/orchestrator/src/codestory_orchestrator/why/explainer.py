"""Why a job does not go on: looks at all that could hold it back, and puts it into words and data."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from codestory.bus import LOST, PRIORITIES, Bus, attempt_in
from codestory.contracts.api import Holders, JobView, Why
from codestory.contracts.jobs import Job
from codestory.contracts.values import JobState, Priority, StepState
from codestory_orchestrator.errors import JobNotFound, ServiceUnavailable
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.why.facts import Facts, Other, Queued, StepFacts
from codestory_orchestrator.why.job_links import explain, held_up, over

#: Looks at a job that changes while it is looked at. Each lost one means that it goes on.
LOOKS = 5
#: Jobs that wait for one another, one behind the other, of which one answer tells.
DEPTH = 3
#: Records read at once.
READERS = 10


class Holding(Protocol):
    async def list(self) -> Holders: ...


class Views(Protocol):
    async def view(self, job: Job, revision: int = 0) -> JobView: ...


class Explainer:
    def __init__(
        self, bus: Bus, store: JobStore, holders: Holding, feed: Views, settings: OrchestratorSettings
    ) -> None:
        self.bus, self.store, self.holders, self.feed, self.settings = bus, store, holders, feed, settings
        self._readers = asyncio.Semaphore(READERS)

    async def why(self, job_id: str, owner: str | None = None) -> Why:
        """Raises JobNotFound. `owner`: for them; of others' jobs they are told the ids and nothing of what they wait
        for, nor on which repository."""
        try:
            return explain(await self._facts(job_id, DEPTH, owner))
        except LOST as error:
            raise ServiceUnavailable from error

    async def _facts(self, job_id: str, depth: int, owner: str | None) -> Facts:
        """As of one moment: gathered anew when the record has changed meanwhile, or a command was on the move."""
        for look in range(LOOKS):
            found = await self.store.read(job_id)
            if not found:
                raise JobNotFound(job_id)
            facts = await self._look(*found, depth, owner)
            again = await self.store.read(job_id)
            if look == LOOKS - 1 or (again and again[1] == found[1] and not _on_the_move(facts)):
                return facts
        raise AssertionError("the last look counts")

    async def _look(self, job: Job, revision: int, depth: int, owner: str | None) -> Facts:
        view = await self.feed.view(job, revision)
        if job.state.ended:
            return Facts(job, view, self.bus.now())
        ahead = await self._ahead(job)
        first = await self._other(ahead[0], depth, owner) if ahead else None
        after = await self._after(job, depth, owner)
        steps = await self._steps(job) if job.active else {}
        waiting = any(step.queued for step in steps.values())
        nobody = Holders(available_tokens=0, max_tokens=0, holders=())
        return Facts(
            job,
            view,
            self.bus.now(),
            ahead=ahead,
            first=first,
            deleting_since=self._deleting_since(job),
            after=after,
            steps=steps,
            tokens=await self._tokens(owner) if waiting else nobody,
            ack_wait_seconds=self.settings.ack_wait_seconds,
            queue_entry_seconds=self.settings.queue_entry_seconds,
        )

    # the jobs that it waits for

    async def _ahead(self, job: Job) -> tuple[str, ...]:
        """Those before it on its repository: all of them, where another origin still holds the repository's name."""
        if job.active or job.state is not JobState.PENDING or not job.eligible:
            return ()
        queue = await self.store.queue(job.repository.id)
        jobs = queue.jobs if queue else []
        return tuple(jobs[: jobs.index(job.id)] if job.id in jobs else jobs)

    def _deleting_since(self, job: Job) -> datetime | None:
        queue = self.store.remembered_queue(job.repository.id)
        return queue.deletion.at if queue and queue.deletion else None

    async def _after(self, job: Job, depth: int, owner: str | None) -> tuple[Other, ...]:
        """Those that it comes after and that are not over; of the first of them also what it waits for itself."""
        if job.active or job.eligible:
            return ()
        states = await asyncio.gather(*(self._state(name) for name in job.after))
        open_ones = [name for name, state in zip(job.after, states, strict=True) if not over(job.when, state)]
        depths = [depth, *(0 for _ in open_ones[1:])]
        return tuple(
            await asyncio.gather(*(self._other(name, d, owner) for name, d in zip(open_ones, depths, strict=False)))
        )

    async def _state(self, job_id: str) -> JobState | None:
        async with self._readers:
            found = await self.store.read(job_id)
        return found[0].state if found else None

    async def _other(self, job_id: str, depth: int, owner: str | None) -> Other:
        """`depth`: how many jobs further down the chain are looked at, this one included."""
        async with self._readers:
            found = await self.store.read(job_id)
            if not found:
                return Other(job_id)
            job, revision = found
            view = await self.feed.view(job, revision)
        if depth > 0 and not job.state.ended and owner in {None, job.owner}:
            try:
                facts = await self._facts(job_id, depth - 1, owner)
            except JobNotFound:
                return Other(job_id)
            waits = explain(facts).waits if held_up(facts) else ()
            return Other(job_id, facts.job.state, facts.view.fraction, waits)
        return Other(job_id, job.state, view.fraction)

    async def _tokens(self, owner: str | None) -> Holders:
        held = await self.holders.list()
        return held if owner is None else await self.only_own(held, owner)

    async def only_own(self, held: Holders, owner: str) -> Holders:
        """Without the repositories of others' jobs."""
        own = {job_id for job_id in {holder.job for holder in held.holders} if await self._is_of(job_id, owner)}
        holders = (h if h.job in own else h.model_copy(update={"repository": ""}) for h in held.holders)
        return held.model_copy(update={"holders": tuple(holders)})

    async def _is_of(self, job_id: str, owner: str) -> bool:
        found = await self.store.read(job_id, fresh=False)
        return found is not None and found[0].owner == owner

    # the steps that are active

    async def _steps(self, job: Job) -> dict[str, StepFacts]:
        workers = await self._workers()
        looks = await asyncio.gather(*(self._step(job, step, workers[step]) for step in job.active))
        return dict(zip(job.active, looks, strict=True))

    async def _step(self, job: Job, step: str, workers: frozenset[str]) -> StepFacts:
        """Its command is looked for in the order in which it travels, or one on the move is seen nowhere."""
        waiting = await self.bus.last("READY", self.bus.subject("ready", "*", step, job.id))
        queued = await self._queued(Priority(waiting.subject.split(".")[-3]), waiting.sequence) if waiting else None
        admitted = await self.bus.last("RUN", self.bus.subject("run", step, job.id))
        if admitted and attempt_in(admitted.headers) != job.steps[step].attempt:
            admitted = None  # of an attempt that has ended
        return StepFacts(
            queued=None if admitted else queued,
            admitted_at=admitted.at if admitted else None,
            workers=workers,
            concurrency=await self._concurrency(step) if queued else 1,
        )

    async def _queued(self, priority: Priority, sequence: int) -> Queued | None:
        """Its place among all that wait. None: it does not wait any more."""
        higher = PRIORITIES[: PRIORITIES.index(priority)]
        above, own, behind = await asyncio.gather(
            asyncio.gather(*(self._count(name) for name in higher)),
            self._count(priority),
            self.bus.waiting("READY", self._waiting_under(priority), since=sequence),
        )
        if behind[0] != sequence:
            return None
        return Queued(priority, before=max(own - behind[1], 0), above=dict(zip(higher, above, strict=True)))

    async def _count(self, priority: Priority) -> int:
        return (await self.bus.waiting("READY", self._waiting_under(priority)))[1]

    def _waiting_under(self, priority: Priority) -> str:
        return self.bus.subject("ready", priority, "*", "*")

    async def _concurrency(self, step: str) -> int:
        info = await self.bus.js.consumer_info(self.bus.stream("RUN"), step)
        return info.config.max_ack_pending or 1

    async def _workers(self) -> defaultdict[str, frozenset[str]]:
        """The living ones, by step."""
        prefix = self.bus.key("workers", "")
        return _by_step(
            subject.removeprefix(prefix)
            for subject in await self.bus.subjects("KV_workers", self.bus.key("workers", ">"))
        )


def _by_step(keys: Iterable[str]) -> defaultdict[str, frozenset[str]]:
    found: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
    for key in keys:
        step, _, worker = key.partition(".")
        found[step] |= {worker}
    return found


def _on_the_move(facts: Facts) -> bool:
    """A command that should wait or be admitted is seen nowhere."""
    return any(
        step.queued is None and step.admitted_at is None and facts.job.steps[name].state is StepState.READY
        for name, step in facts.steps.items()
    )
