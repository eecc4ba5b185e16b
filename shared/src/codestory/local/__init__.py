"""The embedded stack of a laptop: NATS, graph server, orchestrator and steps as processes of their own.

It imports no service, no bus and no step; it starts them by their commands. What is exported here is imported on first
use, because the supervisor is a process of this package too and stays small."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codestory.local.errors import (
        AnotherVersion,
        BadSetting,
        LocalError,
        NoSuchLog,
        NotInstalled,
        NotReady,
        StateNewer,
        StateUnusable,
    )
    from codestory.local.logfiles import logs
    from codestory.local.report import ProcessStatus, StackStatus, status
    from codestory.local.settings import LocalSettings
    from codestory.local.stack import Neo4jAccess, Receipt, Stack, find, service, service_url, start, stop

__all__ = [
    "AnotherVersion",
    "BadSetting",
    "LocalError",
    "LocalSettings",
    "Neo4jAccess",
    "NoSuchLog",
    "NotInstalled",
    "NotReady",
    "ProcessStatus",
    "Receipt",
    "Stack",
    "StackStatus",
    "StateNewer",
    "StateUnusable",
    "find",
    "logs",
    "service",
    "service_url",
    "start",
    "status",
    "stop",
]

_ROOMS = {
    "logfiles": ("logs",),
    "settings": ("LocalSettings",),
    "stack": ("Neo4jAccess", "Receipt", "Stack", "find", "service", "service_url", "start", "stop"),
    "report": ("ProcessStatus", "StackStatus", "status"),
    "errors": (
        "AnotherVersion",
        "BadSetting",
        "LocalError",
        "NoSuchLog",
        "NotInstalled",
        "NotReady",
        "StateNewer",
        "StateUnusable",
    ),
}


def __getattr__(name: str) -> Any:
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f"codestory.local.{room}"), name)
    raise AttributeError(name)
