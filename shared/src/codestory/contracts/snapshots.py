"""A repository that travels: a manifest, and the parts of one archive."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from codestory.contracts.values import Value

#: How a repository is named whose files are a snapshot: `snapshot:<id>`.
PREFIX = "snapshot:"
#: What a part is sent as. A manifest is sent as JSON.
PART_TYPE = "application/octet-stream"

#: The name of all that is stored: the hash of its content.
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class LeftOut(Value):
    """A file that could not be packed, and why."""

    path: Annotated[str, Field(max_length=4096)]
    reason: Annotated[str, Field(max_length=300)]


class Manifest(Value):
    """What a snapshot holds. Its own sha256 is the snapshot's id.

    The parts, one after the other, are a gzip'd tar of the files that are not ignored, and of as much of `.git` as
    says what is checked out."""

    version: Literal[1] = 1
    #: Of the repository, as in `Repository`; whoever starts a job may give it another.
    name: Annotated[str, Field(min_length=1, max_length=300)]
    #: The git remote without credentials, or empty.
    url: Annotated[str, Field(max_length=2000)] = ""
    #: What the name is bound to if there is no remote.
    origin: Annotated[str, Field(max_length=300)] = ""
    branch: Annotated[str, Field(max_length=1000)] = ""
    commit: Annotated[str, Field(max_length=64)] = ""
    #: Of the files: how many, and their bytes before they were packed.
    files: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]
    parts: Annotated[tuple[Sha256, ...], Field(min_length=1, max_length=10_000)]
    #: The first of the files that are missing, and how many there are.
    left_out: Annotated[tuple[LeftOut, ...], Field(max_length=100)] = ()
    left_out_count: Annotated[int, Field(ge=0)] = 0


class SnapshotKind(StrEnum):
    PART = "part"
    SNAPSHOT = "snapshot"  # its manifest, and with it all its parts


class KeptSnapshot(Value):
    """A snapshot in the store, as its manifest says, and what is known of it beside."""

    sha256: Sha256
    name: str = ""
    url: str = ""
    commit: str = ""
    #: Of the files, before they were packed; and of the packed parts, some of which other snapshots may share.
    files: int = 0
    bytes: int = 0
    packed_bytes: int = 0
    #: When it was stored, or a job last asked for it.
    used_at: datetime
    #: Jobs that have not ended and need it.
    jobs: tuple[str, ...] = ()
    #: Why its manifest cannot be read.
    problem: str = ""


class SnapshotList(Value):
    """The snapshots that are kept, the last used first. `used_bytes`: of the whole store, parts of broken-off uploads
    too; `max_bytes`: what it may be, -1: as much as the disk takes."""

    snapshots: tuple[KeptSnapshot, ...]
    total: int
    used_bytes: int
    max_bytes: int


class SnapshotDeleted(Value):
    """`freed_bytes`: of parts that no other snapshot has. Those that were sent in the last minutes go in time."""

    deleted: Sha256
    freed_bytes: int


class SnapshotView(Value):
    """Something that is stored. `size`: in bytes, as it was sent."""

    sha256: Sha256
    kind: SnapshotKind
    size: int


def snapshot_id(repository: str) -> str:
    """The id in `snapshot:<id>`; empty if this names no snapshot."""
    return repository.removeprefix(PREFIX) if repository.startswith(PREFIX) else ""
