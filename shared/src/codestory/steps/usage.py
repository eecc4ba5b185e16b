"""What an attempt takes, as the operating system counts it: all processes of the child's group together."""

import time
from contextlib import suppress
from pathlib import Path

import psutil

from codestory.contracts.results import Usage


class Meter:
    """Measures one attempt of a child that was there before, and may be there after."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._started = time.monotonic()
        with suppress(OSError):  # Linux: forget the peak of the attempt before; elsewhere the samples must do
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._cpu_before = self._cpu()
        self._cpu_now = self._cpu_before
        self._peak = 0

    def sample(self) -> Usage:
        """As it is now. After the process has died, as it was last seen."""
        with suppress(psutil.Error):
            self._cpu_now = max(self._cpu_now, self._cpu())
            self._peak = max(self._peak, self._memory(), self._high_water_mark())
        return Usage(
            seconds=round(time.monotonic() - self._started, 3),
            cpu_seconds=round(self._cpu_now - self._cpu_before, 3),
            peak_memory_bytes=self._peak,
        )

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def _cpu(self) -> float:
        total = 0.0
        for process in self._family():
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        ended = self._process.cpu_times()  # what ended children took counts with their parent
        return total + ended.children_user + ended.children_system

    def _memory(self) -> int:
        total = 0
        for process in self._family():
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def _high_water_mark(self) -> int:
        with suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0


def out_of_memory_kills() -> int:
    """How often the kernel has killed for want of memory in this control group. 0 where it cannot be known."""
    with suppress(OSError, ValueError):
        for line in Path("/sys/fs/cgroup/memory.events").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
