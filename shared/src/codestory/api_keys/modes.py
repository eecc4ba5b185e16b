"""Who may read a file of keys."""

import os
import stat
from pathlib import Path


def exposed(path: Path) -> bool:
    """Whether others on this machine may read or write it."""
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
