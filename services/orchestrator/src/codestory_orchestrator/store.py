"""The records of jobs, and who is next on each repository. Every change is a compare-and-set on the bucket `jobs`."""

from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from codestory import telemetry
from codestory.bus import Bus, BusLost, Refused, encoded
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.values import JobState, Priority, Value
from codestory.mirror import Mirror
from codestory_orchestrator import control
from codestory_orchestrator.errors import ChangedMeanwhile, JobNotFound, NameTaken
from codestory_orchestrator.records import TRIES, Records
from codestory_orchestrator.sketches import Sketch, sketch

log = telemetry.logger(__name__)

QUEUE = "repo."
RANKS = tuple(Priority)
#: In the record of a job that comes after others, and in no other.
COMES_AFTER = b'"after":["'
#: Jobs kept as objects beside their text.
PARSED = 1000


class QueueEntry(Value):
    job: str
    at: datetime
    priority: Priority = Priority.DEFAULT
    #: Which run of the job stands here, so that the late end of an earlier one does not put it out of the line.
    run: int = 1


class Deletion(Value):
    """A repository is being taken out of the graph. `at` tells one deletion from another."""

    at: datetime
    #: Which orchestrator works on it, and when it last said so.
    worker: str = ""
    seen_at: datetime
    #: Nodes and relationships that have gone since that one took it over.
    removed: int = 0
    #: Why it does not go on; it is tried again.
    problem: str = ""


class RepositoryQueue(Value):
    """A repository's name, bound to where it comes from, and the jobs on it in the order in which they run."""

    name: str
    #: Empty: bound to nothing; the graph alone knew it when its deletion began.
    origin: str
    entries: tuple[QueueEntry, ...] = ()
    #: As long as it is there no job begins; those that come meanwhile stand in line.
    deletion: Deletion | None = None

    @property
    def jobs(self) -> list[str]:
        return [entry.job for entry in self.entries]

    def holds(self, job: str, run: int) -> bool:
        return any(entry.job == job and entry.run >= run for entry in self.entries)

    def having(self, entry: QueueEntry, age_seconds: float) -> "RepositoryQueue":
        """With this job behind all of its priority, aged ones included, and never before the first, which may run."""
        others = [other for other in self.entries if other.job != entry.job]
        place = len(others)
        while place > 1 and _rank(others[place - 1], entry.at, age_seconds) > _rank(entry, entry.at, age_seconds):
            place -= 1
        entries = (*others[:place], entry, *others[place:])
        return self.model_copy(update={"entries": entries})


@dataclass(frozen=True, slots=True)
class Line:
    """Of a repository's queue what is looked at in every round."""

    #: Each job, and which of its runs stands there.
    entries: tuple[tuple[str, int], ...]
    deletion: Deletion | None = None

    def holds(self, job: str, run: int) -> bool:
        return any(entry == job and its >= run for entry, its in self.entries)


def _rank(entry: QueueEntry, at: datetime, age_seconds: float) -> int:
    return RANKS.index(control.aged(entry.priority, entry.at, at, age_seconds))


class JobStore:
    """`age_seconds`: after how long a job that waits for its repository counts as of the next higher priority."""

    def __init__(self, bus: Bus, age_seconds: float = 0.0) -> None:
        self.bus, self.age_seconds = bus, age_seconds
        self.watchers: dict[str, set[Callable[[], None]]] = {}
        self.mirror = Mirror(bus, "jobs", self._changed)
        self._records = Records(bus, self.mirror)
        self._sketches: dict[str, Sketch] = {}
        self._unsketched = set[str]()  # jobs that have changed since they were sketched
        self._lines: dict[str, Line] = {}  # by repository; of those in which nobody stands and which stay, none
        self._unread = set[str]()  # queues that have changed since
        self._parsed = OrderedDict[str, tuple[bytes, Job]]()  # what was read last, with its text
        #: Told of a job that has ended, at least once for each run.
        self.on_ended: Callable[[Job], None] = lambda _: None
        self._dependents: dict[str, set[str]] = {}  # jobs by each of those that they come after

    def _changed(self, key: str) -> None:
        if is_job(key):
            self._unsketched.add(key)
        elif key.startswith(QUEUE):
            self._unread.add(key)
        entry = self.mirror.get(key)
        if entry and COMES_AFTER in entry[1] and is_job(key) and (job := load(entry[1])):
            for name in job.after:
                self._dependents.setdefault(name, set()).add(key)
        for notify in self.watchers.get(key, ()):
            notify()

    # jobs

    async def read(self, job_id: str, *, fresh: bool = True) -> tuple[Job, int] | None:
        """The record and its revision. Not `fresh`: as remembered, good enough to decide to act."""
        if not fresh and (remembered := self.mirror.get(job_id)):
            revision, data = remembered
        else:
            found = await self._records.read(job_id)
            if not found:
                return None
            data, revision = found
            self.mirror.hold(job_id, revision, data)
        job = self._job(job_id, data)
        return (job, revision) if job else None

    def _job(self, job_id: str, data: bytes) -> Job | None:
        """Parsed once: a job is looked at several times for each thing that happens to it."""
        job = self._parse(job_id, data)
        if job:
            self._hold(job, data)
        return job

    def _parse(self, job_id: str, data: bytes) -> Job | None:
        known = self._parsed.get(job_id)
        return known[1] if known and known[0] == data else load(data)

    def _hold(self, job: Job, data: bytes) -> None:
        self._parsed[job.id] = data, job
        self._parsed.move_to_end(job.id)
        if len(self._parsed) > PARSED:
            self._parsed.popitem(last=False)

    async def write(self, job: Job, revision: int) -> bool:
        """False: somebody else changed it first."""
        data = encoded(job)
        if await self._records.write(job.id, data, revision, what="record") is None:
            return False
        self._hold(job, data)
        if job.state.ended:
            self.on_ended(job)
        return True

    async def change(self, job_id: str, how: Callable[[Job], Job], *, revisions: frozenset[int] | None = None) -> Job:
        """Apply `how` to the record as it is now. Raises what `how` raises, and JobNotFound.

        `revisions`: only to one of these; otherwise raises ChangedMeanwhile."""
        for _ in range(TRIES):
            found = await self.read(job_id)
            if not found:
                raise JobNotFound(job_id)
            job, revision = found
            if revisions is not None and revision not in revisions:
                raise ChangedMeanwhile(f"job {job_id}")
            changed = how(job)
            if changed == job or await self.write(changed, revision):
                return changed
        raise BusLost(f"the record of {job_id} does not hold still")

    def unfinished(self) -> list[Sketch]:
        """Of the jobs that have not ended, as far as this process has heard."""
        return [job for job in self._all() if job.ended_at is None]

    def ended(self) -> list[tuple[datetime, str, int]]:
        """The jobs that have ended: when, and their revisions."""
        return [(job.ended_at, job.id, job.revision) for job in self._all() if job.ended_at]

    async def all(self) -> Collection[Sketch]:
        """Of every job that had been recorded when this was called, by whichever orchestrator."""
        await self.mirror.catch_up()
        return self._all()

    async def known_to(self, owner: str, repository_id: str) -> bool:
        """Whether they may hear where a repository lies: a job of theirs is on it. Without an owner: everybody may."""
        return not owner or any(job.owner == owner and job.repository == repository_id for job in await self.all())

    def remembered(self, job_id: str) -> tuple[Job, int] | None:
        """The record and its revision, as far as this process has heard."""
        found = self.mirror.get(job_id)
        job = self._job(job_id, found[1]) if found else None
        return (job, found[0]) if found and job else None

    async def forgotten(self, job_id: str) -> bool:
        """There was such a job, and it was removed. Known for as long as a removed record leaves a mark."""
        return await self._records.removed(job_id)

    def _all(self) -> Collection[Sketch]:
        """Only what has changed is looked at: of ten thousand that wait, hardly any has."""
        while self._unsketched:
            key = self._unsketched.pop()
            entry = self.mirror.get(key)
            job = self._parse(key, entry[1]) if entry else None
            if entry is None or job is None:
                self._sketches.pop(key, None)
                continue
            self._sketches[key] = sketch(job, entry[0])
            if job.state.ended:
                self.on_ended(job)
        return list(self._sketches.values())

    async def delete(self, job_id: str, revision: int) -> None:
        """Raises Refused when somebody has changed it since."""
        await self._records.remove(job_id, revision=revision, what="forget")
        self._dependents.pop(job_id, None)

    def dependents(self, job_id: str) -> list[Job]:
        """The jobs that come after this one and have not been released, as far as this process has heard."""
        found = (self.mirror.get(key) for key in self._dependents.get(job_id, ()))
        jobs = (load(entry[1]) for entry in found if entry)
        return [job for job in jobs if job and not job.eligible and not job.state.ended]

    def newest(self, limit: int) -> list[tuple[Job, int]]:
        """The newest jobs with their revisions. Ids grow with time, so no record needs reading to sort them."""
        entries = self.mirror.entries
        keys = sorted(filter(is_job, entries), reverse=True)[:limit]
        return [(job, entries[key][0]) for key in keys if (job := load(entries[key][1]))]

    # repositories

    async def join(
        self, repository: Repository, origin: str, entry: QueueEntry | None, *, moved: Callable[[str], bool]
    ) -> bool:
        """Bind the name to its origin and stand in line, unless there is no `entry`. True: first in line.

        `moved` says of the origin that holds the name whether it is no longer there, so that the name is free again."""
        for attempt in range(TRIES):
            revision, before = await self._queue(repository.id, fresh=attempt > 0)
            if attempt == 0 and before and (before.origin != origin or (entry and before.holds(entry.job, entry.run))):
                continue  # what is remembered may act, but not refuse
            queue = before or RepositoryQueue(name=repository.name, origin=origin)
            if queue.origin != origin:
                if queue.origin and (queue.entries or not moved(queue.origin)):
                    raise NameTaken(repository.name, queue.origin)
                queue = queue.model_copy(update={"origin": origin})
            if entry and not queue.holds(entry.job, entry.run):
                queue = queue.having(entry, self.age_seconds)
            first = entry is not None and queue.jobs[0] == entry.job and queue.deletion is None
            if queue == before or await self._write_queue(repository.id, queue, revision):
                return first
        raise BusLost(f"the queue of {repository.name} does not hold still")

    async def move(self, repository_id: str, entry: QueueEntry) -> None:
        """Its priority has changed. One that is first, and may run, stays; one that does not stand there is not put."""
        for _ in range(TRIES):
            revision, queue = await self._queue(repository_id)
            if queue is None or entry.job not in queue.jobs[1:]:
                return
            if any(other.job == entry.job and other.priority is entry.priority for other in queue.entries):
                return
            if await self._write_queue(repository_id, queue.having(entry, self.age_seconds), revision):
                return
        raise BusLost(f"the queue of {repository_id} does not hold still")

    async def leave(self, repository_id: str, job_id: str, run: int = 1) -> RepositoryQueue | None:
        """The queue without it. `run`: a later one of the job keeps its place."""
        for attempt in range(TRIES):
            revision, queue = await self._queue(repository_id, fresh=attempt > 0)
            entries = tuple(entry for entry in queue.entries if entry.job != job_id or entry.run > run) if queue else ()
            if queue is None or entries == queue.entries:
                if attempt == 0:
                    continue  # what is remembered may act, but not ignore
                return queue
            queue = queue.model_copy(update={"entries": entries})
            if await self._write_queue(repository_id, queue, revision):
                return queue
        raise BusLost(f"the queue of {repository_id} does not hold still")

    async def queue(self, repository_id: str) -> RepositoryQueue | None:
        return (await self._queue(repository_id))[1]

    async def change_queue(
        self, repository_id: str, how: Callable[[RepositoryQueue | None], RepositoryQueue | None]
    ) -> RepositoryQueue | None:
        """Apply `how` to it as it is now. None: the name is bound to nothing. Raises what `how` raises."""
        for _ in range(TRIES):
            revision, queue = await self._queue(repository_id)
            changed = how(queue)
            if changed == queue:
                return queue
            if changed:
                if await self._write_queue(repository_id, changed, revision):
                    return changed
                continue
            with suppress(Refused):
                await self._records.remove(QUEUE + repository_id, revision=revision, what="unbind")
                return None
        raise BusLost(f"the queue of {repository_id} does not hold still")

    def waits_for(self, job: Job) -> tuple[str, ...]:
        """The jobs that stand before this one in its repository's queue, as far as this process has heard."""
        line = self.lines().get(job.repository.id) if job.state is JobState.PENDING else None
        jobs = [name for name, _ in line.entries] if line else []
        return tuple(jobs[: jobs.index(job.id)]) if job.id in jobs else ()

    def remembered_queue(self, repository_id: str) -> RepositoryQueue | None:
        found = self.mirror.get(QUEUE + repository_id)
        return RepositoryQueue.model_validate_json(found[1]) if found else None

    def lines(self) -> dict[str, Line]:
        """Where somebody stands, or which is being deleted, by repository, as far as this process has heard. Only what
        has changed is parsed: of ten thousand repositories, hardly any has."""
        while self._unread:
            key = self._unread.pop()
            entry, repository_id = self.mirror.get(key), key.removeprefix(QUEUE)
            queue = RepositoryQueue.model_validate_json(entry[1]) if entry else None
            if queue and (queue.entries or queue.deletion):
                places = tuple((each.job, each.run) for each in queue.entries)
                self._lines[repository_id] = Line(places, queue.deletion)
            else:
                self._lines.pop(repository_id, None)
        return self._lines

    def bindings(self) -> dict[str, RepositoryQueue]:
        """Every repository whose name is bound, by id, as far as this process has heard."""
        return {
            key.removeprefix(QUEUE): RepositoryQueue.model_validate_json(value)
            for key, (_, value) in self.mirror.entries.items()
            if key.startswith(QUEUE)
        }

    def deletions(self) -> dict[str, Deletion]:
        """Those that are being deleted, by id, as far as this process has heard."""
        return {repository_id: line.deletion for repository_id, line in self.lines().items() if line.deletion}

    async def _queue(self, repository_id: str, *, fresh: bool = True) -> tuple[int, RepositoryQueue | None]:
        if not fresh:
            remembered = self.mirror.get(QUEUE + repository_id)
            return (remembered[0], RepositoryQueue.model_validate_json(remembered[1])) if remembered else (0, None)
        found = await self._records.read(QUEUE + repository_id)
        if not found:  # the mark of one that was removed has a revision too
            return await self._records.mark(QUEUE + repository_id), None
        return found[1], RepositoryQueue.model_validate_json(found[0])

    async def _write_queue(self, repository_id: str, queue: RepositoryQueue, revision: int) -> bool:
        return await self._records.write(QUEUE + repository_id, encoded(queue), revision, what="queue") is not None

    async def restore(self) -> None:
        """The broker lost its storage: put back what we remember. Whoever is first does; others find it there."""
        for key, (_, data) in self.mirror.entries.items():
            with suppress(Refused):
                await self.bus.publish(self.bus.key("jobs", key), data, after=0, what="restored")
        self._sketches.clear()
        self._lines.clear()
        self.mirror.forget()  # only now: until all is back, what we remember is all there is
        await self.mirror.list()


def is_job(key: str) -> bool:
    """Queues and schedules stand in the same bucket. A job's id has no dot."""
    return "." not in key


def load(data: bytes) -> Job | None:
    try:
        return Job.model_validate_json(data)
    except ValidationError as error:
        log.warning("job.unreadable", error=str(error)[:500])
        return None
