"""The one place that opens anything in a repository: name by name from its root, following no symbolic link.

Opening by a whole path would let the kernel follow a link that was put there a moment ago. So each directory is opened
by its name alone in the one above it, with O_NOFOLLOW, and only a regular file is opened at all.
"""

import errno
import os
import stat
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.files import paths
from codestory.step_errors import RepositoryUnavailable, Unreadable

#: Read at once. Larger blocks hash no quicker.
BLOCK = 1 << 18

#: Directories kept open, the deepest ones. A walk goes back a few levels at a time; deeper trees are opened anew.
KEPT_OPEN = 64

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: O_NONBLOCK: should a FIFO have taken the file's place since, opening it does not wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

NOT_IN_REPOSITORY = "not a path in the repository"
NOT_A_FILE = "not a regular file"
NOT_A_DIRECTORY = "not a directory"
SYMBOLIC_LINK = "symbolic link"
VANISHED = "vanished before it could be read"
CHANGED = "changed while it was read"

_REASONS = {
    errno.ENOENT: VANISHED,
    errno.ESTALE: VANISHED,
    errno.ELOOP: SYMBOLIC_LINK,
    errno.ENOTDIR: NOT_A_DIRECTORY,
    errno.ENXIO: NOT_A_FILE,
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENAMETOOLONG: "name too long",
    errno.EMFILE: "too many open files",
}


class FileSettings(BaseSettings):
    """What bounds the reading of one repository."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_")

    #: A larger file is skipped.
    max_file_bytes: PositiveInt = 10_000_000
    #: Files and directories of a repository that are not ignored; more are refused, not cut off.
    max_files: PositiveInt = 1_000_000
    #: What lies in a directory deeper than this is skipped.
    max_depth: PositiveInt = 5_000
    #: What lies in a directory with a longer path is skipped. No program can open such a path by its name (PATH_MAX).
    max_path_bytes: PositiveInt = 4_096


def names_of(path: str) -> tuple[bytes, ...]:
    """The names of a graph path. Unreadable if it leads out of the repository or is no path of the graph."""
    if path == paths.ROOT:
        return ()
    try:
        names = tuple(paths.unescape(path).split(b"/"))
    except ValueError as error:
        raise Unreadable(path, NOT_IN_REPOSITORY) from error
    if not {b"", b".", b".."}.isdisjoint(names):
        raise Unreadable(path, NOT_IN_REPOSITORY)
    return names


def reason_of(error: OSError) -> str:
    return _REASONS.get(error.errno or 0) or os.strerror(error.errno or errno.EIO).lower()


class ConfinedDirectory:
    """The directory `root` and what is below it. Keeps the way to where it was last open: going on from there is quick.

    Threads may share it; they wait for each other while one opens or lists.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._root_fd: int | None = None
        self._names: list[bytes] = []  # where the way leads
        self._open: list[int] = []  # descriptors of the deepest directories on the way; the last is its end
        self._lock = threading.Lock()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Forget the way and the root; both are opened anew when needed."""
        with self._lock:
            self._leave(0)
            if self._root_fd is not None:
                os.close(self._root_fd)
                self._root_fd = None

    @contextmanager
    def directory(self, names: Sequence[bytes]) -> Generator[int]:
        """A descriptor of the directory, for as long as the block lasts. OSError if it cannot be opened.

        RepositoryUnavailable if the root itself cannot.
        """
        with self._lock:
            yield self._go(names)

    def open_file(self, names: Sequence[bytes]) -> int:
        """A descriptor of the regular file, for the caller to close. OSError if there is none that can be opened."""
        if not names:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        with self.directory(names[:-1]) as directory:
            # Opening a device may do something: look first. Look again after, at what was opened.
            _require_regular(os.stat(names[-1], dir_fd=directory, follow_symlinks=False))
            descriptor = os.open(names[-1], _FILE, dir_fd=directory)
        try:
            _require_regular(os.fstat(descriptor))
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def blocks(self, path: str, limit: int) -> Iterator[bytes]:
        """The contents of a file. Unreadable if it is no file, larger than `limit`, or changes while it is read."""
        names = names_of(path)
        try:
            descriptor = self.open_file(names)
        except OSError as error:
            raise Unreadable(path, reason_of(error)) from error
        try:
            yield from _unchanged(descriptor, path, limit)
        except OSError as error:
            raise Unreadable(path, reason_of(error)) from error
        finally:
            os.close(descriptor)

    def _go(self, names: Sequence[bytes]) -> int:
        self._leave(_in_common(self._names, names))
        for name in names[len(self._names) :]:
            self._enter(name)
        return self._open[-1] if self._open else self._open_root()

    def _open_root(self) -> int:
        """A descriptor of the root. The root itself may be reached through links: it is what the user named."""
        if self._root_fd is None:
            try:
                self._root_fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                raise RepositoryUnavailable(
                    f"the repository {self._root} cannot be read: {reason_of(error)}"
                ) from error
        return self._root_fd

    def _enter(self, name: bytes) -> None:
        here = self._open[-1] if self._open else self._open_root()
        self._open.append(os.open(name, _DIRECTORY, dir_fd=here))
        self._names.append(name)
        if len(self._open) > KEPT_OPEN:
            os.close(self._open.pop(0))

    def _leave(self, depth: int) -> None:
        """Go back to the first `depth` names; to the root if the directory there is no longer open."""
        while len(self._names) > depth and self._open:
            os.close(self._open.pop())
            self._names.pop()
        if not self._open:
            self._names.clear()


def too_large(limit: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if limit >= size:
            return f"larger than {limit / size:g} {unit}"
    return f"larger than {limit} bytes"


def _unchanged(descriptor: int, path: str, limit: int) -> Iterator[bytes]:
    before = os.fstat(descriptor)
    if before.st_size > limit:
        raise Unreadable(path, too_large(limit))
    done = 0
    while block := os.read(descriptor, BLOCK):
        done += len(block)
        if done > limit:
            raise Unreadable(path, too_large(limit))
        yield block
    after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Unreadable(path, CHANGED)


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))


def _in_common(one: list[bytes], other: Sequence[bytes]) -> int:
    if one == list(other[: len(one)]):
        return len(one)  # nearly always, and quick for a path of thousands of names
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
