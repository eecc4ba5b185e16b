"""Uploaded repositories: taken in, looked up for jobs, and let go of when nobody has needed them for long."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta

from pydantic import ValidationError

from codestory import repository_identity, telemetry
from codestory.bus import LOST, Bus
from codestory.contracts.jobs import Repository
from codestory.contracts.snapshots import PREFIX, Manifest, SnapshotKind, SnapshotView, snapshot_id
from codestory.snapshots.store import Kept, SnapshotStore, Spoiled, StoreFull, WrongHash
from codestory_orchestrator.errors import (
    HashMismatch,
    ManifestInvalid,
    PartsMissing,
    RepositoryRefused,
    ServiceUnavailable,
    SnapshotNotFound,
    SnapshotsFull,
    UnknownSnapshot,
)
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore, is_job, load

log = telemetry.logger(__name__)

#: Chunks of an upload that was broken off are older than this once nobody sends more of it.
BROKEN_OFF = timedelta(hours=1)
#: In the record of a job whose files are a snapshot.
_NAMED = PREFIX.encode()


class Snapshots:
    def __init__(self, bus: Bus, jobs: JobStore, settings: OrchestratorSettings) -> None:
        self.bus, self.jobs, self.settings = bus, jobs, settings
        self.store = SnapshotStore(bus)

    # what the API asks

    async def show(self, sha256: str) -> SnapshotView:
        try:
            for kind in SnapshotKind:
                if kept := await self.store.find(kind, sha256):
                    return _view(kept)
        except LOST as error:
            raise ServiceUnavailable from error
        raise SnapshotNotFound(sha256)

    async def put_part(self, sha256: str, blocks: AsyncIterable[bytes]) -> tuple[SnapshotView, bool]:
        """What is stored now, and whether it is new. Nothing is kept of what breaks off or is something else."""
        return await self._put(SnapshotKind.PART, sha256, blocks)

    async def put_manifest(self, sha256: str, body: bytes) -> tuple[SnapshotView, bool]:
        """With this the snapshot is there. Its parts must be before."""
        try:
            manifest = Manifest.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ManifestInvalid(".".join(map(str, first["loc"])), first["msg"]) from error
        try:
            await self._require(manifest)
        except LOST as error:
            raise ServiceUnavailable from error
        return await self._put(SnapshotKind.SNAPSHOT, sha256, _once(body))

    async def _put(self, kind: SnapshotKind, sha256: str, blocks: AsyncIterable[bytes]) -> tuple[SnapshotView, bool]:
        try:
            if kept := await self.store.find(kind, sha256):
                await self._touch(kept)
                return _view(kept), False
            try:
                new = await self.store.put(kind, sha256, aiter(blocks))
            except StoreFull as error:
                raise SnapshotsFull(self.settings.snapshots_max_bytes) from error
            except WrongHash as error:
                raise HashMismatch(sha256) from error
            if (kept := await self.store.find(kind, sha256)) is None:
                raise ServiceUnavailable
        except LOST as error:
            raise ServiceUnavailable from error
        log.info("snapshot.stored", kind=kind, sha256=sha256, bytes=kept.size)
        return _view(kept), new

    async def _require(self, manifest: Manifest) -> None:
        """All parts are there, and stay until the manifest is there: they count as new from now on."""
        missing: list[str] = []
        for sha256 in dict.fromkeys(manifest.parts):
            kept = await self.store.find(SnapshotKind.PART, sha256)
            if kept is None or not await self._touch(kept, always=True):
                missing.append(sha256)
        if missing:
            raise PartsMissing(missing)

    async def _touch(self, kept: Kept, *, always: bool = False) -> bool:
        """Unless it would stay for long anyway. False: it has gone at this moment."""
        stays = kept.at > self._expiry(self.settings.snapshots_max_age_seconds / 2)
        if (stays and not always) or await self.store.touch(kept):
            return True
        again = await self.store.find(kept.kind, kept.sha256)  # somebody else may have touched it
        return again is not None

    # what a job asks

    async def repository(self, named: str, name: str | None) -> Repository:
        """The repository that a snapshot holds, kept from now on for as long as one that is new."""
        sha256 = snapshot_id(named)
        try:
            kept = await self.store.find(SnapshotKind.SNAPSHOT, sha256)
            if kept is None or not await self._touch(kept):
                raise UnknownSnapshot(sha256)
            manifest = await self.store.manifest(kept)
        except Spoiled as error:
            raise UnknownSnapshot(sha256) from error
        except LOST as error:
            raise ServiceUnavailable from error
        try:
            chosen, url = repository_identity.stated(name or manifest.name, url=manifest.url)
        except repository_identity.RepositoryError as error:
            raise RepositoryRefused(f"The snapshot's repository: {error}.") from error
        return Repository(
            id=repository_identity.repository_id(chosen),
            name=chosen,
            path=named,
            url=url,
            origin="" if url else manifest.origin or named,
        )

    async def gone(self, job_id: str) -> bool:
        """What was fetched for the job is not kept any more. If it is, it is kept for long from now on."""
        found = await self.jobs.read(job_id)
        if not found or not found[0].source or not found[0].source.commit:
            return False
        kept = await self.store.find(SnapshotKind.SNAPSHOT, snapshot_id(found[0].repository.path))
        return kept is None or not await self._touch(kept)

    # letting go

    async def forget_old(self) -> None:
        """One round. What an unfinished job needs stays, however old; what is asked for meanwhile stays too."""
        await asyncio.sleep(self.settings.snapshots_sweep_seconds)
        await self.sweep()

    async def sweep(self) -> None:
        old = self._expiry(self.settings.snapshots_max_age_seconds)
        for kept in await self.store.all():
            if kept.kind is SnapshotKind.SNAPSHOT and kept.at < old and kept.sha256 not in self.needed():
                await self._remove(kept)
        now = await self.store.all()  # anew: a manifest that came meanwhile found its parts and made them new
        used = await self.parts_of(now)
        for kept in now:
            if kept.kind is SnapshotKind.PART and kept.at < old and kept.sha256 not in used:
                await self._remove(kept)
        if dropped := await self.store.collect(BROKEN_OFF):
            log.info("snapshot.leftovers", dropped=dropped)

    async def _remove(self, kept: Kept) -> None:
        if await self.store.remove(kept):
            log.info("snapshot.forgotten", kind=kept.kind, sha256=kept.sha256)

    async def parts_of(self, snapshots: list[Kept]) -> set[str]:
        """What is needed of the parts."""
        used: set[str] = set()
        for kept in snapshots:
            if kept.kind is SnapshotKind.SNAPSHOT:
                with suppress(Spoiled):
                    used.update((await self.store.manifest(kept)).parts)
        return used

    def needed(self) -> dict[str, list[str]]:
        """The snapshots of jobs that have not ended, with these jobs, as far as this process has heard."""
        found: dict[str, list[str]] = {}
        for key, (_, data) in self.jobs.mirror.entries.items():
            if is_job(key) and _NAMED in data and (job := load(data)) and not job.state.ended:
                found.setdefault(snapshot_id(job.repository.path), []).append(job.id)
        return found

    def _expiry(self, seconds: float) -> datetime:
        return self.bus.now() - timedelta(seconds=seconds)


def _view(kept: Kept) -> SnapshotView:
    return SnapshotView(sha256=kept.sha256, kind=kept.kind, size=kept.size)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
