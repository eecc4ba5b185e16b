"""The ids of an attempt's trace and of its first span. Derived, as all decisions are: whoever sends the command again,
or tells what became of it, says the same."""

import hashlib
from functools import lru_cache


@lru_cache(maxsize=4096)
def of_attempt(job: str, step: str, attempt: int) -> tuple[int, int]:
    """Trace, and the span of its dispatch. Attempts are counted on when a job is retried, so no two share them."""
    digest = hashlib.sha256(f"{job}\n{step}\n{attempt}".encode()).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1
