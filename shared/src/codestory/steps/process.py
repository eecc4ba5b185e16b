"""The host's side of a child: started, given attempts one after the other, killed with its whole group."""

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import psutil

from codestory import disclosure, telemetry
from codestory.contracts.results import Progress
from codestory.redaction import Cleaner, Lines
from codestory.steps.frames import (
    CHILD_FRAME,
    FRAME_BYTES,
    ChildFrame,
    CountedFrame,
    DoneFrame,
    FailedFrame,
    ProgressFrame,
    RunFrame,
)
from codestory.steps.settings import HostSettings
from codestory.steps.usage import descendants, out_of_memory_kills

#: A longer line of a step's output is cut.
LINE_BYTES = 8192
#: How long what a process said before it died may take to arrive.
LAST_WORDS_SECONDS = 0.5
#: Lines kept to explain a death.
TAIL = 30


class ChildDied(Exception):
    """The step's process ended unasked."""

    def __init__(self, returncode: int | None, tail: str, *, out_of_memory: bool) -> None:
        how = (
            f"signal {signal.Signals(-returncode).name}" if returncode and returncode < 0 else f"exit code {returncode}"
        )
        super().__init__(f"the step's process ended unasked ({how})")
        self.tail, self.out_of_memory = tail, out_of_memory


@cache
def _own_secrets() -> Cleaner:
    """Of this service: a step's process has its environment, and might write them."""
    return Cleaner(disclosure.secrets_around())


class Child:
    """One process that runs attempts of one step. `on_line` gets what it writes to its standard streams."""

    def __init__(
        self, process: asyncio.subprocess.Process, stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        self.process = process
        self.on_line: Callable[[str], None] = lambda _: None
        self._reader, self._writer = stream
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._lines = Lines(_own_secrets().without_known)
        self._kills_before = out_of_memory_kills()
        self._output = asyncio.create_task(self._read_output())
        self._exit = asyncio.create_task(self._see_exit())

    @classmethod
    async def start(cls, step: str, settings: HostSettings) -> "Child":
        """A warm child: its step is imported when this returns. Raises ChildDied."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "codestory.steps.child",
                    step,
                    str(theirs.fileno()),
                    str(settings.child_memory_bytes or 0),
                ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        child = cls(process, await asyncio.open_connection(sock=ours, limit=FRAME_BYTES))
        try:
            async with asyncio.timeout(settings.child_start_seconds):
                await child._frame()  # ready, the only one that a child says unasked
        except BaseException:
            await child.kill(0)
            raise
        return child

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def run(self, frame: RunFrame, on_progress: Callable[[Progress], None]) -> DoneFrame | FailedFrame:
        try:
            self._writer.write(frame.model_dump_json().encode() + b"\n")
            await self._writer.drain()
        except OSError as error:
            raise await self._died() from error
        while True:
            match await self._frame():
                case ProgressFrame(progress=progress, counted=counted):
                    telemetry.add(counted)
                    on_progress(progress)
                case CountedFrame(counted=counted):
                    telemetry.add(counted)
                case DoneFrame() | FailedFrame() as end:
                    telemetry.add(end.counted)
                    return end
                case _:
                    continue

    def leftovers(self) -> bool:
        """Programs that the step started still run."""
        with suppress(psutil.Error, OSError):
            return bool(descendants(self.process.pid))
        return False

    async def kill(self, grace_seconds: float) -> None:
        """End the group: asked first, then not. Nothing of it is left when this returns."""
        if grace_seconds and self.alive:
            self._signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), grace_seconds)
        self._signal(signal.SIGKILL)
        await self.process.wait()
        self._writer.close()
        await asyncio.wait({self._output}, timeout=LAST_WORDS_SECONDS)
        self._output.cancel()
        self._exit.cancel()

    async def _frame(self) -> ChildFrame:
        try:
            line = await self._reader.readline()
        except (OSError, ValueError):
            line = b""
        if not line.endswith(b"\n"):
            raise await self._died()
        return CHILD_FRAME.validate_json(line)

    async def _see_exit(self) -> None:
        """A process that it forked has its socket too, and would keep that open: end the group, then the socket."""
        await self.process.wait()
        await asyncio.sleep(LAST_WORDS_SECONDS)
        self._signal(signal.SIGKILL)
        self._writer.close()

    async def _died(self) -> ChildDied:
        await self.kill(1.0)
        killed = self.process.returncode == -signal.SIGKILL and out_of_memory_kills() > self._kills_before
        return ChildDied(self.process.returncode, "\n".join(self._tail), out_of_memory=killed)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            os.killpg(self.process.pid, number)

    async def _read_output(self) -> None:
        """Line by line, each cut at a bound: a step may write anything."""
        assert self.process.stdout
        rest = b""
        while chunk := await self.process.stdout.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._line(line)
            rest = rest[:LINE_BYTES]
        if rest:
            self._line(rest)

    def _line(self, line: bytes) -> None:
        """Without the secrets that a step may have read: looked for before the cut, which could leave a half."""
        text = self._lines.redact(line[: 2 * LINE_BYTES].decode("utf-8", "replace"))[:LINE_BYTES]
        self._tail.append(text)
        with suppress(ValueError, TypeError, RecursionError):  # whatever a line holds, the next one must be read
            self.on_line(text)
