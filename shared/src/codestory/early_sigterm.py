"""A program that is told to go while it still imports goes.

The kernel gives a container's first process no default for a signal: without a handler SIGTERM is lost, and the
program works on until it is killed. This one is set before anything heavy is imported, and stands until the program has
its own. Compose and Kubernetes put a first process of their own before the program; Azure Container Apps does not."""

import os
import signal
from types import FrameType


def handle() -> None:
    signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)  # nothing has begun: there is nothing to end
