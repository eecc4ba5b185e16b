"""Changes a file of keys: one writer at a time, and a reader sees the old file or the new one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from codestory.api_keys.keys import KeyFileError, KeyRing, read

OWNER_ONLY: Final = 0o600
#: Another program holds the file for the time of one small write.
LOCK_SECONDS: Final = 10.0


def change(path: Path, how: Callable[[KeyRing], KeyRing]) -> KeyRing:
    """Apply `how` to what the file holds now; there need be none. Raises KeyFileError and what `how` raises."""
    real = path.resolve()  # a link stays one
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(real.with_name(f".{real.name}.lock"), timeout=LOCK_SECONDS, mode=OWNER_ONLY):
            ring = how(read(real) if real.exists() else KeyRing())
            _replace(real, ring.model_dump_json(indent=2, exclude_none=True) + "\n")
            return ring
    except Timeout as error:
        raise KeyFileError(f"{path} is being changed by another program") from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error


def _replace(path: Path, text: str) -> None:
    """Owner and mode of a file that is there stay: the service may run as another user than who edits."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    before = path.stat() if path.exists() else None
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if before and os.name == "posix" and os.geteuid() == 0:
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
