"""The logs of the stack: one file a process, bounded in size; how they are written, read and followed."""

import os
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Self

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
    files = _chosen(state_paths(state_dir), name)
    with ExitStack() as opened:
        # Where following begins is where the tail ends.
        followers = [opened.enter_context(_Follower(file)) for file in files]
        for follower in followers:
            for line in tail(follower.file, lines, until=follower.begin):
                yield follower.file.stem, line
        while follow:
            for follower in followers:
                for line in follower.new_lines():
                    yield follower.file.stem, line
            time.sleep(poll)


def tail(file: Path, lines: int, *, until: int | None = None) -> list[str]:
    """The last lines of a log, also when it has just been rotated; with `until` as if it ended there."""
    found = _last_lines(file, lines, until)
    if len(found) < lines:
        found = [*_last_lines(file.with_name(f"{file.name}.1"), lines - len(found)), *found]
    return found


def _last_lines(file: Path, lines: int, until: int | None = None) -> list[str]:
    try:
        with file.open("rb") as source:
            end = file.stat().st_size if until is None else until
            start = max(0, end - TAIL_BYTES)
            source.seek(start)
            text = source.read(end - start).decode(errors="replace")
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


class _Follower:
    """Reads what is added to a log, over its rotations."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._source = file.open("rb")
        self.begin = self._source.seek(0, os.SEEK_END)
        self._rest = b""

    def new_lines(self) -> Iterator[str]:
        """Those that are whole. What a rotated file still held comes before what the new one holds."""
        yield from self._added()
        if self._rotated():
            self._source.close()
            self._source = self.file.open("rb")
            yield from self._added()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def _added(self) -> list[str]:
        *whole, self._rest = (self._rest + self._source.read()).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def _rotated(self) -> bool:
        try:
            return self.file.stat().st_ino != os.fstat(self._source.fileno()).st_ino
        except FileNotFoundError:  # between two files
            return False
