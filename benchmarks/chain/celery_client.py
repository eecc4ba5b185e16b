"""Runs in Celery's own environment and does what the lines on its standard input say, each a JSON list:
["run", jobs, in flight] or ["cancels", count]. It answers each with a line."""

import importlib
import json
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from chain.celery_tasks import tasks

celery: Any = importlib.import_module("celery")
exceptions: Any = importlib.import_module("celery.exceptions")

#: Between two looks at a result. Seconds.
LOOK = 0.002
LIMIT = 60


def begin() -> tuple[float, Any]:
    chained = celery.chain(*(task.si().set(queue=name) for name, task in tasks.items()))
    return time.perf_counter(), chained.apply_async()


def run(jobs: int, in_flight: int) -> dict[str, Any]:
    latencies: list[float] = []
    begun = time.perf_counter()
    running = deque(begin() for _ in range(in_flight))
    while running:
        born, chained = running.popleft()
        chained.get(timeout=LIMIT, interval=LOOK)
        latencies.append(time.perf_counter() - born)
        if len(latencies) + len(running) < jobs:
            running.append(begin())
    return {"latencies": latencies, "seconds": time.perf_counter() - begun}


def cancels(count: int) -> list[float]:
    """Of a task that sleeps in its worker's process, which is killed. Until its result says so."""
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(count):
            mark = Path(directory) / str(number)
            result = tasks["a"].si(str(mark)).set(queue="a").apply_async()
            deadline = time.monotonic() + LIMIT
            while not mark.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the task did not begin within {LIMIT} s")
                time.sleep(LOOK)  # a poll: the worker's only sign is the file
            asked = time.perf_counter()
            result.revoke(terminate=True, signal="SIGKILL")
            try:
                result.get(timeout=LIMIT, interval=LOOK)
            except exceptions.TaskRevokedError:
                taken.append(time.perf_counter() - asked)
    return taken


def main() -> None:
    begin()[1].get(timeout=LIMIT)  # every worker is there
    print("ready", flush=True)
    for line in sys.stdin:
        verb, *numbers = json.loads(line)
        print(json.dumps({"run": run, "cancels": cancels}[verb](*numbers)), flush=True)


if __name__ == "__main__":
    main()
