"""What an attempt takes, as the operating system counts it: all processes of the child's group together."""

import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

from codestory.contracts.results import Usage


class Meter:
    """Measures one attempt of a child that was there before, and may be there after."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._started = time.monotonic()
        with suppress(OSError):  # Linux: forget the peak of the attempt before; elsewhere the samples must do
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._cpu_before, _ = _look(pid, descendants(pid))
        self._cpu_now = self._cpu_before
        self._peak = 0

    def sample(self) -> Usage:
        """As it is now. After the process has died, as it was last seen."""
        with suppress(psutil.Error, OSError):
            cpu, memory = _look(self._pid, descendants(self._pid))
            self._cpu_now = max(self._cpu_now, cpu)
            self._peak = max(self._peak, memory, _high_water_mark(self._pid))
        return Usage(
            seconds=round(time.monotonic() - self._started, 3),
            cpu_seconds=round(self._cpu_now - self._cpu_before, 3),
            peak_memory_bytes=self._peak,
        )


def descendants(pid: int) -> list[int]:
    """All processes below this one. Linux keeps a list at each thread; elsewhere all processes have to be looked at.

    Raises ProcessLookupError, FileNotFoundError or psutil.Error when the process has gone."""
    if not _LISTED:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    found: list[int] = []
    for child in _children(pid):
        found.append(child)
        with suppress(OSError):  # it has ended meanwhile
            found += descendants(child)
    return found


#: Is there where the kernel keeps a list of children.
_LISTED = Path(f"/proc/self/task/{os.getpid()}/children").exists()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  # pathlib costs as much as all the rest of a sample
        with suppress(OSError):  # the thread has ended meanwhile
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _look(pid: int, below: list[int]) -> tuple[float, int]:
    """Processor seconds, and bytes of memory, of a process and of those below it."""
    cpu, memory = 0.0, 0
    for one in (pid, *below):
        with suppress(psutil.Error, OSError):
            used, held = _one(one, with_ended_children=one == pid)
            cpu += used
            memory += held
    return cpu, memory


def _one(pid: int, *, with_ended_children: bool) -> tuple[float, int]:
    """What ended children took counts with their parent."""
    if not _LISTED:
        process = psutil.Process(pid)
        times = process.cpu_times()
        ended = times.children_user + times.children_system if with_ended_children else 0.0
        return times.user + times.system + ended, process.memory_info().rss
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    ticks = sum(map(int, fields[11 : 15 if with_ended_children else 13]))
    return ticks / _TICKS, int(fields[21]) * _PAGE


def _high_water_mark(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        status = _read(f"/proc/{pid}/status")
        return int(status.partition(b"VmHWM:")[2].split(None, 1)[0]) * 1024
    return 0


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # as above
        return file.read()


_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def out_of_memory_kills() -> int:
    """How often the kernel has killed for want of memory in this control group. 0 where it cannot be known."""
    with suppress(OSError, ValueError):
        for line in Path("/sys/fs/cgroup/memory.events").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
