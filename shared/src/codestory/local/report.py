"""How the stack is: its processes, what they use, whether it answers."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from codestory.local import launcher
from codestory.local.paths import StatePaths, state_paths
from codestory.local.processes import Footprint, footprint, own_footprint
from codestory.local.readiness import answers
from codestory.local.record import ProcessRecord, StackRecord
from codestory.local.settings import LocalSettings


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process with all that it started. `memory_bytes`: their share (PSS) where the system tells it."""

    name: str
    state: str
    pid: int
    restarts: int
    exit_code: int | None
    uptime_seconds: float
    memory_bytes: int
    cpu_seconds: float
    processes: int
    log: Path


@dataclass(frozen=True, slots=True)
class StackStatus:
    """The stack of a state directory. `running`: its supervisor is there; `ready`: the REST API answers that it is."""

    running: bool
    ready: bool
    state_dir: Path
    version: str = ""
    url: str = ""
    config: str = ""
    started_at: datetime | None = None
    memory_bytes: int = 0
    processes: tuple[ProcessStatus, ...] = ()


def status(settings: LocalSettings | None = None) -> StackStatus:
    """Of the stack that runs for this user, or that none does."""
    settings = settings or LocalSettings.read()
    paths = state_paths(settings.state_dir)
    record = launcher.running(paths)
    if record is None:
        return StackStatus(running=False, ready=False, state_dir=paths.root)
    processes = (_supervisor(paths, record), *(_process(paths, process) for process in record.processes))
    return StackStatus(
        running=True,
        ready=not record.stopping and answers(record.url),
        state_dir=paths.root,
        version=record.version,
        url=record.url,
        config=record.config,
        started_at=datetime.fromtimestamp(record.started_at, UTC),
        memory_bytes=sum(process.memory_bytes for process in processes),
        processes=processes,
    )


def _supervisor(paths: StatePaths, record: StackRecord) -> ProcessStatus:
    state = "stopping" if record.stopping else "running"
    itself = ProcessRecord("supervisor", state, record.pid, record.identity, record.started_at)
    return _with(paths, itself, own_footprint(record.pid))


def _process(paths: StatePaths, process: ProcessRecord) -> ProcessStatus:
    return _with(paths, process, footprint(process.pid) if process.alive else Footprint())


def _with(paths: StatePaths, process: ProcessRecord, uses: Footprint) -> ProcessStatus:
    return ProcessStatus(
        name=process.name,
        state=process.state,
        pid=process.pid,
        restarts=process.restarts,
        exit_code=process.exit_code,
        uptime_seconds=round(max(0.0, time.time() - process.started_at), 1) if process.alive else 0.0,
        memory_bytes=uses.memory_bytes,
        cpu_seconds=round(uses.cpu_seconds, 2),
        processes=uses.processes,
        log=paths.log(process.name),
    )
