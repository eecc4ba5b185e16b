"""Snapshots that are unpacked on this machine, shared by every slot and service on it.

A directory is there whole or not at all: it is made beside its place and then renamed. Who uses one holds a shared lock
on the file beside it; who makes or removes one holds it alone. A process that dies lets go of either."""

import asyncio
import fcntl
import os
import secrets
import shutil
import stat
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from codestory import telemetry
from codestory.bus import LOST, Bus
from codestory.contracts.snapshots import Manifest, SnapshotKind
from codestory.snapshots.settings import CacheSettings
from codestory.snapshots.store import SnapshotStore, Spoiled
from codestory.snapshots.tape import Damaged
from codestory.snapshots.unpacking import Limits, TooMuch, unpack

log = telemetry.logger(__name__)

_LOCK, _BEGUN = ".lock", ".begun"


class SnapshotUnusable(Exception):
    """There is no such snapshot, or it cannot be unpacked here: waiting does not help."""


class SnapshotAway(Exception):
    """The snapshot cannot be had now; later may work."""


class SnapshotCache:
    def __init__(self, bus: Bus, settings: CacheSettings) -> None:
        self.store, self.settings = SnapshotStore(bus), settings

    @asynccontextmanager
    async def held(self, snapshot: str) -> AsyncGenerator[Path]:
        """The directory with its files, which stays until the block ends. Raises SnapshotUnusable, SnapshotAway."""
        try:
            lock = await self._locked(snapshot)
        except LOST as error:  # an OSError of this machine's disk too
            raise SnapshotAway(f"the snapshot {snapshot} cannot be unpacked now: {error!r}") from error
        try:
            yield self._place(snapshot)
        finally:
            os.close(lock)

    async def _locked(self, snapshot: str) -> int:
        """A shared lock on a directory that is there, which is made first if need be."""
        self._own_root()
        while True:
            if (lock := self._try(snapshot, fcntl.LOCK_SH)) is not None:
                if self._place(snapshot).is_dir():
                    os.utime(lock)
                    return lock
                os.close(lock)
                if (lock := self._try(snapshot, fcntl.LOCK_EX)) is not None:
                    try:
                        if not self._place(snapshot).is_dir():
                            await self._make(snapshot, lock)
                    finally:
                        os.close(lock)
                    continue
            await asyncio.sleep(self.settings.snapshot_lock_seconds)

    def _own_root(self) -> None:
        """In a directory that others may write to, somebody else could have made ours."""
        root = self.settings.directory
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = root.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise SnapshotUnusable(
                f"snapshots are not unpacked in {root}, which others may write to: name another directory with "
                "CODESTORY_SNAPSHOT_CACHE"
            )

    def _place(self, snapshot: str) -> Path:
        return self.settings.directory / snapshot

    def _try(self, snapshot: str, how: int) -> int | None:
        """The lock, for the caller to close; None: somebody else has it."""
        path = self._place(snapshot + _LOCK)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(OSError):
            fcntl.flock(lock, how | fcntl.LOCK_NB)
            if os.fstat(lock).st_ino == path.stat().st_ino:  # else it was removed while we opened it
                return lock
        os.close(lock)
        return None

    # making one

    async def _make(self, snapshot: str, lock: int) -> None:
        for left in self.settings.directory.glob(f"{snapshot}.*{_BEGUN}"):  # by a process that died
            await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)
        manifest = await self._manifest(snapshot)
        await asyncio.to_thread(self._evict, manifest.bytes)
        begun = self._place(f"{snapshot}.{secrets.token_hex(4)}{_BEGUN}")
        files, parts = begun / "files", begun / "parts"
        try:
            files.mkdir(parents=True)
            parts.mkdir()
            for number, sha256 in enumerate(manifest.parts):
                data = await self._part(snapshot, sha256)
                await asyncio.to_thread((parts / f"{number:06}").write_bytes, data)
            size = await self._unpacked(snapshot, parts, files)
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(size).encode(), 0)
            files.rename(self._place(snapshot))
            log.info("snapshot.unpacked", snapshot=snapshot, files=manifest.files, bytes=size)
        finally:
            await asyncio.to_thread(shutil.rmtree, begun, ignore_errors=True)

    async def _manifest(self, snapshot: str) -> Manifest:
        kept = await self.store.find(SnapshotKind.SNAPSHOT, snapshot)
        if kept is None:
            raise SnapshotUnusable(_gone(snapshot))
        try:
            manifest = await self.store.manifest(kept)
        except Spoiled as error:
            raise SnapshotUnusable(_gone(snapshot, str(error))) from error
        if manifest.bytes > self.settings.snapshot_unpacked_bytes:
            raise SnapshotUnusable(_too_large(snapshot, f"it holds {manifest.bytes:,} bytes"))
        return manifest

    async def _part(self, snapshot: str, sha256: str) -> bytes:
        kept = await self.store.find(SnapshotKind.PART, sha256)
        if kept is None:
            raise SnapshotUnusable(_gone(snapshot, f"its part {sha256} is missing"))
        try:
            return await self.store.read(kept)
        except Spoiled as error:
            raise SnapshotUnusable(_gone(snapshot, str(error))) from error

    async def _unpacked(self, snapshot: str, parts: Path, files: Path) -> int:
        """In a thread, which is told to end, and waited for, when we are."""
        ending = threading.Event()
        limits = Limits(self.settings.snapshot_unpacked_bytes, self.settings.snapshot_unpacked_files)

        def work() -> int:
            size = unpack(_each(parts), files, limits, ending=ending.is_set)
            os.sync()  # before the new name says that all is there
            return size

        working = asyncio.create_task(asyncio.to_thread(work))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            ending.set()
            await asyncio.wait({working})
            working.exception()
            raise
        except Damaged as error:
            raise SnapshotUnusable(_gone(snapshot, f"it is damaged: {error}")) from error
        except TooMuch as error:
            raise SnapshotUnusable(_too_large(snapshot, str(error))) from error

    # making room

    def _evict(self, needed: int) -> None:
        """Remove what nobody uses, the longest unused first, until so many bytes more are no more than we keep."""
        sizes = dict(self._sizes())
        left = sum(sizes.values()) + needed
        for snapshot in sorted(sizes, key=self._used_at):
            if left <= self.settings.snapshot_cache_bytes:
                return
            if (lock := self._try(snapshot, fcntl.LOCK_EX)) is None:
                continue
            try:
                gone = self._place(f"{snapshot}.{secrets.token_hex(4)}{_BEGUN}")
                with suppress(FileNotFoundError):
                    self._place(snapshot).rename(gone)
                shutil.rmtree(gone, ignore_errors=True)
                self._place(snapshot + _LOCK).unlink(missing_ok=True)
            finally:
                os.close(lock)
            left -= sizes[snapshot]
            log.info("snapshot.evicted", snapshot=snapshot, bytes=sizes[snapshot])

    def _sizes(self) -> Iterator[tuple[str, int]]:
        for path in self.settings.directory.glob(f"*{_LOCK}"):
            with suppress(OSError):
                text = path.read_text("ascii", "replace")
                yield path.name.removesuffix(_LOCK), int(text) if text.isdecimal() else 0

    def _used_at(self, snapshot: str) -> float:
        with suppress(OSError):
            return self._place(snapshot + _LOCK).stat().st_mtime
        return 0.0


def _each(parts: Path) -> Iterator[bytes]:
    for path in sorted(parts.iterdir()):
        yield path.read_bytes()
        path.unlink()


def _gone(snapshot: str, why: str = "") -> str:
    said = f" ({why})" if why else ""
    return (
        f"the snapshot {snapshot} is not there any more{said}: upload the repository again, with "
        "codestory ingest start PATH --upload, which starts a new job; one that came from a git address can be retried"
    )


def _too_large(snapshot: str, why: str) -> str:
    return (
        f"the snapshot {snapshot} is too large for this service: {why}. Name what to leave out in .codestoryignore, or "
        "raise CODESTORY_SNAPSHOT_UNPACKED_BYTES and CODESTORY_SNAPSHOT_UNPACKED_FILES"
    )
