"""Everything that two deployments of the orchestrator may set differently."""

from ipaddress import ip_address
from pathlib import Path

from pydantic import Field, model_validator

from codestory.bus import BusSettings


class OrchestratorSettings(BusSettings):
    """Prefix CODESTORY_. Seconds, where a name says so."""

    host: str = "127.0.0.1"
    port: int = Field(default=8420, ge=0, le=65535)
    pipeline_config: Path = Path("pipeline_config.yml")
    #: Repositories must lie below one of these, a JSON list. Empty: anywhere, as this machine's own user.
    repository_roots: tuple[Path, ...] = ()
    #: Steps admitted at once, over all jobs. Taken when the stream is made and when this changes; set live it stays.
    resource_max_tokens: int = Field(default=4, ge=1, le=100_000)
    #: The reconciler's round: what was lost between two lines is sent again.
    reconcile_seconds: float = 5.0
    #: The dispatcher's fallback when no bell rings.
    dispatch_seconds: float = 0.25
    #: A command that has waited so long counts as of the next higher priority, and again after as long. 0: never.
    priority_age_seconds: float = Field(default=600.0, ge=0)
    #: How long the right to fill RUN outlives its holder.
    dispatch_lease_seconds: int = Field(default=5, ge=1)
    #: How old what is remembered of a step's live concurrency, and of who lives, may be before it is asked for again.
    limits_seconds: float = Field(default=1.0, ge=0)
    #: How long a step that is cancelled or stopped may take to end itself before the orchestrator ends it.
    cancel_grace_seconds: float = 10.0
    #: An entry in a repository's queue whose job was never recorded is dropped after this.
    queue_entry_seconds: float = 30.0
    #: A job that ended so long ago is forgotten, with its events and log lines. 0: never for its age.
    jobs_max_age_seconds: float = Field(default=30 * 86_400, ge=0)
    #: Of the jobs that have ended so many are kept, the newest. 0: all. Orchestrators remember about 10 kB of each.
    jobs_max_count: int = Field(default=5000, ge=0)
    #: How often that is looked after.
    retention_seconds: float = Field(default=60.0, gt=0)
    #: What the event history and the logs keep. The server sets so many bytes aside, for the snapshots too.
    events_max_age_seconds: float = 30 * 86_400
    events_max_bytes: int = 256 * 1024 * 1024
    logs_max_age_seconds: float = 7 * 86_400
    logs_max_bytes: int = 256 * 1024 * 1024
    #: What the store of uploaded repositories keeps.
    snapshots_max_age_seconds: float = 7 * 86_400
    snapshots_max_bytes: int = 1024 * 1024 * 1024
    #: A running step that has said nothing new for so long is called stalled, and what it was at is named.
    stalled_seconds: float = Field(default=60.0, gt=0)
    ws_heartbeat_seconds: float = 15.0
    ws_send_seconds: float = 10.0
    log_level: str = "INFO"

    @model_validator(mode="after")
    def _loopback_only(self) -> "OrchestratorSettings":
        """There is no authentication yet, so nothing but this machine may reach the API."""
        if self.host != "localhost" and not ip_address(self.host).is_loopback:
            raise ValueError(
                f"CODESTORY_HOST={self.host} is not a loopback address; without authentication only 127.0.0.1 is served"
            )
        return self
