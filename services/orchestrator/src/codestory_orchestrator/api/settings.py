"""What two deployments of the API may set differently."""

from dataclasses import dataclass, field
from typing import Final

from codestory import telemetry

#: The names under which a browser on this machine may ask for a service on loopback. Any other name that resolves to
#: it is a foreign page that rebinds DNS.
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class ApiSettings:
    """Seconds and bytes, where a name says so."""

    version: str = field(default_factory=telemetry.version)
    #: Names in `Host` that are answered; `*`: any, for a service behind a proxy that checks them.
    allowed_hosts: tuple[str, ...] = LOOPBACK_HOSTS
    #: Web pages from these origins may ask too.
    cors_origins: tuple[str, ...] = ()
    #: `/metrics` for whoever asks.
    metrics_public: bool = True
    #: A watcher hears something at least this often.
    ws_heartbeat_seconds: float = 15.0
    #: A watcher that has not taken a message after this is let go.
    ws_send_seconds: float = 10.0
    #: Of a stream of server-sent events: a browser comes back after so long.
    sse_retry_seconds: float = 1.0
    max_body_bytes: int = 1024 * 1024
    #: Of one part of an uploaded repository.
    snapshot_part_bytes: int = 16 * 1024 * 1024
