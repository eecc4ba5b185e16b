"""The file of API keys as it is now."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

from codestory import api_keys, telemetry
from codestory.api_keys import ApiKey, KeyFileError, KeyRing
from codestory.api_keys.modes import exposed
from codestory_orchestrator.access.grants import Grant
from codestory_orchestrator.errors import Unauthenticated

log = telemetry.logger(__name__)

#: Characters of a hash that tell one secret of a key from the next.
PROOF = 16


class Keys:
    """Read again when it changes. One that cannot be read leaves what was known before, and says so."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds = path, seconds
        self._known: dict[str, ApiKey] = {}
        self._looked: float | None = None
        self._seen: tuple[int, ...] = ()
        #: What is wrong with the file; empty: nothing.
        self.problem = ""
        self._refresh()

    def __len__(self) -> int:
        return len(self._known)

    def grant(self, text: str) -> Grant:
        """Raises Unauthenticated, in the same words whatever is wrong with the key."""
        self._refresh()
        shown = api_keys.opened(text)
        key = self._known.get(shown.id) if shown else None
        if shown is None or key is None:
            raise _wrong()
        hashed = api_keys.digest(shown)
        until = key.taken_until(hashed, datetime.now(UTC))
        if until is False:
            raise _wrong()
        return Grant(principal=key.principal, expires_at=until, key=key.id, proof=hashed[:PROOF])

    def still_has(self, grant: Grant) -> bool:
        """The key is there, with this secret, and is whose it was and may what it might."""
        self._refresh()
        key = self._known.get(grant.key)
        hashes = (key.hash, key.previous_hash or "") if key else ()
        return bool(key) and key.principal == grant.principal and any(h.startswith(grant.proof) for h in hashes if h)

    def _refresh(self) -> None:
        at = time.monotonic()
        if self._looked is not None and at - self._looked < self._seconds:
            return
        self._looked = at
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            if seen == self._seen and not self.problem:
                return
            ring = api_keys.read(self._path)
        except OSError as error:
            self._fail(f"{self._path} cannot be read: {error.strerror}")
        except KeyFileError as error:
            self._fail(str(error))
        else:
            self._take(ring, seen)

    def _take(self, ring: KeyRing, seen: tuple[int, ...]) -> None:
        self._known = {key.id: key for key in ring.keys}
        self._seen, self.problem = seen, ""
        log.info("access.keys", keys=len(self._known))
        # A file that is another's, as a secret mounted into a container, has its modes from who mounts it.
        if exposed(self._path) and self._path.stat().st_uid == os.geteuid():
            log.warning("access.keys_exposed", file=str(self._path), mend=f"chmod 600 {self._path}")

    def _fail(self, problem: str) -> None:
        """Said once for each thing that is wrong."""
        if problem != self.problem:
            log.error("access.keys_unreadable", problem=problem, keys=len(self._known))
        self.problem = problem


def _wrong() -> Unauthenticated:
    return Unauthenticated("This API key is not known here, or has expired.")
