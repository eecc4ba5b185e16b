"""What is to run: written by `start`, carried out by the supervisor, which knows nothing else of the stack."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from codestory.local.files import write_private

#: Servers come up before the services that need them, and go down after them.
SERVERS, SERVICES = 0, 1


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process that is to run. `env` is added to the supervisor's own environment.

    With a `port` it is ready once that port accepts a connection and says `greeting` first."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    stage: int = SERVICES
    port: int = 0
    greeting: str = ""
    #: What it was made from, so that a newer installed one takes its place.
    version: str = ""

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self:
        content: dict[str, Any] = {**data, "argv": tuple(data["argv"])}
        return cls(**content)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the supervisor starts again and how long it waits; seconds, bytes."""

    stop_grace: float = 10
    restart: float = 0.3
    restart_max: float = 30
    restart_stable: float = 60
    log_max_bytes: int = 5 * 1024**2
    log_files: int = 3
    look: float = 5


@dataclass(frozen=True, slots=True)
class GraphAddress:
    """Where the graph is. Without a password file the password stands in the user's own settings."""

    uri: str
    user: str
    database: str
    password_file: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """One stack. `revision` grows with each change, so that it can be seen which one the supervisor carries out."""

    version: str
    python: str
    processes: tuple[ProcessSpec, ...]
    url: str = ""
    config: str = ""
    nats_url: str = ""
    graph: GraphAddress = GraphAddress("", "", "")
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    pace: Pace = Pace()
    revision: int = 1

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self:
        content: dict[str, Any] = {
            **data,
            "processes": tuple(ProcessSpec.parse(spec) for spec in data["processes"]),
            "graph": GraphAddress(**data["graph"]),
            "pace": Pace(**data["pace"]),
        }
        return cls(**content)

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls.parse(json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(asdict(self), indent=1))
