"""Starts and ends the supervisor of a state directory: one at a time, and what a killed one left is tidied up first."""

import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from codestory.local.errors import NotReady, StateUnusable
from codestory.local.files import OWNER_ONLY, write_private
from codestory.local.logfiles import tail
from codestory.local.paths import StatePaths
from codestory.local.plan import Plan
from codestory.local.processes import Member, end, wait_gone
from codestory.local.record import StackRecord

#: Detaching takes a second at most, but for a supervisor that lost its record and is ending. Seconds on top of that.
DETACHED = 30.0
#: How much of a log is shown with an error.
SHOWN_LINES = 15


@dataclass(frozen=True, slots=True)
class Receipt:
    """What `stop` did. `killed`: processes that did not end by themselves in time."""

    was_running: bool
    stopped: tuple[str, ...] = ()
    killed: tuple[str, ...] = ()
    seconds: float = 0


@contextmanager
def exclusive(paths: StatePaths, patience: float) -> Generator[None]:
    """While this is held nobody else starts or stops the stack."""
    paths.make()
    try:
        with FileLock(paths.start_lock, timeout=patience, mode=OWNER_ONLY):
            yield
    except Timeout as error:
        raise StateUnusable(f"another process has been starting or stopping the stack for {patience:.0f} s") from error


def running(paths: StatePaths) -> StackRecord | None:
    """The stack that runs on this state directory."""
    record = StackRecord.read(paths.record)
    return record if record is not None and record.alive else None


def launch(paths: StatePaths, plan: Plan) -> StackRecord:
    """Start a supervisor for the plan. To be called with `exclusive` held and nothing running."""
    tidy(paths, plan.pace.stop_grace)
    plan.write(paths.plan)
    command = [plan.python, "-P", "-m", "codestory.local.supervisor", str(paths.root)]
    write_private(paths.supervisor_output, "")
    with paths.supervisor_output.open("ab") as output:
        try:
            # It detaches: this call is over when the supervisor has written its record, or has given up.
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=paths.root,
                start_new_session=True,
                timeout=plan.pace.look + 2 * plan.pace.stop_grace + DETACHED,
                check=False,
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotReady("supervisor", f"the supervisor cannot be started: {error}") from error
    record = running(paths)
    if code or record is None:
        raise supervisor_gone(paths)
    return record


def change(paths: StatePaths, record: StackRecord, plan: Plan) -> None:
    """Have the running supervisor carry out a changed plan, and try at once again what keeps dying."""
    plan.write(paths.plan)
    Member(record.pid, record.identity).send(signal.SIGHUP)


def finish(paths: StatePaths, record: StackRecord) -> Receipt:
    """End a running stack, by its supervisor if that still listens, and leave no process of it behind."""
    started = time.monotonic()
    grace = record.stop_grace
    supervisor = Member(record.pid, record.identity)
    for number in (signal.SIGTERM, signal.SIGCONT):  # one that is suspended hears nothing
        supervisor.send(number)
    # Services and then servers take up to the grace each.
    orderly = wait_gone([supervisor], 2 * grace + 5)
    supervisor.send(signal.SIGKILL)
    last = StackRecord.read(paths.record) or record
    killed = [process.name for process in last.processes if process.exit_code == -signal.SIGKILL]
    return Receipt(
        was_running=True,
        stopped=tuple(process.name for process in last.processes),
        killed=(*(() if orderly else ("supervisor",)), *killed, *tidy(paths, grace)),
        seconds=round(time.monotonic() - started, 2),
    )


def tidy(paths: StatePaths, grace: float) -> list[str]:
    """End what a supervisor that is gone has left, and forget it. Data, ports and secrets stay.

    Only processes with the recorded pid and identity are ended: a pid may belong to somebody else by now."""
    record = StackRecord.read(paths.record)
    killed: list[str] = []
    if record is not None:
        names = {Member(process.pid, process.identity): process.name for process in record.processes}
        killed = [names[member] for member in end(names, grace)]
    paths.record.unlink(missing_ok=True)
    return killed


def supervisor_gone(paths: StatePaths) -> NotReady:
    """With the last words of the supervisor."""
    file = paths.supervisor_output if paths.supervisor_output.stat().st_size else paths.log("supervisor")
    return NotReady("supervisor", f"the supervisor has ended\n{last_words(file)}")


def last_words(file: Path) -> str:
    """The end of a log, and where it is."""
    lines = tail(file, SHOWN_LINES)
    return "\n".join([*(f"  {line}" for line in lines), f"the log: {file}"])
