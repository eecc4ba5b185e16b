"""Free loopback ports, chosen once and kept as long as they are free."""

import json
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from codestory.local.errors import BadSetting
from codestory.local.files import write_private

LOOPBACK = "127.0.0.1"


def choose(names: Iterable[str], remembered: Path, wished: Mapping[str, int]) -> dict[str, int]:
    """A port for each name: the wished one, which must be free, else the remembered one, else another."""
    known = _read(remembered)
    ports: dict[str, int] = {}
    with ExitStack() as held:  # all at once, so that no two names get the same
        for name in names:
            if name in wished:
                taken = _hold(wished[name], held)
                if taken is None:
                    raise BadSetting(f"port {wished[name]} ({name}) is in use; choose another or leave it out")
            else:
                taken = _hold(known.get(name, 0), held) or _hold(0, held)
                if taken is None:
                    raise BadSetting(f"no free port on {LOOPBACK}")
            ports[name] = taken
    write_private(remembered, json.dumps({**known, **ports}))
    return ports


def _hold(port: int, held: ExitStack) -> int | None:
    server = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    # As the servers themselves do: a port whose last connections are in TIME_WAIT is free.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((LOOPBACK, port))
        server.listen(1)
    except OSError:
        return None
    return int(server.getsockname()[1])


def _read(remembered: Path) -> dict[str, int]:
    try:
        data: dict[str, Any] = json.loads(remembered.read_text(encoding="utf-8"))
        return {name: int(port) for name, port in data.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # unreadable: other ports will do
