"""Free loopback ports, chosen once and kept as long as they are free."""

import itertools
import json
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from codestory.local.errors import BadSetting
from codestory.local.files import write_private

LOOPBACK = "127.0.0.1"
#: Where no system takes the ports of outgoing connections from by default (Linux: 32768 and above; others: 49152). One
#: of those could be taken between its choice and the start of the server that it is for.
QUIET = range(10_000, 30_000)
#: Two processes that choose at once begin far from each other, and none gives the same port twice in a row.
_steps = itertools.count(os.getpid() * 997)


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
                taken = (name in known and _hold(known[name], held)) or hold_free(held)
                if taken is None:
                    raise BadSetting(f"no free port on {LOOPBACK}")
            ports[name] = taken
    write_private(remembered, json.dumps({**known, **ports}))
    return ports


def hold_free(held: ExitStack) -> int | None:
    """A port that nobody else gets as long as `held` is open."""
    for step in itertools.islice(_steps, 100):
        if taken := _hold(QUIET[step % len(QUIET)], held):
            return taken
    return _hold(0, held)


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
