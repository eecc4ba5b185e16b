"""Generated passwords, each in a file that only this user reads; they never stand in a command line."""

import secrets
from pathlib import Path

from codestory.local.files import OWNER_ONLY, write_private


def password(path: Path) -> str:
    """The password in the file; made when there is none yet."""
    try:
        known = path.read_text(encoding="utf-8").strip()
        path.chmod(OWNER_ONLY)
    except FileNotFoundError:
        known = ""
    if not known:
        known = secrets.token_urlsafe(24)
        write_private(path, known)
    return known
