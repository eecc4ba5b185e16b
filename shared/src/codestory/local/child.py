"""One process of the stack: started, watched until it answers, started again when it dies, ended when asked."""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from logging import Logger
from pathlib import Path

from codestory import cancelling
from codestory.local import processes
from codestory.local.logfiles import RotatingLog
from codestory.local.parentage import die_with_parent
from codestory.local.plan import Pace, ProcessSpec
from codestory.local.record import ProcessRecord, ProcessState

#: How often a process that is coming up is asked whether it answers, and how long one question may take; seconds.
KNOCK = 0.05
ANSWER = 1.0

#: Output is taken in pieces of this size.
PIECE = 64 * 1024
#: A pipe holds no more, so the last words of a process are taken after this many pieces.
LAST_PIECES = 32


class Child:
    """Keeps one process running. `changed` is called whenever its record has."""

    def __init__(self, spec: ProcessSpec, *, pace: Pace, log: Path, changed: Callable[[], None], say: Logger) -> None:
        self.spec = spec
        self.record = ProcessRecord(spec.name)
        self.ready = asyncio.Event()
        self._pace = pace
        self._log_path = log
        self._changed = changed
        self._say = say
        self._program: subprocess.Popen[bytes] | None = None
        self._exited = asyncio.Event()
        self._again = asyncio.Event()
        self._stopping = False

    async def keep(self) -> None:
        """Run until `stop`."""
        self._log = RotatingLog(self._log_path, max_bytes=self._pace.log_max_bytes, files=self._pace.log_files)
        try:
            while not self._stopping:
                started = time.monotonic()
                if self._start():
                    await self._watch()
                if not self._stopping:
                    await self._pause(time.monotonic() - started)
        finally:
            self._log.close()
        self._become("stopped")

    def poll(self) -> bool:
        """Look whether the process has ended; called when some child has. True once for each end."""
        if self._program is None or self._exited.is_set() or self._program.poll() is None:
            return False
        self._exited.set()
        return True

    def hurry(self) -> None:
        """Do not wait any longer before starting again, and count deaths anew."""
        self.record.failures = 0
        self._again.set()

    async def stop(self) -> None:
        """End the process: asked first, killed after the grace with all that it started. `keep` returns then."""
        self._stopping = True
        self.ready.clear()
        self._again.set()
        if self._program is None or self._exited.is_set():
            return
        self._become("stopping")
        relatives = processes.family(self._program.pid)
        for number in (signal.SIGTERM, signal.SIGCONT):  # one that is suspended hears nothing
            self._program.send_signal(number)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), self._pace.stop_grace)
        if not self._exited.is_set():
            self._say.warning("process.killed name=%s pid=%s", self.spec.name, self._program.pid)
            relatives = [*relatives, *processes.family(self._program.pid)]
        processes.kill(relatives)
        await self._exited.wait()

    def _start(self) -> bool:
        self._exited.clear()
        read_end, write_end = os.pipe()
        try:
            self._program = subprocess.Popen(
                self.spec.argv,
                env={**os.environ, **self.spec.env},
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                process_group=0,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  there is one thread here
            )
        except (OSError, subprocess.SubprocessError) as error:
            os.close(read_end)
            self._unstartable(error)
            return False
        finally:
            os.close(write_end)
        self._listen(read_end)
        self.record.pid = self._program.pid
        self.record.identity = processes.identity(self._program.pid)
        self.record.started_at = time.time()
        self._say.info("process.started name=%s pid=%s", self.spec.name, self.record.pid)
        self._become("starting")
        return True

    def _unstartable(self, error: Exception) -> None:
        self._program = None
        self._say.warning("process.unstartable name=%s error=%s", self.spec.name, error)
        self._log.write(f"{self.spec.argv[0]} cannot be started: {error}\n".encode())

    async def _watch(self) -> None:
        """Until the process ends: say when it answers, then take its last words."""
        answering = asyncio.create_task(self._answer())
        await self._exited.wait()
        await cancelling.end(answering)
        self._last_words()
        self.ready.clear()
        assert self._program is not None
        self.record.exit_code = self._program.returncode
        self._say.info("process.ended name=%s pid=%s code=%s", self.spec.name, self.record.pid, self.record.exit_code)

    async def _answer(self) -> None:
        # Nobody tells us when it is up.
        while self.spec.port and not await _answers(self.spec.port, self.spec.greeting.encode()):  # noqa: ASYNC110
            await asyncio.sleep(KNOCK)
        if not self._stopping:
            self.ready.set()
            self._become("running")

    async def _pause(self, ran: float) -> None:
        """Longer with each death in a row, and never quite the same, so that services do not come back in step."""
        self.record.failures = 1 if ran >= self._pace.restart_stable else self.record.failures + 1
        self.record.restarts += 1
        self._again.clear()
        self._become("restarting")
        longest = min(self._pace.restart * 2 ** min(self.record.failures - 1, 30), self._pace.restart_max)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._again.wait(), longest * random.uniform(0.5, 1))  # noqa: S311  no secret

    def _listen(self, read_end: int) -> None:
        os.set_blocking(read_end, False)
        self._output = read_end
        asyncio.get_running_loop().add_reader(read_end, self._take)

    def _take(self) -> bool:
        """One piece of output into the log; False when there is none now."""
        try:
            piece = os.read(self._output, PIECE)
        except BlockingIOError:
            return False
        if not piece:  # closed by the process, which may live on
            asyncio.get_running_loop().remove_reader(self._output)
            return False
        try:
            self._log.write(piece)
        except OSError as error:  # a full disk: the process goes on, its words are lost
            self._say.warning("log.lost name=%s error=%s", self.spec.name, error)
        return True

    def _last_words(self) -> None:
        for _ in range(LAST_PIECES):
            if not self._take():
                break
        asyncio.get_running_loop().remove_reader(self._output)
        os.close(self._output)

    def _become(self, state: ProcessState) -> None:
        self.record.state = state
        self._changed()


async def _answers(port: int, greeting: bytes) -> bool:
    try:
        async with asyncio.timeout(ANSWER):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return await reader.readexactly(len(greeting)) == greeting
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
