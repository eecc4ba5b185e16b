"""What may differ between two embedded stacks."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.local.errors import BadSetting

Seconds = Annotated[float, Field(gt=0, le=3600)]
Port = Annotated[int, Field(ge=1, le=65535)]


class LocalSettings(BaseSettings):
    """Read from CODESTORY_*. An outside NATS or Neo4j that is named here is used, and no own one is started."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", env_ignore_empty=True, extra="ignore", frozen=True)

    #: Where state, secrets and logs live; otherwise the user's state directory.
    state_dir: Path | None = None
    #: A service elsewhere: nothing is looked for here.
    url: str | None = None
    #: The port of the REST API; otherwise a free one, kept over restarts.
    port: Port | None = None

    #: The pipeline file of a new stack; one given to `start` goes before it.
    pipeline_config: Path | None = None

    nats_url: str | None = None
    neo4j_uri: str | None = None
    neo4j_user: str = "neo4j"
    neo4j_password: SecretStr = SecretStr("")
    neo4j_password_file: Path | None = None
    neo4j_database: str = "neo4j"

    #: Where snapshots are unpacked; otherwise below the state directory.
    snapshot_cache: Path | None = None

    #: The graph server's heap, as java reads it. Its idle process is a quarter of the default.
    local_graph_heap: Annotated[str, Field(pattern=r"^[1-9]\d*[mg]$")] = "512m"
    #: The most that NATS may store; never more than four fifths of the disk's free space.
    local_nats_max_store_bytes: Annotated[int, Field(gt=0)] = 10 * 1024**3

    local_log_max_bytes: Annotated[int, Field(ge=1024)] = 5 * 1024**2
    local_log_files: Annotated[int, Field(ge=1, le=100)] = 3

    #: How long `start` waits until everything answers.
    local_start_seconds: Seconds = 90
    #: How long a process may take to end by itself before it is killed.
    local_stop_grace_seconds: Seconds = 10
    #: The pause before a process that died is started again: the first, the longest, and the time of quiet after
    #: which the next is the first again.
    local_restart_seconds: Seconds = 0.3
    local_restart_max_seconds: Seconds = 30
    local_restart_stable_seconds: Seconds = 60
    #: How often `start` looks whether everything answers, and the supervisor whether its state directory is there.
    local_poll_seconds: Seconds = 0.1
    local_look_seconds: Seconds = 5

    @classmethod
    def read(cls) -> Self:
        """The settings of this process; a wrong one is named for the user."""
        try:
            return cls()
        except ValidationError as error:
            wrong = "; ".join(f"CODESTORY_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
            raise BadSetting(wrong) from error
