"""Unpacks the archive of a stranger into an empty directory: never outside it, never more than it may be.

Links are made last, when nothing is written any more, so that no file can be led through one."""

import errno
import os
import posixpath
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from codestory.snapshots import tape
from codestory.snapshots.tape import Damaged, Member

#: Taken out of the compression at once.
STEP = 256 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_INFLATE_GZIP = 31

Made = TypeVar("Made")


class TooMuch(Exception):
    """The archive holds more than it may."""


@dataclass(frozen=True, slots=True)
class Limits:
    #: Of all that is unpacked.
    bytes: int
    #: Directories, files and links.
    entries: int
    #: Directories one in the other.
    depth: int = 5_000


def unpack(parts: Iterable[bytes], target: Path, limits: Limits, *, ending: Callable[[], bool] = lambda: False) -> int:
    """Bytes of what is now in `target`, which is empty before. Raises Damaged, TooMuch and OSError.

    `ending`: asked often; InterruptedError once it says so."""
    unpacking = _Unpacking(target, limits, ending)
    unpacking.take(parts)
    return unpacking.size


class _Unpacking:
    def __init__(self, target: Path, limits: Limits, ending: Callable[[], bool]) -> None:
        self._root = os.fsencode(target)
        self._limits, self._ending = limits, ending
        self._entries = 0
        self._directories = {b""}
        self._links: list[Member] = []
        self.size = 0

    def take(self, parts: Iterable[bytes]) -> None:
        reader = tape.Reader(_inflated(parts))
        for member in reader.members():
            self._go_on()
            names = self._names(member)
            if member.kind == tape.DIRECTORY:
                self._directory(names)
                continue
            self._count()
            self._directory(names[:-1])
            if member.kind == tape.LINK:
                self._links.append(member)
            else:
                self._file(member, names, reader)
        for member in self._links:
            self._link(member)

    def _names(self, member: Member) -> list[bytes]:
        names = member.path.rstrip(b"/").split(b"/")
        if not {b"", b".", b".."}.isdisjoint(names) or b"\0" in member.path:
            raise Damaged(f"the path {_shown(member.path)} leads out of it")
        if len(names) > self._limits.depth + 1:
            raise TooMuch(f"a path in it is more than {self._limits.depth:,} directories deep")
        return names

    def _directory(self, names: list[bytes]) -> None:
        """With those above it. Nothing but our own directories can stand in the way: links are not there yet."""
        for end in range(1, len(names) + 1):
            path = b"/".join(names[:end])
            if path not in self._directories:
                self._count()
                self._make(os.mkdir, path)
                self._directories.add(path)

    def _file(self, member: Member, names: list[bytes], reader: tape.Reader) -> None:
        self.size += member.size
        if self.size > self._limits.bytes:
            raise TooMuch(f"it holds more than {self._limits.bytes:,} bytes")
        path = b"/".join(names)
        descriptor = self._make(_create, path)
        with os.fdopen(descriptor, "wb") as file:
            for block in reader.content(member):
                self._go_on()
                file.write(block)

    def _link(self, member: Member) -> None:
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(member.path), member.link))
        leads_out = member.link.startswith(b"/") or inside == b".." or inside.startswith(b"../")
        if not member.link or (leads_out and member.link != tape.OUTSIDE):
            raise Damaged(f"the link {_shown(member.path)} leads out of it")
        self._make(partial(os.symlink, member.link), member.path)

    def _make(self, make: Callable[[bytes], Made], path: bytes) -> Made:
        try:
            return make(self._root + b"/" + path)
        except (FileExistsError, NotADirectoryError) as error:
            raise Damaged(f"it holds {_shown(path)} twice") from error
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise TooMuch("a path in it is longer than this machine takes") from error
            raise

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise TooMuch(f"it holds more than {self._limits.entries:,} files and directories")

    def _go_on(self) -> None:
        if self._ending():
            raise InterruptedError


def _inflated(parts: Iterable[bytes]) -> Iterator[bytes]:
    """A little at a time, however much a part grows."""
    for part in parts:
        inflate = zlib.decompressobj(_INFLATE_GZIP)
        left = part
        try:
            while not inflate.eof:
                if data := inflate.decompress(left, STEP):
                    yield data
                left = inflate.unconsumed_tail
                if not data and not left and not inflate.eof:
                    raise Damaged("a part of it ends too early")
        except zlib.error as error:
            raise Damaged(f"a part of it cannot be read: {error}") from error
        if inflate.unused_data:
            raise Damaged("a part of it goes on behind its end")


def _create(path: bytes) -> int:
    return os.open(path, _NEW, 0o644)


def _shown(path: bytes) -> str:
    return repr(path[:200])
