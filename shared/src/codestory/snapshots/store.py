"""The object store `snapshots`: parts and manifests by the hash of their content. In the form that `nats object` reads.

An object appears only once all of it is stored and its hash is right. Its chunks lie under a name of its own until
then, so that two who store the same one do not mix; what a crash leaves of them `collect` finds."""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import nats.js.errors

from codestory.bus import LOST, Bus, BusLost, Refused, Stored
from codestory.contracts.snapshots import Manifest, SnapshotKind

#: As the bus names the stream behind the store.
STREAM = "OBJ_snapshots"
#: Of one message. The server's default takes one of 1 MB.
CHUNK = 512 * 1024
_ROLLUP = {"Nats-Rollup": "sub"}
_FOLDERS = {SnapshotKind.PART: "parts", SnapshotKind.SNAPSHOT: "manifests"}


class StoreFull(Exception):
    """The store has no room."""


class WrongHash(Exception):
    """The content is not what its name says."""


class Spoiled(Exception):
    """What is stored cannot be read, or is not what was stored."""


@dataclass(frozen=True)
class Kept:
    """An object that is stored."""

    sha256: str
    kind: SnapshotKind
    size: int
    chunks: int
    #: Under which name its chunks lie.
    nuid: str
    #: When it was stored, or last asked for.
    at: datetime
    #: Of the message that says all this.
    sequence: int


class SnapshotStore:
    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    @property
    def _bucket(self) -> str:
        return self.bus.stream("snapshots")

    def _meta(self, kind: SnapshotKind, sha256: str) -> str:
        name = base64.urlsafe_b64encode(_name(kind, sha256).encode()).decode()
        return f"$O.{self._bucket}.M.{name}"

    def _chunks(self, nuid: str) -> str:
        return f"$O.{self._bucket}.C.{nuid}"

    # looking

    async def find(self, kind: SnapshotKind, sha256: str) -> Kept | None:
        stored = await self.bus.last(STREAM, self._meta(kind, sha256))
        return _kept(stored) if stored else None

    async def all(self) -> list[Kept]:
        """Every object. One request for each: for now and then."""
        found = [
            await self.bus.last(STREAM, subject)
            for subject in await self.bus.subjects(STREAM, f"$O.{self._bucket}.M.*")
        ]
        return [kept for stored in found if stored and (kept := _kept(stored))]

    # writing

    async def put(self, kind: SnapshotKind, sha256: str, blocks: AsyncIterator[bytes]) -> bool:
        """Store what comes, as it comes; False if it is there already. Raises WrongHash and StoreFull, and then
        nothing of it is kept, nor if `blocks` breaks off."""
        nuid = secrets.token_hex(11)
        hashed, size, chunks = hashlib.sha256(), 0, 0
        try:
            async for chunk in _rechunked(blocks, min(CHUNK, self.bus.nc.max_payload // 2)):
                await self.bus.publish(self._chunks(nuid), chunk, what="snapshot_chunk")
                hashed.update(chunk)
                size, chunks = size + len(chunk), chunks + 1
            _require(hashed.hexdigest() == sha256)
            kept = Kept(sha256, kind, size, chunks, nuid, self.bus.now(), 0)
            if await self._appear(kept):
                return True
            await self._drop(nuid)
        except Refused as error:
            await self._drop(nuid)
            raise StoreFull from error
        except BaseException:
            await asyncio.shield(self._drop(nuid))
            raise
        return False

    async def _appear(self, kept: Kept) -> bool:
        """False: another has stored the same meanwhile."""
        subject = self._meta(kept.kind, kept.sha256)
        for _ in range(10):
            stored = await self.bus.last(STREAM, subject)
            if stored and (there := _kept(stored)):
                return there.nuid == kept.nuid  # ours, if it had landed and only the answer was lost
            try:
                after = stored.sequence if stored else 0
                await self.bus.publish(subject, self._said(kept), after=after, headers=_ROLLUP, what="snapshot")
                return True
            except Refused as error:
                if not error.outrun:
                    raise
        raise BusLost(f"the snapshot {kept.sha256} does not hold still")

    def _said(self, kept: Kept, *, deleted: bool = False) -> bytes:
        digest = base64.urlsafe_b64encode(bytes.fromhex(kept.sha256)).decode()
        said: dict[str, object] = {
            "name": _name(kept.kind, kept.sha256),
            "bucket": self._bucket,
            "nuid": kept.nuid,
            "size": kept.size,
            "chunks": kept.chunks,
            "digest": f"SHA-256={digest}",
            "mtime": kept.at.isoformat(),
            "options": {"max_chunk_size": CHUNK},
        }
        return json.dumps(said | ({"deleted": True} if deleted else {})).encode()

    async def touch(self, kept: Kept) -> bool:
        """It is wanted now, and counts as new. False: it has gone, or somebody else has touched it at this moment."""
        subject = self._meta(kept.kind, kept.sha256)
        with suppress(Refused):
            await self.bus.publish(
                subject, self._said(kept), after=kept.sequence, headers=_ROLLUP, what="snapshot_touched"
            )
            return True
        return False

    async def remove(self, kept: Kept) -> bool:
        """Unless it has been asked for since. First it is said to be gone, then it goes."""
        subject = self._meta(kept.kind, kept.sha256)
        with suppress(Refused):
            said = self._said(kept, deleted=True)
            await self.bus.publish(subject, said, after=kept.sequence, headers=_ROLLUP, what="snapshot_removed")
            await self._drop(kept.nuid)
            return True
        return False

    async def collect(self, older_than: timedelta) -> int:
        """Drop the chunks that belong to no object, as a crash leaves them. How many objects these would have been."""
        prefix = self._chunks("")
        begun = {s.removeprefix(prefix) for s in await self.bus.subjects(STREAM, self._chunks("*"))}
        whole = {kept.nuid for kept in await self.all()}
        dropped = 0
        for nuid in begun - whole:
            last = await self.bus.last(STREAM, self._chunks(nuid))
            if last and self.bus.now() - last.at > older_than:
                await self._drop(nuid)
                dropped += 1
        return dropped

    async def _drop(self, nuid: str) -> None:
        with suppress(*LOST):  # left behind, they are found later
            await self.bus.js.purge_stream(self.bus.stream(STREAM), subject=self._chunks(nuid))

    # reading

    async def read(self, kept: Kept) -> bytes:
        """All of it. A part is a few MB at most, a manifest less. Raises Spoiled."""
        content, sequence = bytearray(), 0
        for _ in range(kept.chunks):
            chunk = await self._chunk(kept.nuid, sequence + 1)
            content += chunk.data
            sequence = chunk.sequence
            if len(content) > kept.size:
                break
        if hashlib.sha256(content).hexdigest() != kept.sha256:
            raise Spoiled(f"the object {_name(kept.kind, kept.sha256)} is not what its name says")
        return bytes(content)

    async def manifest(self, kept: Kept) -> Manifest:
        try:
            return Manifest.model_validate_json(await self.read(kept))
        except ValueError as error:
            raise Spoiled(f"the manifest {kept.sha256} cannot be read: {error}") from error

    async def _chunk(self, nuid: str, since: int) -> Stored:
        """The next chunk from a sequence on. A replica may know of it a little later than who stored it."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.bus.settings.nats_patience_seconds
        stream, subject = self.bus.stream(STREAM), self._chunks(nuid)
        missing: Exception | None = None
        while clock() < deadline:
            try:
                msg = await self.bus.js.get_msg(stream, seq=since, subject=subject, next=True, direct=True)
                return Stored(subject, msg.seq or 0, msg.data or b"")
            except nats.js.errors.NotFoundError as error:
                if missing:
                    raise Spoiled(f"a chunk of {subject} is missing") from error
                missing = error
                await asyncio.sleep(self.bus.settings.nats_reconnect_seconds)
            except LOST:
                await asyncio.sleep(self.bus.settings.nats_reconnect_seconds)
        raise BusLost(f"{STREAM} does not answer")


def _require(right: bool) -> None:
    if not right:
        raise WrongHash


def _name(kind: SnapshotKind, sha256: str) -> str:
    return f"{_FOLDERS[kind]}/{sha256}"


def _kept(stored: Stored) -> Kept | None:
    """None: it is said to be gone, or was not written by us."""
    said = stored.body
    match said:
        case {"name": str(name), "nuid": str(nuid), "size": int(size), "chunks": int(chunks)} if not said.get(
            "deleted"
        ):
            folder, _, sha256 = name.partition("/")
            kind = next((kind for kind, known in _FOLDERS.items() if known == folder), None)
            return Kept(sha256, kind, size, chunks, nuid, stored.at, stored.sequence) if kind else None
        case _:
            return None


async def _rechunked(blocks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    held = bytearray()
    async for block in blocks:
        held += block
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)
