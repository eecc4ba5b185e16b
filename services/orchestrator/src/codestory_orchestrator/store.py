"""The records of jobs, and who is next on each repository. Every change is a compare-and-set on the bucket `jobs`."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from pydantic import ValidationError

from codestory import telemetry
from codestory.bus import Bus, BusLost, Refused
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.values import JobState, Value
from codestory.mirror import Mirror
from codestory_orchestrator.errors import JobNotFound, NameTaken

log = telemetry.logger(__name__)

QUEUE = "repo."
#: Tries of one compare-and-set. Each lost one means that another has moved on, so more is never needed.
TRIES = 100


class QueueEntry(Value):
    job: str
    at: datetime


class RepositoryQueue(Value):
    """A repository's name, bound to where it comes from, and the jobs on it in the order in which they run."""

    name: str
    origin: str
    entries: tuple[QueueEntry, ...] = ()

    @property
    def jobs(self) -> list[str]:
        return [entry.job for entry in self.entries]


class JobStore:
    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.watchers: dict[str, set[Callable[[], None]]] = {}
        self.mirror = Mirror(bus, "jobs", self._changed)
        self._ended: dict[str, int] = {}  # revision at which a job had ended

    def _changed(self, key: str) -> None:
        for notify in self.watchers.get(key, ()):
            notify()

    # jobs

    async def read(self, job_id: str, *, fresh: bool = True) -> tuple[Job, int] | None:
        """The record and its revision. Not `fresh`: as remembered, good enough to decide to act."""
        if not fresh and (remembered := self.mirror.get(job_id)):
            revision, data = remembered
        else:
            found = await self.bus.value("jobs", job_id)
            if not found:
                return None
            revision, data = found.sequence, found.data
            self.mirror.hold(job_id, revision, data)
        job = load(data)
        return (job, revision) if job else None

    async def write(self, job: Job, revision: int) -> bool:
        """False: somebody else changed it first."""
        data = job.model_dump_json(exclude_defaults=True).encode()
        try:
            revision = await self.bus.publish(self.bus.key("jobs", job.id), data, after=revision, what="record")
        except Refused:
            found = await self.bus.value("jobs", job.id)
            if not found or found.data != data:
                return False
            revision = found.sequence  # it had landed, only the answer was lost
        self.mirror.hold(job.id, revision, data)
        return True

    async def change(self, job_id: str, how: Callable[[Job], Job]) -> Job:
        """Apply `how` to the record as it is now. Raises what `how` raises, and JobNotFound."""
        for _ in range(TRIES):
            found = await self.read(job_id)
            if not found:
                raise JobNotFound(job_id)
            job, revision = found
            changed = how(job)
            if changed == job or await self.write(changed, revision):
                return changed
        raise BusLost(f"the record of {job_id} does not hold still")

    def unfinished(self) -> list[Job]:
        """The jobs that have not ended, as far as this process has heard. An ended record is read once only."""
        jobs: list[Job] = []
        for key, (revision, data) in self.mirror.entries.items():
            if key.startswith(QUEUE) or self._ended.get(key) == revision:
                continue
            job = load(data)
            if job and job.state.ended:
                self._ended[key] = revision
            elif job:
                jobs.append(job)
        return jobs

    def newest(self, limit: int) -> list[tuple[Job, int]]:
        """The newest jobs with their revisions. Ids grow with time, so no record needs reading to sort them."""
        entries = self.mirror.entries
        keys = sorted((key for key in entries if not key.startswith(QUEUE)), reverse=True)[:limit]
        return [(job, entries[key][0]) for key in keys if (job := load(entries[key][1]))]

    # repositories

    async def join(
        self, repository: Repository, origin: str, job_id: str, at: datetime, *, moved: Callable[[str], bool]
    ) -> bool:
        """Bind the name to its origin and stand in line. True: first in line.

        `moved` says of the origin that holds the name whether it is no longer there, so that the name is free again."""
        entry = QueueEntry(job=job_id, at=at)
        for _ in range(TRIES):
            revision, queue = await self._queue(repository.id)
            if queue is None:
                queue = RepositoryQueue(name=repository.name, origin=origin)
            if queue.origin != origin:
                if queue.entries or not moved(queue.origin):
                    raise NameTaken(repository.name, queue.origin)
                queue = queue.model_copy(update={"origin": origin})
            if job_id in queue.jobs:
                return queue.jobs[0] == job_id
            queue = queue.model_copy(update={"entries": (*queue.entries, entry)})
            if await self._write_queue(repository.id, queue, revision):
                return queue.jobs[0] == job_id
        raise BusLost(f"the queue of {repository.name} does not hold still")

    async def leave(self, repository_id: str, job_id: str) -> None:
        for _ in range(TRIES):
            revision, queue = await self._queue(repository_id)
            if queue is None or job_id not in queue.jobs:
                return
            entries = tuple(entry for entry in queue.entries if entry.job != job_id)
            if await self._write_queue(repository_id, queue.model_copy(update={"entries": entries}), revision):
                return
        raise BusLost(f"the queue of {repository_id} does not hold still")

    async def queue(self, repository_id: str) -> RepositoryQueue | None:
        return (await self._queue(repository_id))[1]

    def waits_for(self, job: Job) -> tuple[str, ...]:
        """The jobs that stand before this one in its repository's queue, as far as this process has heard."""
        queue = self.remembered_queue(job.repository.id)
        if job.state is not JobState.PENDING or queue is None or job.id not in queue.jobs:
            return ()
        return tuple(queue.jobs[: queue.jobs.index(job.id)])

    def remembered_queue(self, repository_id: str) -> RepositoryQueue | None:
        found = self.mirror.get(QUEUE + repository_id)
        return RepositoryQueue.model_validate_json(found[1]) if found else None

    def remembered_queues(self) -> dict[str, RepositoryQueue]:
        return {
            key.removeprefix(QUEUE): RepositoryQueue.model_validate_json(value)
            for key, (_, value) in self.mirror.entries.items()
            if key.startswith(QUEUE)
        }

    async def _queue(self, repository_id: str) -> tuple[int, RepositoryQueue | None]:
        found = await self.bus.value("jobs", QUEUE + repository_id)
        return (found.sequence, RepositoryQueue.model_validate_json(found.data)) if found else (0, None)

    async def _write_queue(self, repository_id: str, queue: RepositoryQueue, revision: int) -> bool:
        data = queue.model_dump_json(exclude_defaults=True).encode()
        try:
            revision = await self.bus.publish(
                self.bus.key("jobs", QUEUE + repository_id), data, after=revision, what="queue"
            )
        except Refused:
            return False
        self.mirror.hold(QUEUE + repository_id, revision, data)
        return True

    async def restore(self) -> None:
        """The broker lost its storage: put back what we remember. Whoever is first does; others find it there."""
        for key, (_, data) in self.mirror.entries.items():
            with suppress(Refused):
                await self.bus.publish(self.bus.key("jobs", key), data, after=0, what="restored")
        self._ended.clear()
        self.mirror.forget()  # only now: until all is back, what we remember is all there is
        await self.mirror.list()


def load(data: bytes) -> Job | None:
    try:
        return Job.model_validate_json(data)
    except ValidationError as error:
        log.warning("job.unreadable", error=str(error)[:500])
        return None
