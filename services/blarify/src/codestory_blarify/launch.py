"""Becomes another program, bounded: `python -I -S launch.py PARENT MEMORY CPU FILE OPEN PROGRAM ARGUMENT…`.

Run between fork and exec of it, in a process of its own: the step has threads, so it cannot do this itself. The limits
are numbers as setrlimit takes them, 0 for none. On Linux the program also ends with PARENT, the step's process."""

import ctypes
import os
import resource
import signal
import sys

#: Set by prctl: the signal that the kernel sends when the parent is gone.
_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, memory, cpu, file, open_files = map(int, sys.argv[1:6])
    for kind, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        if limit or kind == resource.RLIMIT_CORE:
            _bound(kind, limit)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before we had asked
        sys.exit(1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what we become would inherit that
        signal.signal(number, signal.SIG_DFL)
    os.execv(sys.argv[6], sys.argv[6:])  # noqa: S606  # that is what this is for


def _bound(kind: int, limit: int) -> None:
    """Never more than we have ourselves. macOS refuses some limits; what is refused stays as it is."""
    _, most = resource.getrlimit(kind)
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    try:
        resource.setrlimit(kind, (limit, limit))
    except (OSError, ValueError) as error:
        if sys.platform == "linux":
            raise SystemExit(f"the limit of {limit} is refused: {error}") from error


if __name__ == "__main__":
    main()
