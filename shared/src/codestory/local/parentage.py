"""Children that do not outlive the supervisor, orphans that come back to it: what Linux gives.

Elsewhere `start` ends what a killed supervisor has left: the identities of all processes are on record."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans() -> None:
    """From now on a process whose parent has died becomes this one's child, not init's."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> Callable[[], None] | None:
    """What a new process is to do before its program starts, so that it is asked to end when this one is killed."""
    if sys.platform != "linux":
        return None
    # Looked up here: between fork and exec nothing may be imported or loaded.
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it was killed in between
            os._exit(1)

    return tie
