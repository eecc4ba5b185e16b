"""Fetches what jobs ask for that lies at a git address, and lets them go on with a snapshot of it. On any replica.

A lease says who is at it, so that two do not fetch the same; safety comes from the record, which only the first to have
it changes. Whoever dies leaves nothing behind but a temporary folder: another begins anew once the lease is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from codestory import cancelling, telemetry
from codestory.bus import LOST, Bus, Refused
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.snapshots import PREFIX
from codestory.contracts.values import JobState
from codestory.snapshots.packing import Packing, Part
from codestory.step_errors import StepError
from codestory_orchestrator import control
from codestory_orchestrator.errors import IngestionError, JobNotFound, ServiceUnavailable
from codestory_orchestrator.fetching import addresses
from codestory_orchestrator.fetching.addresses import BadGitAddress, Wanted
from codestory_orchestrator.fetching.git import fetched
from codestory_orchestrator.fetching.process import FetchFailed
from codestory_orchestrator.fetching.settings import FetchSettings
from codestory_orchestrator.reconciler import Reconciler
from codestory_orchestrator.snapshots import Snapshots
from codestory_orchestrator.store import JobStore

log = telemetry.logger(__name__)

#: Rounds of storing, where parts expire while others are stored.
ROUNDS = 3


class Fetcher:
    def __init__(
        self,
        bus: Bus,
        store: JobStore,
        snapshots: Snapshots,
        reconciler: Reconciler,
        settings: FetchSettings,
        *,
        me: str,
    ) -> None:
        self.bus, self.store, self.snapshots, self.reconciler = bus, store, snapshots, reconciler
        self.settings, self.me = settings, me
        self._news = asyncio.Event()
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def ring(self) -> None:
        """There is something to fetch."""
        self._news.set()

    async def close(self) -> None:
        await cancelling.end(*self._under_way.values())

    async def fetch_due(self) -> None:
        """One round."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.fetch_seconds):
                await self._news.wait()
        self._news.clear()
        for waiting in self.store.unfinished():
            if len(self._under_way) >= self.settings.fetch_parallel:
                return
            if waiting.state is not JobState.PENDING or waiting.eligible or waiting.id in self._under_way:
                continue
            found = await self.store.read(waiting.id, fresh=False)
            if found and control.wants_fetching(found[0], self.bus.now()):
                self._begin(found[0].id)

    def _begin(self, job_id: str) -> None:
        task = asyncio.create_task(self._survive(job_id))
        self._under_way[job_id] = task

        def over(_: asyncio.Task[None]) -> None:
            self._under_way.pop(job_id, None)
            self.ring()  # there is room for another

        task.add_done_callback(over)

    async def _survive(self, job_id: str) -> None:
        """What is interrupted is begun anew, by whoever is first."""
        try:
            lease = await self._take(job_id)
            if not lease:
                return
            try:
                await self._fetch(job_id, lease)
            finally:
                with suppress(*LOST):
                    await self.bus.purge("KV_lease", self._lease(job_id))
        except LOST as error:
            log.warning("fetch.interrupted", job_id=job_id, error=repr(error))
        except JobNotFound:
            pass

    async def _fetch(self, job_id: str, lease: int) -> None:
        found = await self.store.read(job_id)
        if not found or not control.wants_fetching(found[0], self.bus.now()):
            return
        job, began = found[0], self.bus.now()
        doing = asyncio.create_task(self._outcome(job))
        watching = asyncio.create_task(self._until_moot(job, lease))
        try:
            await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
            outcome = doing.result() if doing.done() else None
        finally:
            await cancelling.end(doing, watching)
        if outcome is not None:
            problem = str(outcome) if isinstance(outcome, FetchFailed) else ""
            telemetry.fetched(job_id, job.traceparent, began=began, until=self.bus.now(), problem=problem)
        if outcome is None:
            log.info("fetch.moot", job_id=job_id)
        elif isinstance(outcome, FetchFailed):
            await self._failed(job, outcome)
        else:
            await self._done(job, *outcome)

    async def _outcome(self, job: Job) -> tuple[str, str] | FetchFailed:
        """The snapshot, and the commit that it holds."""
        source = job.source
        assert source
        try:
            address = addresses.parse(source.url)
            wanted = Wanted(address, source.ref, source.credential, source.submodules)
            addresses.check(wanted, self.settings, owner=job.owner)
            async with fetched(wanted, self.settings) as found:
                snapshot = await self._stored(job.repository, found.directory)
                log.info("fetch.stored", job_id=job.id, snapshot=snapshot, submodules=found.submodules)
                return snapshot, found.commit
        except FetchFailed as error:
            return error
        except BadGitAddress as error:
            return FetchFailed(f"the git address {error}")
        except StepError as error:
            return FetchFailed(str(error))
        except ServiceUnavailable as error:
            return FetchFailed(str(error), passing=True)
        except IngestionError as error:
            return FetchFailed(str(error))
        except LOST:
            raise
        except Exception as error:  # a bug must not fetch for ever, nor end the jobs of others
            log.error("fetch.broken", job_id=job.id, exc_info=error)  # noqa: TRY400 - our logger has no other way
            return FetchFailed("something went wrong in the service; its log has the details", passing=True)

    async def _stored(self, repository: Repository, directory: Path) -> str:
        for left in reversed(range(ROUNDS)):
            packing = await asyncio.to_thread(Packing, repository, directory)
            with packing:
                parts = packing.parts()
                while part := await asyncio.to_thread(next, parts, None):
                    await self.snapshots.put_part(part.sha256, _once(part))
                manifest = packing.manifest()
            snapshot = sha256(manifest).hexdigest()
            try:
                await self.snapshots.put_manifest(snapshot, manifest)
                return snapshot
            except IngestionError as error:
                if not left or error.status != 409:  # parts have expired meanwhile: store them again
                    raise
        raise AssertionError("the last round returns or raises")

    async def _until_moot(self, job: Job, lease: int) -> None:
        """Until nobody wants it any more, or another may think that we are gone."""
        changed = asyncio.Event()
        watchers = self.store.watchers.setdefault(job.id, set())
        watchers.add(changed.set)
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.settings.fetch_lease_seconds / 3):
                        await changed.wait()
                changed.clear()
                found = await self.store.read(job.id, fresh=False)
                if not found or found[0].run != job.run or found[0].state is not JobState.PENDING:
                    return
                try:
                    lease = await self._renew(job.id, lease)
                except Refused:
                    return
        finally:
            watchers.discard(changed.set)
            if not watchers:
                self.store.watchers.pop(job.id, None)

    async def _done(self, job: Job, snapshot: str, commit: str) -> None:
        after = await self.store.change(job.id, lambda now: control.fetched(now, job.run, PREFIX + snapshot, commit))
        log.info("fetch.done", job_id=job.id, commit=commit, snapshot=snapshot)
        await self.reconciler.ready(after)

    async def _failed(self, job: Job, error: FetchFailed) -> None:
        settings, at = self.settings, self.bus.now()
        after = await self.store.change(
            job.id,
            lambda now: control.fetch_failed(
                now,
                job.run,
                str(error),
                at,
                back_off_seconds=settings.fetch_back_off_seconds,
                retries=settings.fetch_retries if error.passing else 0,
            ),
        )
        log.warning("fetch.failed", job_id=job.id, error=str(error), passing=error.passing, state=after.state)
        if after.state.ended:
            await self.reconciler.finish(after)

    # the lease: the server forgets it when its holder is gone

    def _lease(self, job_id: str) -> str:
        return self.bus.key("lease", f"fetch.{job_id}")

    async def _take(self, job_id: str) -> int:
        """Its sequence; 0: another has it."""
        held = await self.bus.last("KV_lease", self._lease(job_id))
        if held and held.data:
            return 0
        with suppress(Refused):
            return await self._renew(job_id, held.sequence if held else 0)
        return 0

    async def _renew(self, job_id: str, lease: int) -> int:
        headers = {"Nats-TTL": f"{self.settings.fetch_lease_seconds}s"}
        return await self.bus.publish(
            self._lease(job_id), self.me.encode(), after=lease, headers=headers, what="fetch_lease"
        )


async def _once(part: Part) -> AsyncIterator[bytes]:
    yield part.data
