"""The embedded stack's state directory, and what runs on it."""

import os
import shutil
import socket
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from filelock import FileLock, Timeout

from codestory import local
from codestory.cli.doctor.findings import Finding, fail, ok, warn
from codestory.cli.settings import CliSettings
from codestory.cli.text import size
from codestory.local.paths import PRIVATE, StatePaths, state_paths
from codestory.local.ports import LOOPBACK
from codestory.local.record import ProcessRecord, StackRecord
from codestory.local.versions import newer, written_by

ANOTHER_DIRECTORY = "CODESTORY_STATE_DIR=/another/directory codestory service start"
#: Deaths in a row after which a process does not come up by waiting.
HOPELESS = 3


def look(settings: CliSettings, stack: local.LocalSettings) -> Iterator[Finding]:
    paths = state_paths(stack.state_dir)
    yield _directory(paths)
    yield _disk(paths, settings)
    yield from _version(paths)
    record = StackRecord.read(paths.record)
    if record is not None and record.alive:
        yield from _running(record)
    else:
        yield from _left_over(paths, record)
        yield from _port(stack)
    yield from _lock(paths)


def _directory(paths: StatePaths) -> Finding:
    there = _nearest(paths.root)
    if there != paths.root:
        if os.access(there, os.W_OK | os.X_OK):
            return ok("state", f"{paths.root} (not yet made)")
        return fail("state", f"{paths.root} cannot be made: {there} cannot be written", ANOTHER_DIRECTORY)
    if not paths.root.is_dir():
        return fail("state", f"{paths.root} is not a directory", ANOTHER_DIRECTORY)
    if not os.access(paths.root, os.R_OK | os.W_OK | os.X_OK):
        return fail("state", f"{paths.root} cannot be written", ANOTHER_DIRECTORY)
    mode = paths.root.stat().st_mode & 0o777
    if mode != PRIVATE:
        return warn("state", f"{paths.root} is open to others (mode {mode:o})", f"chmod 700 {paths.root}")
    return ok("state", str(paths.root))


def _disk(paths: StatePaths, settings: CliSettings) -> Finding:
    there = _nearest(paths.root)
    free = shutil.disk_usage(there).free
    said = f"{size(free)} free at {there}"
    mend = f"free some space, or use another disk: {ANOTHER_DIRECTORY}"
    if free < settings.doctor_free_bytes:
        return fail("disk", f"{said}: NATS and the graph stop writing soon", mend)
    if free < 4 * settings.doctor_free_bytes:
        return warn("disk", said, mend)
    return ok("disk", said)


def _version(paths: StatePaths) -> Iterator[Finding]:
    written, mine = written_by(paths), metadata.version("codestory")
    if newer(written, mine):
        yield fail(
            "state's version",
            f"written by Code Story {written}, this is {mine}",
            f"install Code Story {written} or later, or: {ANOTHER_DIRECTORY}",
        )


def _running(record: StackRecord) -> Iterator[Finding]:
    mine = metadata.version("codestory")
    where = f"Code Story {record.version} runs at {record.url}"
    if record.stopping:
        yield warn("stack", f"{where} and is being stopped", "codestory service status")
    elif newer(record.version, mine):
        yield fail("stack", f"{where}, this is {mine}, which is older", f"install Code Story {record.version} here too")
    elif record.version != mine:
        yield warn("stack", f"{where}, this is {mine}", "codestory service start (replaces it when it is idle)")
    else:
        yield ok("stack", where)
    ill = [process for process in record.processes if process.state != "running"]
    for process in ill:
        yield _ill(process)
    if not ill and record.processes:
        yield ok("processes", f"all {len(record.processes)} run")


def _ill(process: ProcessRecord) -> Finding:
    mend = f"codestory service logs {process.name}"
    if process.failures >= HOPELESS:
        said = f"keeps ending (exit code {process.exit_code}, {process.failures} times in a row)"
        return fail(process.name, said, mend)
    return warn(process.name, f"is {process.state}", mend)


def _left_over(paths: StatePaths, record: StackRecord | None) -> Iterator[Finding]:
    if record is None and paths.record.exists():
        yield warn("stack", f"{paths.record} cannot be read; the next start replaces it", "codestory service start")
    if record is None:
        return
    left = [process for process in record.processes if process.alive]
    if left:
        names = ", ".join(f"{process.name} (pid {process.pid})" for process in left)
        yield fail("stack", f"its supervisor is gone, and these still run: {names}", "codestory service stop")
    elif not record.stopping:
        yield warn(
            "stack",
            f"the last one (pid {record.pid}) was killed, not stopped; its record is stale, its data are there",
            "codestory service start",
        )


def _port(stack: local.LocalSettings) -> Iterator[Finding]:
    """A port that was not asked for is chosen anew when it is taken."""
    if stack.port is None:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, stack.port))
        except OSError as error:
            yield fail(
                "port",
                f"CODESTORY_PORT={stack.port} cannot be used: {error.strerror}",
                "unset CODESTORY_PORT, or choose another",
            )
        else:
            yield ok("port", f"{stack.port} is free")


def _lock(paths: StatePaths) -> Iterator[Finding]:
    """Whoever holds it starts or stops the stack. The lock of one who was killed is free: the system lets go of it."""
    if not paths.start_lock.exists():
        return
    try:
        with FileLock(paths.start_lock, timeout=0):
            return
    except Timeout:
        yield warn("lock", "another command is starting or stopping the stack", "codestory service status")
    except OSError as error:
        yield fail("lock", f"{paths.start_lock} cannot be locked: {error.strerror}", ANOTHER_DIRECTORY)


def _nearest(path: Path) -> Path:
    """The path, or the first above it that is there."""
    return next(place for place in (path, *path.parents) if place.exists())
