"""Takes repositories out of the graph, each to its end, whichever orchestrator lives to see it.

The deletion stands in the record of the repository's name: as long as it does no job on it begins. Whoever works on it
says so there; another takes over from one that has not been heard of for long. Two at once do no harm, and none of them
outlives the deletion: the graph refuses whoever is older than the latest attempt."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from codestory import cancelling, telemetry
from codestory.bus import LOST, Bus
from codestory.graph import driver
from codestory.graph.errors import GraphError
from codestory.graph.model import Fence
from codestory.graph.removal import Removal
from codestory.graph.settings import GraphSettings
from codestory_orchestrator.errors import RepositoryBusy, ServiceUnavailable
from codestory_orchestrator.reconciler import Reconciler
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import Deletion, JobStore, RepositoryQueue

log = telemetry.logger(__name__)

MAX_PROBLEM = 500


class _Moved(Exception):
    """Somebody came into the line while it was looked at."""


class Deletions:
    def __init__(
        self,
        bus: Bus,
        store: JobStore,
        registry: Registry,
        reconciler: Reconciler,
        *,
        graph: GraphSettings,
        settings: OrchestratorSettings,
        me: str,
    ) -> None:
        self.bus, self.store, self.registry, self.reconciler = bus, store, registry, reconciler
        self._driver, self._graph = driver.connect(graph), graph
        self._takeover = timedelta(seconds=settings.deletion_takeover_seconds)
        self._entry_age = timedelta(seconds=settings.queue_entry_seconds)
        self._me = me
        self._work: dict[str, asyncio.Task[None]] = {}

    async def begin(self, repository_id: str, name: str, origin: str) -> None:
        """Once this returns it happens. Of one that is being deleted already, nothing more. Raises RepositoryBusy."""
        try:
            while not await self._begun(repository_id, name, origin):
                pass
        except LOST as error:
            raise ServiceUnavailable from error
        log.info("repository.deleting", repository=name)
        self._start(repository_id)

    async def mend(self) -> None:
        """Take over what nobody has been heard to work on."""
        for repository_id, deletion in self.store.deletions().items():
            if repository_id not in self._work and self.bus.now() - deletion.seen_at > self._takeover:
                log.info("repository.deletion_taken_over", repository=repository_id, worker=deletion.worker)
                self._start(repository_id)

    async def close(self) -> None:
        for work in list(self._work.values()):
            await cancelling.end(work)
        await self._driver.close()

    # to begin

    async def _begun(self, repository_id: str, name: str, origin: str) -> bool:
        """False: somebody came into the line meanwhile, so look again."""
        seen = await self.store.queue(repository_id)
        if seen and seen.deletion:
            return True
        if busy := await self._unfinished(repository_id, seen):
            raise RepositoryBusy(name, busy)
        at = self.bus.now()
        deletion = Deletion(at=at, worker=self._me, seen_at=at)

        def delete(queue: RepositoryQueue | None) -> RepositoryQueue:
            if queue and queue.deletion:
                return queue
            if (queue.entries if queue else ()) != (seen.entries if seen else ()):
                raise _Moved
            return (queue or RepositoryQueue(name=name, origin=origin)).model_copy(update={"deletion": deletion})

        try:
            await self.store.change_queue(repository_id, delete)
        except _Moved:
            return False
        return True

    async def _unfinished(self, repository_id: str, queue: RepositoryQueue | None) -> list[str]:
        """The jobs on it that have not ended: those in line, and those that are yet to stand there."""
        entries = {entry.job: entry.at for entry in queue.entries} if queue else {}
        waiting = [job.id for job in self.store.unfinished() if job.repository == repository_id]
        found: list[str] = []
        for job_id in dict.fromkeys([*entries, *waiting]):
            job = await self.store.read(job_id)
            young = job_id in entries and self.bus.now() - entries[job_id] < self._entry_age
            if (not job[0].state.ended) if job else young:  # its record may be on its way
                found.append(job_id)
        return found

    # to do it

    def _start(self, repository_id: str) -> None:
        if repository_id not in self._work:
            work = asyncio.create_task(self._delete(repository_id))
            self._work[repository_id] = work
            work.add_done_callback(lambda _: self._work.pop(repository_id, None))

    async def _delete(self, repository_id: str) -> None:
        """What goes wrong is noted, and tried again when its time to be taken over has come."""
        try:
            # Before the look at the record: no attempt that is to come can be older than this.
            fence = await self._fence()
            deletion = await self._take(repository_id)
            if deletion is None:
                return
            await self._remove(repository_id, fence)
            await self._end(repository_id, deletion)
        except LOST as error:
            log.warning("repository.deletion_interrupted", repository=repository_id, error=repr(error))
        except Exception as error:  # a bug must not leave the line on this repository held without a word
            log.error("repository.deletion_failed", repository=repository_id, exc_info=error)  # noqa: TRY400
            with suppress(*LOST):
                said = str(error) if isinstance(error, GraphError) else repr(error)
                await self._note(repository_id, problem=said[:MAX_PROBLEM])

    async def _fence(self) -> Fence:
        """Later than every attempt that has begun so far."""
        events = await self.bus.js.stream_info(self.bus.stream("EVENTS"))
        created = events.created
        return Fence(int(created.timestamp() * 1_000_000) if created else 0, events.state.last_seq)

    async def _take(self, repository_id: str) -> Deletion | None:
        """The deletion, which is ours now. None: it is over."""

        def take(queue: RepositoryQueue | None) -> RepositoryQueue | None:
            if queue is None or queue.deletion is None:
                return queue
            ours = {"worker": self._me, "seen_at": self.bus.now(), "removed": 0, "problem": ""}
            return queue.model_copy(update={"deletion": queue.deletion.model_copy(update=ours)})

        taken = await self.store.change_queue(repository_id, take)
        return taken.deletion if taken else None

    async def _remove(self, repository_id: str, fence: Fence) -> None:
        removed = 0

        def report(gone: int) -> None:
            nonlocal removed
            removed = gone

        async def tell() -> None:
            """As long as it goes on, or waits for the graph: else another would take over."""
            while not cancelling.cancelled():
                await asyncio.sleep(self._takeover.total_seconds() / 3)
                with suppress(*LOST):
                    await self._note(repository_id, removed=removed)

        telling = asyncio.create_task(tell())
        try:
            removal = Removal(self._driver, self._graph, repository_id, fence)
            gone = await removal.run(self.registry.steps, report)
        finally:
            await cancelling.end(telling)
        log.info("repository.deleted", repository=repository_id, **gone)

    async def _note(self, repository_id: str, **said: object) -> None:
        """Unless another has taken over."""

        def noted(queue: RepositoryQueue | None) -> RepositoryQueue | None:
            if queue is None or queue.deletion is None or queue.deletion.worker != self._me:
                return queue
            return queue.model_copy(
                update={"deletion": queue.deletion.model_copy(update={**said, "seen_at": self.bus.now()})}
            )

        await self.store.change_queue(repository_id, noted)

    async def _end(self, repository_id: str, deletion: Deletion) -> None:
        """The name is free again, unless somebody has come into line meanwhile, whose turn it is now."""

        def ended(queue: RepositoryQueue | None) -> RepositoryQueue | None:
            if queue is None or queue.deletion is None or queue.deletion.at != deletion.at:
                return queue
            return queue.model_copy(update={"deletion": None}) if queue.entries else None

        await self.store.change_queue(repository_id, ended)
        await self.reconciler.start_next(repository_id)
