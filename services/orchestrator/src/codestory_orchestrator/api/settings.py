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
    #: A watcher hears something at least this often.
    ws_heartbeat_seconds: float = 15.0
    #: A watcher that has not taken a message after this is let go.
    ws_send_seconds: float = 10.0
    max_body_bytes: int = 1024 * 1024
