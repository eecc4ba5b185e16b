"""Bounds what the parsing of one document may take."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

#: Processor seconds from one alarm to the next. The first may go unheard: what is raised in a callback of the garbage
#: collector is lost, and parsers catch whatever they meet.
AGAIN_SECONDS = 0.05


class OutOfTime(Exception):
    """The document took too long to parse."""


class _Alarm:
    rang = False

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        self.rang = True
        raise OutOfTime


@contextmanager
def cpu_limit(seconds: float) -> Generator[None]:
    """Raise `OutOfTime` in the block once it has used this much processor time.

    Processor time, not the clock's: what a document yields must not depend on what else the machine does. Signals
    reach the main thread only (a step's own process runs it there); elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    alarm = _Alarm()
    before = signal.signal(signal.SIGVTALRM, alarm)
    try:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds, AGAIN_SECONDS)
            yield
        except Exception as error:
            if alarm.rang:  # whatever the parser has made of it
                raise OutOfTime from error
            raise
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:  # it may ring once more at the line above, and never at this one
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    if alarm.rang:  # somebody caught it, and what came of the rest depends on when
        raise OutOfTime
