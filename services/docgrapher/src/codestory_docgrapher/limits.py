"""Bounds what the parsing of one document may take."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class OutOfTime(Exception):
    """The document took too long to parse."""


@contextmanager
def cpu_limit(seconds: float) -> Generator[None]:
    """Raise `OutOfTime` in the block once it has used this much processor time.

    Processor time, not the clock's: what a document yields must not depend on what else the machine does. Signals
    reach the main thread only (a step's own process runs it there); elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _out_of_time)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _out_of_time(_signal: int, _frame: FrameType | None) -> None:
    raise OutOfTime
