"""The peer's four tasks, in Celery's own environment. Both Redis databases are those of CHAIN_REDIS.

A task is acknowledged when it has ended and given to another worker when its own dies: without that Celery would
promise less than it is compared with."""

import importlib
import os
import time
from pathlib import Path
from typing import Any

celery: Any = importlib.import_module("celery")
redis = os.environ.get("CHAIN_REDIS", "")
app: Any = celery.Celery("chain", broker=f"{redis}/0", backend=f"{redis}/1")
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=4)


def nothing(sleep: str = "") -> None:
    """With a file to make: make it, then sleep."""
    if sleep:
        Path(sleep).touch()
        time.sleep(600)  # until it is cancelled, which is what is measured


tasks: dict[str, Any] = {name: app.task(name=name)(nothing) for name in "abcd"}
