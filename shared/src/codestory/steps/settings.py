"""Everything that two deployments of a step's service may set differently."""

from pydantic import Field

from codestory.bus_settings import BusSettings


class HostSettings(BusSettings):
    """Prefix CODESTORY_. Seconds, where a name says so."""

    #: Runs at once in this host. None: the step's concurrency.
    slots: int | None = Field(default=None, ge=1, le=100)
    #: Starts of one attempt, by whatever worker, before it counts as crashed for good.
    max_starts: int = Field(default=3, ge=1)
    #: Between SIGTERM and SIGKILL of a step's process group.
    kill_grace_seconds: float = 1.0
    #: How long running attempts may go on when this host is told to stop; what is left is given to another.
    drain_seconds: float = 5.0
    #: How long a child may take to import its step.
    child_start_seconds: float = 120.0
    #: Address space of a child, bytes. None: no limit of ours.
    child_memory_bytes: int | None = Field(default=None, ge=64 * 1024 * 1024)
    #: How often progress and resource usage are looked at and sent.
    progress_seconds: float = 0.5
    #: A result is offered to a broker that is away for so long.
    result_patience_seconds: float = 3600.0
    #: Lines of an attempt's output that are kept; the rest is counted.
    log_lines: int = 10_000
    log_level: str = "INFO"
    #: Where `/livez`, `/readyz` and `/metrics` are served. None: nowhere.
    probe_port: int | None = Field(default=None, ge=0, le=65535)
    probe_host: str = "127.0.0.1"
    #: A process that has not said after this whether it is ready, is not; nor is one alive that cannot answer.
    probe_seconds: float = Field(default=5.0, gt=0)

    @property
    def heartbeat_seconds(self) -> float:
        return self.ack_wait_seconds / 3
