"""A repository that travels: a manifest, and the parts of one archive."""

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


class SnapshotView(Value):
    """Something that is stored. `size`: in bytes, as it was sent."""

    sha256: Sha256
    kind: SnapshotKind
    size: int


def snapshot_id(repository: str) -> str:
    """The id in `snapshot:<id>`; empty if this names no snapshot."""
    return repository.removeprefix(PREFIX) if repository.startswith(PREFIX) else ""
