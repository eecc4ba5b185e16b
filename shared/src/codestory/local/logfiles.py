"""The logs of the stack: one file a process, bounded in size; how they are written, read and followed."""

import time
from collections import deque
from collections.abc import Generator, Iterator
from io import FileIO
from pathlib import Path

from codestory.local.errors import NoSuchLog
from codestory.local.paths import StatePaths, state_paths

#: Tails are read from the end of a file; longer ones are cut.
TAIL_BYTES = 256 * 1024


class RotatingLog:
    """Takes a process's output as it comes. The file, and each of the older ones, never outgrows `max_bytes`."""

    def __init__(self, path: Path, *, max_bytes: int, files: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._file, self._size = self._open()

    def write(self, output: bytes) -> None:
        for start in range(0, len(output), self._max_bytes):
            part = output[start : start + self._max_bytes]
            if self._file.closed:  # the last rotation failed
                self._file, self._size = self._open()
            if self._size + len(part) > self._max_bytes:
                self._rotate()
            self._file.write(part)
            self._size += len(part)

    def close(self) -> None:
        self._file.close()

    def _open(self) -> tuple[FileIO, int]:
        file = self._path.open("ab", buffering=0)
        return file, file.tell()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._files - 1, 0, -1):
            newer = self._older(number - 1)
            if newer.exists():
                newer.replace(self._older(number))
        self._path.unlink(missing_ok=True)
        self._file, self._size = self._open()

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


def logs(
    name: str | None = None, *, lines: int = 50, follow: bool = False, state_dir: Path | None = None, poll: float = 0.2
) -> Generator[tuple[str, str]]:
    """The last lines of one process's log, or of each; with `follow` also those that come. Ends when the reader does.

    A step's log is found under the step's name too."""
    paths = state_paths(state_dir)
    files = _chosen(paths, name)
    for file in files:
        for line in tail(file, lines):
            yield file.stem, line
    if follow:
        yield from _follow(files, poll)


def tail(file: Path, lines: int) -> list[str]:
    """The last lines of a log, also when it has just been rotated."""
    found = _last_lines(file, lines)
    if len(found) < lines:
        found = [*_last_lines(file.with_name(f"{file.name}.1"), lines - len(found)), *found]
    return found


def _last_lines(file: Path, lines: int) -> list[str]:
    try:
        with file.open("rb") as source:
            source.seek(max(0, file.stat().st_size - TAIL_BYTES))
            text = source.read(TAIL_BYTES).decode(errors="replace")
    except OSError:
        return []
    return list(deque(text.splitlines(), maxlen=lines))


def _chosen(paths: StatePaths, name: str | None) -> list[Path]:
    there = {file.stem: file for file in sorted(paths.logs.glob("*.log"))}
    if name is None:
        return list(there.values())
    file = there.get(name) or there.get(f"step-{name}")
    if file is None:
        raise NoSuchLog(f"there is no log {name!r}; there are: {', '.join(there) or 'none yet'}")
    return [file]


def _follow(files: list[Path], poll: float) -> Iterator[tuple[str, str]]:
    followed = [_Follower(file) for file in files]
    while True:
        for follower in followed:
            for line in follower.new_lines():
                yield follower.file.stem, line
        time.sleep(poll)


class _Follower:
    """Reads what is added to a log, over its rotations."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._inode, self._at = self._where()
        self._rest = b""

    def new_lines(self) -> list[str]:
        inode, size = self._where()
        if inode != self._inode or size < self._at:
            self._inode, self._at = inode, 0
        if size == self._at:
            return []
        with self.file.open("rb") as source:
            source.seek(self._at)
            *whole, self._rest = (self._rest + source.read(TAIL_BYTES)).split(b"\n")
            self._at = source.tell()
        return [line.decode(errors="replace") for line in whole]

    def _where(self) -> tuple[int, int]:
        try:
            status = self.file.stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_ino, status.st_size
