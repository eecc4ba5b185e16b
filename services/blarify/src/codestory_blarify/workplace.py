"""Private folders that are gone when their user is, however it ended: what one left, the next one sweeps away."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "codestory-blarify-"
#: Of a folder that is being made: it has no lock yet that would say that its user lives.
_MAKING = f"{_PREFIX}making-"
#: Nobody takes so long to make one.
_MAKING_SECONDS = 3600
#: Held for as long as the folder is used. The kernel lets go of it when the process ends, whatever ends it.
_LOCK = "lock"
#: In memory, where Linux has it.
MEMORY = Path("/dev/shm")  # noqa: S108  # what is made there is private
#: A copy in memory takes at most this part of what is free there.
_PART_OF_MEMORY = 4


@contextmanager
def private_folder(place: Path) -> Generator[Path]:
    """A new folder in `place`, readable by us alone."""
    sweep(place)
    made = Path(tempfile.mkdtemp(prefix=_MAKING, dir=place))
    lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = made.rename(made.with_name(_PREFIX + made.name.removeprefix(_MAKING)))
        room = folder / "room"
        room.mkdir()
        try:
            yield room
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def place_for(size: int) -> Path:
    """Where to put so many bytes that are wanted soon and not for long."""
    with suppress(OSError):
        if os.access(MEMORY, os.W_OK | os.X_OK) and size < shutil.disk_usage(MEMORY).free / _PART_OF_MEMORY:
            return MEMORY
    return Path(tempfile.gettempdir())


def sweep(place: Path) -> None:
    """Remove the folders of ours whose users are gone."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another's, or swept by another at this moment
            status = folder.lstat()
            if status.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
                continue
            if folder.name.startswith(_MAKING):
                if time.time() - status.st_mtime > _MAKING_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
            else:
                _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
