"""What operators are told of the store of snapshots, and what they delete of it before its time."""

from datetime import timedelta

from codestory import telemetry
from codestory.bus import LOST, BusLost
from codestory.contracts.snapshots import KeptSnapshot, SnapshotDeleted, SnapshotKind, SnapshotList
from codestory.snapshots.store import STREAM, Kept, Spoiled
from codestory_orchestrator.errors import RepositoryBusy, ServiceUnavailable, SnapshotNotFound
from codestory_orchestrator.records import TRIES
from codestory_orchestrator.snapshots import Snapshots

log = telemetry.logger(__name__)

#: A manifest is stored within this after its parts were found and made new. Younger ones may be of one that comes.
SETTLED = timedelta(minutes=5)
MAX_PROBLEM = 300


class SnapshotKeeping:
    def __init__(self, snapshots: Snapshots, settled: timedelta = SETTLED) -> None:
        self._snapshots, self._store, self._bus = snapshots, snapshots.store, snapshots.bus
        self._settled = settled

    async def list_snapshots(self, limit: int) -> SnapshotList:
        """The last used first."""
        try:
            needed = await self._needed()
            kept = await self._store.all()
            sizes = {each.sha256: each.size for each in kept if each.kind is SnapshotKind.PART}
            there = [each for each in kept if each.kind is SnapshotKind.SNAPSHOT]
            there.sort(key=lambda each: (each.at, each.sha256), reverse=True)
            shown = [await self._view(each, sizes, needed.get(each.sha256, [])) for each in there[:limit]]
            stream = await self._bus.js.stream_info(self._bus.stream(STREAM))
        except LOST as error:
            raise ServiceUnavailable from error
        return SnapshotList(
            snapshots=tuple(shown),
            total=len(there),
            used_bytes=stream.state.bytes,
            max_bytes=stream.config.max_bytes or -1,
        )

    async def delete(self, sha256: str) -> SnapshotDeleted:
        """With the parts that no other has. Raises SnapshotNotFound, and RepositoryBusy while a job needs it."""
        try:
            return await self._delete(sha256)
        except LOST as error:
            raise ServiceUnavailable from error

    async def _delete(self, sha256: str) -> SnapshotDeleted:
        for _ in range(TRIES):
            if jobs := (await self._needed()).get(sha256):
                raise RepositoryBusy(f"snapshot:{sha256}", jobs)
            kept = await self._store.find(SnapshotKind.SNAPSHOT, sha256)
            if kept is None:
                raise SnapshotNotFound(sha256)
            parts = await self._parts(kept)  # as they are before it goes: whoever needs them anew makes them new
            if await self._store.remove(kept):
                freed = await self._free(parts)
                log.info("snapshot.deleted", sha256=sha256, freed_bytes=freed)
                return SnapshotDeleted(deleted=sha256, freed_bytes=freed)
        raise BusLost(f"the snapshot {sha256} does not hold still")

    async def _parts(self, kept: Kept) -> list[Kept]:
        try:
            manifest = await self._store.manifest(kept)
        except Spoiled:
            return []
        found = [await self._store.find(SnapshotKind.PART, part) for part in dict.fromkeys(manifest.parts)]
        return [part for part in found if part]

    async def _free(self, parts: list[Kept]) -> int:
        used = await self._snapshots.parts_of(await self._store.all())
        settled = self._bus.now() - self._settled
        freed = 0
        for part in parts:
            if part.sha256 not in used and part.at < settled and await self._store.remove(part):
                freed += part.size
        return freed

    async def _needed(self) -> dict[str, list[str]]:
        """By whichever orchestrator the jobs were made."""
        await self._snapshots.jobs.mirror.catch_up()
        return self._snapshots.needed()

    async def _view(self, kept: Kept, sizes: dict[str, int], jobs: list[str]) -> KeptSnapshot:
        try:
            manifest = await self._store.manifest(kept)
        except Spoiled as error:
            said = str(error)[:MAX_PROBLEM]
            return KeptSnapshot(sha256=kept.sha256, used_at=kept.at, jobs=tuple(jobs), problem=said)
        return KeptSnapshot(
            sha256=kept.sha256,
            name=manifest.name,
            url=manifest.url,
            commit=manifest.commit,
            files=manifest.files,
            bytes=manifest.bytes,
            packed_bytes=sum(sizes.get(part, 0) for part in set(manifest.parts)),
            used_at=kept.at,
            jobs=tuple(jobs),
        )
