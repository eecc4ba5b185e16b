"""Processes by pid and identity: whether they live, how to end them with all they started, what they use."""

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

#: How often an ending process is looked at; seconds.
GLANCE = 0.05


def identity(pid: int) -> str:
    """Tells a process from any other that had or will have its pid; empty when there is none.

    On Linux the boot and the kernel's own clock, which do not move when the wall clock is set."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        state, *rest = stat.rpartition(")")[2].split()
        return "" if state in "ZX" else f"{_boot()}:{rest[18]}"
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def alive(pid: int, known: str) -> bool:
    return pid > 0 and known != "" and identity(pid) == known


@dataclass(frozen=True, slots=True)
class Member:
    """A process as it was seen: pid and identity."""

    pid: int
    identity: str

    @property
    def alive(self) -> bool:
        return alive(self.pid, self.identity)

    def send(self, number: int) -> None:
        """A signal, to this process and none that came after it."""
        if self.alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)


def family(pid: int) -> list[Member]:
    """A process and all that it started and that started in turn."""
    try:
        process = psutil.Process(pid)
        members = [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
    return [Member(member.pid, known) for member in members if (known := identity(member.pid))]


def strays(known: Iterable[int]) -> list[Member]:
    """Processes that have become this one's children because the service that started them is gone."""
    mine = set(known)
    return [member for child in psutil.Process().children() if child.pid not in mine for member in family(child.pid)]


def kill(members: Iterable[Member]) -> None:
    for member in members:
        member.send(signal.SIGKILL)


def end(members: Iterable[Member], grace: float) -> list[Member]:
    """End processes that are not our children: asked first, killed after the grace with all they started.

    Gives back those that had to be killed."""
    asked = [member for member in members if member.alive]
    families = {relative for member in asked for relative in family(member.pid)}
    for member in asked:
        member.send(signal.SIGTERM)
        member.send(signal.SIGCONT)
    wait_gone(asked, grace)
    killed = [member for member in asked if member.alive]
    families.update(relative for member in killed for relative in family(member.pid))
    kill(families)
    wait_gone(families, grace)
    return killed


def wait_gone(members: Iterable[Member], seconds: float) -> bool:
    """Whether all of them were gone in time."""
    left = list(members)
    until = time.monotonic() + seconds
    while (left := [member for member in left if member.alive]) and time.monotonic() < until:
        time.sleep(GLANCE)
    return not left


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process and all it started use now. `memory_bytes`: their share (PSS) where the system tells it."""

    memory_bytes: int = 0
    cpu_seconds: float = 0
    processes: int = 0

    def __add__(self, other: "Footprint") -> "Footprint":
        return Footprint(
            self.memory_bytes + other.memory_bytes,
            self.cpu_seconds + other.cpu_seconds,
            self.processes + other.processes,
        )


def footprint(pid: int) -> Footprint:
    """Of a process and all that it started."""
    return sum((own_footprint(member.pid) for member in family(pid)), Footprint())


def own_footprint(pid: int) -> Footprint:
    """Of a process alone."""
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return Footprint(_memory(process), times.user + times.system, 1)
    except psutil.Error:
        return Footprint()


def _memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.uss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
