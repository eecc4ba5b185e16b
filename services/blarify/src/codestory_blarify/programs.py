"""Runs an outside program: an argument list, a clean environment, limits, and nothing of it left afterwards.

It stays in the process group of the step, which the host kills whole; a kill of the step's process alone takes it along
(launch.py)."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from codestory.steps import StepError, TemporaryStepError

#: As much of what a program says on stderr is kept to explain how it ended.
TAIL_BYTES = 4_000
#: Read at once from a pipe.
BLOCK = 1 << 16
_LAUNCH = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may take. `memory_bytes` is address space. 0: no limit of ours, but for `seconds`."""

    seconds: float
    memory_bytes: int = 0
    cpu_seconds: int = 0
    file_bytes: int = 0
    open_files: int = 256
    #: A longer line on stdout ends the program.
    line_bytes: int = 16_000_000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. `tail`: the end of what it said on stderr. `stopped`: why we ended it, if we did."""

    returncode: int
    tail: str = ""
    stopped: str = ""

    @property
    def well(self) -> bool:
        return self.returncode == 0 and not self.stopped

    @property
    def killed(self) -> bool:
        """By somebody else's SIGKILL: an operator, or the kernel for want of memory. Another try may end otherwise."""
        return self.returncode == -signal.SIGKILL and not self.stopped

    @property
    def how(self) -> str:
        """As the end of a sentence: `it …`."""
        said = f": {self.tail.strip().splitlines()[-1][:500]}" if self.tail.strip() else ""
        if self.stopped:
            return self.stopped
        if self.returncode < 0:
            return f"was ended by {signal.Signals(-self.returncode).name}{said}"
        return f"ended with exit code {self.returncode}{said}"


class _Stop(Exception):
    """We end the program."""


async def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    limits: Limits,
    on_line: Callable[[bytes], None] | None = None,
) -> Ended:
    """Run it to its end. `env` is added to an environment that has no program and no home in it; `cwd` is its home and
    holds its temporary files. `on_line` gets each line of stdout, without its end; what it raises ends the program and
    goes on to the caller. Whatever happens, also when this is cancelled, the program is gone when this returns.

    StepError if there is no such program, TemporaryStepError if the system lets us start none now."""
    if not os.access(argv[0], os.X_OK):
        raise StepError(f"{argv[0]} is no program that can be run")
    process = await _start(argv, cwd, env, limits)
    stopped, tail = "", bytearray()
    try:
        async with asyncio.timeout(limits.seconds):
            await _ended(process, limits.line_bytes, on_line or (lambda _: None), tail)
    except TimeoutError:
        stopped = f"took longer than {limits.seconds:g} s"
    except _Stop as reason:
        stopped = str(reason)
    finally:
        await _end(process)
    assert process.returncode is not None
    return Ended(process.returncode, tail.decode("utf-8", "replace"), stopped)


async def _ended(
    process: asyncio.subprocess.Process, most: int, on_line: Callable[[bytes], None], tail: bytearray
) -> None:
    """It has ended, and all that it said is read."""
    assert process.stdout
    assert process.stderr
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_lines(process.stdout, most, on_line))
            group.create_task(_tail(process.stderr, tail))
            group.create_task(process.wait())
    except ExceptionGroup as raised:
        raise raised.exceptions[0] from None


async def _start(argv: Sequence[str], cwd: Path, env: Mapping[str, str], limits: Limits) -> asyncio.subprocess.Process:
    bounds = (os.getpid(), limits.memory_bytes, limits.cpu_seconds, limits.file_bytes, limits.open_files)
    home = str(cwd)
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_LAUNCH), *map(str, bounds), *argv),
            cwd=cwd,
            env={"PATH": "/nonexistent", "HOME": home, "TMPDIR": home, "LC_ALL": "C.UTF-8", **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise TemporaryStepError(f"{argv[0]} cannot be started: {error.strerror}") from error


async def _lines(stream: asyncio.StreamReader, most: int, on_line: Callable[[bytes], None]) -> None:
    rest = bytearray()
    while block := await stream.read(BLOCK):
        *lines, last = block.split(b"\n")
        for line in lines:
            rest += line
            on_line(bytes(rest))
            rest.clear()
        rest += last
        if len(rest) > most:
            raise _Stop(f"wrote a line of more than {most:,} bytes")
    if rest:
        on_line(bytes(rest))


async def _tail(stream: asyncio.StreamReader, tail: bytearray) -> None:
    while block := await stream.read(BLOCK):
        tail += block
        del tail[:-TAIL_BYTES]


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of it, and what it started itself, and reap it."""
    if process.returncode is not None:
        return
    family: list[psutil.Process] = []
    with suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        process.kill()
    for member in family:
        with suppress(psutil.Error):
            member.kill()
    # Its pipes are read to their ends first: asyncio does not see the end of a process while one of them is full.
    assert process.stdout
    assert process.stderr
    await asyncio.gather(_discard(process.stdout), _discard(process.stderr), process.wait())


async def _discard(stream: asyncio.StreamReader) -> None:
    while await stream.read(BLOCK):
        pass
