"""Files that are whole or not there, readable by this user only."""

import os
from pathlib import Path

OWNER_ONLY = 0o600


def write_private(path: Path, content: str | bytes) -> None:
    """Replace a file at once: a reader sees the old content or the new one. One writer at a time."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
