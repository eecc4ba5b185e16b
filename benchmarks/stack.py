"""How soon a fresh embedded stack answers, and how much memory it takes when idle, against what we promise.

    python benchmarks/stack.py [--starts N] [--idle SECONDS]

Cold is the first start in an empty state directory, warm is each later one. Files that the system has in its cache
already are not thrown out of it: run it after a reboot to see a cold disk."""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from codestory.local import LocalSettings, start, status, stop

#: Seconds, bytes.
COLD, WARM, MEMORY = 30.0, 15.0, 800_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Start and memory of a fresh embedded stack")
    parser.add_argument("--starts", type=int, default=3, help="warm starts")
    parser.add_argument("--idle", type=float, default=5, help="seconds of quiet before memory is read")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codestory-stack-") as directory:
        settings = LocalSettings(state_dir=Path(directory) / "state")
        try:
            cold = _start(settings)
            time.sleep(asked.idle)
            _memory(settings)
            warm = [_restart(settings) for _ in range(asked.starts)]
        finally:
            stop(settings)
    _line("cold start", cold, COLD, "s")
    _line(f"warm start, median of {asked.starts}", statistics.median(warm), WARM, "s")


def _start(settings: LocalSettings) -> float:
    started = time.monotonic()
    start(settings=settings, on_progress=lambda said: print(f"  {said}"))
    return time.monotonic() - started


def _restart(settings: LocalSettings) -> float:
    stop(settings)
    return _start(settings)


def _memory(settings: LocalSettings) -> None:
    found = status(settings)
    for process in found.processes:
        print(f"  {process.name}: {process.memory_bytes / 1e6:.0f} MB, {process.cpu_seconds:.1f} s CPU")
    _line("idle memory (PSS)", found.memory_bytes / 1e6, MEMORY / 1e6, "MB")


def _line(what: str, value: float, limit: float, unit: str) -> None:
    print(f"{what}: {value:.1f} {unit} of {limit:.0f} {unit} allowed, ratio {value / limit:.2f}")


if __name__ == "__main__":
    main()
