"""What runs now, as the supervisor last wrote it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from codestory.local.files import write_private
from codestory.local.plan import GraphAddress, Plan
from codestory.local.processes import alive

ProcessState = Literal["waiting", "starting", "running", "restarting", "stopping", "stopped"]


@dataclass(slots=True)
class ProcessRecord:
    """One process. `identity` tells it from a later process with the same pid; `failures`: deaths in a row."""

    name: str
    state: ProcessState = "waiting"
    pid: int = 0
    identity: str = ""
    started_at: float = 0
    restarts: int = 0
    failures: int = 0
    exit_code: int | None = None

    @property
    def alive(self) -> bool:
        return alive(self.pid, self.identity)


@dataclass(slots=True)
class StackRecord:
    """One stack: its supervisor, its processes, where it answers."""

    pid: int
    identity: str
    started_at: float
    version: str
    python: str
    url: str
    config: str
    nats_url: str
    graph: GraphAddress
    ports: Mapping[str, int]
    revision: int
    stop_grace: float = 10
    stopping: bool = False
    processes: list[ProcessRecord] = field(default_factory=list[ProcessRecord])

    @classmethod
    def of(cls, plan: Plan, *, pid: int, identity: str, started_at: float) -> Self:
        return cls(
            pid=pid,
            identity=identity,
            started_at=started_at,
            version=plan.version,
            python=plan.python,
            url=plan.url,
            config=plan.config,
            nats_url=plan.nats_url,
            graph=plan.graph,
            ports=plan.ports,
            revision=plan.revision,
            stop_grace=plan.pace.stop_grace,
        )

    @property
    def alive(self) -> bool:
        """Its supervisor lives; what it says is then true."""
        return alive(self.pid, self.identity)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self:
        """What another version has added is left out, so that its stack is seen and can be ended."""
        content: dict[str, Any] = {
            **_known(cls, data),
            "graph": GraphAddress(**_known(GraphAddress, data["graph"])),
            "processes": [ProcessRecord(**_known(ProcessRecord, process)) for process in data["processes"]],
        }
        return cls(**content)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """None when there is none, or none that can be read: it is written whole, so such a one is not ours."""
        try:
            return cls.parse(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(asdict(self), indent=1))


def _known(kind: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in data.items() if name in names}
