"""What two deployments of the blarify step may set differently."""

import sys
from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory import disclosure
from codestory_blarify.programs import Limits

_GIB = 1024**3


class BlarifySettings(BaseSettings):
    """Prefix CODESTORY_. The limits hold for each program that the step runs: Blarify's worker and Pyrefly."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", env_ignore_empty=True)

    #: The Python of the environment with Blarify and Pyrefly; otherwise `blarify/bin/python` in the step's own.
    blarify_python: Path | None = None
    #: Where the copy of the sources and what the programs write lie while they are read; otherwise in memory (/dev/shm)
    #: if that has room, else among the temporary files.
    blarify_copy_dir: Path | None = None
    #: A program that takes longer is ended, and the step gives up.
    blarify_program_seconds: PositiveFloat = 1800
    #: Address space of a program, bytes.
    blarify_program_memory_bytes: int = Field(default=8 * _GIB, ge=512 * 1024**2)
    #: The largest file that a program may write, bytes.
    blarify_program_file_bytes: PositiveInt = 4 * _GIB
    #: Processor seconds after which Blarify gives up on one file.
    blarify_file_seconds: PositiveFloat = 30

    @property
    def python(self) -> Path:
        return self.blarify_python or Path(sys.prefix, "blarify", "bin", "python")

    @property
    def pyrefly(self) -> Path:
        return self.python.with_name("pyrefly")

    def versions(self) -> dict[str, str]:
        """Of the packages beside that Python."""
        packages = disclosure.installed(self.python.parents[1].glob("lib/python*/site-packages"))
        return {f"blarify/{name}": version for name, version in packages.items()}

    @property
    def limits(self) -> Limits:
        return Limits(
            seconds=self.blarify_program_seconds,
            memory_bytes=self.blarify_program_memory_bytes,
            file_bytes=self.blarify_program_file_bytes,
            open_files=1024,
        )
