"""Where snapshots are unpacked, and how much of that a machine keeps."""

import os
import tempfile
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class CacheSettings(BaseSettings):
    """Prefix CODESTORY_. Seconds and bytes, where a name says so."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", frozen=True, extra="ignore")

    #: Where snapshots are unpacked, for all services of one machine that run as the same user. Otherwise below the
    #: state directory of the embedded stack, or `codestory-snapshots-<user id>` in the system's temporary folder.
    snapshot_cache: Path | None = None
    #: Unpacked snapshots that nobody uses go, the longest unused first, when all of them are larger than this.
    snapshot_cache_bytes: int = Field(default=10 * 1024**3, ge=0)
    #: A snapshot whose files are larger than this together, or more, is not unpacked.
    snapshot_unpacked_bytes: int = Field(default=10 * 1024**3, ge=1)
    snapshot_unpacked_files: int = Field(default=1_000_000, ge=1)
    #: How often it is looked whether another process has unpacked what is waited for.
    snapshot_lock_seconds: float = Field(default=0.1, gt=0)

    @property
    def directory(self) -> Path:
        return self.snapshot_cache or Path(tempfile.gettempdir()) / f"codestory-snapshots-{os.getuid()}"
