"""The process in which a step runs, one attempt after the other. Knows the step and the graph; knows no bus.

`python -m codestory.steps.child NAME FD MEMORY`: FD is the socket to the host, MEMORY a limit in bytes or 0. When the
host is gone, so is this whole group."""

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ValidationError

from codestory import telemetry
from codestory.contracts.results import Progress, StepOutcome
from codestory.contracts.values import Reason, Value
from codestory.files.repository import FileSettings, RepositoryFiles
from codestory.graph import Fence, GraphWriter, driver
from codestory.graph.errors import Fenced, GraphError, GraphUnavailable
from codestory.graph.settings import GraphSettings
from codestory.redaction import redact
from codestory.step_errors import RepositoryUnavailable
from codestory.steps import discovery
from codestory.steps.frames import (
    FRAME_BYTES,
    CountedFrame,
    DoneFrame,
    EndFrame,
    FailedFrame,
    ProgressFrame,
    ReadyFrame,
    RunFrame,
)
from codestory.steps.step import AnyStep, StepContext, StepError, TemporaryStepError
from codestory.steps.update import perform

#: Progress goes to the host at most this often; the host sends on what it has.
PROGRESS_SECONDS = 0.1
#: What was counted goes there at least this often, whether there is progress or not.
COUNTED_SECONDS = 2.0
#: As much of an error travels: its message from the front, its traceback from the end.
MESSAGE_CHARS, DETAIL_CHARS = 4000, 16_000


class Host:
    """The socket to the host: frames out from the loop's thread and, for progress, from one; frames in by another."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._lines = self._socket.makefile("rb")
        self._lock = threading.Lock()
        self._untold = deque[Progress](maxlen=1)  # by one thread in and by another out: each is one action
        self._news = threading.Event()
        self._counted = telemetry.Counted()

    def say(self, frame: Value) -> None:
        """After the last progress, which is of the same attempt."""
        with self._lock:
            self._send_progress()
            self._send(frame)

    def end(self, frame: EndFrame, parts: telemetry.Parts) -> None:
        with self._lock:
            self._send_progress()
            self._send(frame.model_copy(update={"parts": parts.all(), "counted": self._counted.news()}))

    def progress(self, progress: Progress) -> None:
        """Only noted: `tell` sends it. The newest is sent in any case, for it names what a step hangs in."""
        self._untold.append(progress)
        self._news.set()

    def tell(self) -> None:
        """In a thread of its own: a step may block the loop's."""
        while True:
            progressed = self._news.wait(COUNTED_SECONDS)
            self._news.clear()
            with self._lock:
                self._send_progress()
                if not progressed and (counted := self._counted.news()):
                    self._send(CountedFrame(counted=counted))
            time.sleep(PROGRESS_SECONDS)  # at most so often; what comes meanwhile replaces what was noted

    def _send_progress(self) -> None:
        with suppress(IndexError):
            self._send(ProgressFrame(progress=self._untold.popleft(), counted=self._counted.news()))

    def _send(self, frame: Value) -> None:
        self._socket.sendall(frame.model_dump_json().encode() + b"\n")

    def listen(self, loop: asyncio.AbstractEventLoop, runs: asyncio.Queue[RunFrame]) -> None:
        """Until the host is gone: then end this group, even if the step is in a loop of its own."""
        try:
            while line := self._lines.readline(FRAME_BYTES):
                loop.call_soon_threadsafe(runs.put_nowait, RunFrame.model_validate_json(line))
        finally:  # also when it was killed with something of ours unread: that is no end of file but a reset
            os.killpg(0, signal.SIGKILL)


async def work(step: AnyStep, host: Host) -> None:
    runs = asyncio.Queue[RunFrame]()
    threading.Thread(target=host.listen, args=(asyncio.get_running_loop(), runs), daemon=True).start()
    threading.Thread(target=host.tell, daemon=True).start()
    settings = GraphSettings()
    version = discovery.describe(type(step)).version  # of what is loaded; what is installed may change while it runs
    async with driver.connect(settings) as graph:
        host.say(ReadyFrame())
        while True:
            run = await runs.get()
            telemetry.bind(
                job_id=run.job, step=step.name, attempt=run.attempt, trace_id=run.trace_id, span_id=run.span_id
            )
            parts = telemetry.parts.begin()
            end: EndFrame
            try:
                writer = GraphWriter(
                    graph,
                    settings,
                    repository=run.repository.id,
                    owner=step.name,
                    fence=Fence(run.epoch, run.generation),
                    labels=step.owns,
                    later=run.later,
                    timed=partial(telemetry.part, telemetry.GRAPH_WRITE),
                )
                end = DoneFrame(outcome=await attempt(step, version, run, writer, Reports(host, parts)))
            except Exception as error:  # noqa: BLE001  # the host's outer edge: whatever a step raises becomes an event
                end = failure(error)
            host.end(end, parts)


class Reports:
    """Progress goes to the host; each change of phase is noted here, however short the phase."""

    def __init__(self, host: Host, parts: telemetry.Parts) -> None:
        self._host, self._parts = host, parts

    def __call__(self, progress: Progress) -> None:
        self._parts.phase(progress.phase)
        self._host.progress(progress)


async def attempt(
    step: AnyStep, version: str, run: RunFrame, writer: GraphWriter, report: Callable[[Progress], None]
) -> StepOutcome:
    with RepositoryFiles(Path(run.repository.path), FileSettings()) as files:
        context = StepContext(
            job=run.job,
            attempt=run.attempt,
            repository=run.repository,
            options=parse_options(step, run),
            files=files,
            graph=writer,
            log=logging.getLogger(f"codestory.step.{step.name}"),
            report=report,
        )
        return (await perform(step, context, run.mode, version)).outcome()


def parse_options(step: AnyStep, run: RunFrame) -> BaseModel:
    try:
        return step.options_model().model_validate(run.options)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise StepError(f"options are not valid: {wrong}") from error


def failure(error: Exception) -> FailedFrame:
    """Give up, try again later, or a bug with its traceback."""
    message, detail = f"{error}" or type(error).__name__, ""
    if isinstance(error, Fenced):
        telemetry.FENCED.labels("graph").inc()
    match error:
        case TemporaryStepError() | GraphUnavailable() | RepositoryUnavailable():
            reason, retryable = Reason.TEMPORARY, True
        case StepError() | GraphError():  # a fenced writer too: if a later attempt has begun, this report is refused
            reason, retryable = Reason.GAVE_UP, False
        case MemoryError():
            reason, retryable, message = Reason.OUT_OF_MEMORY, True, "the step's process ran out of memory"
        case _:
            reason, retryable = Reason.BUG, False
            message = f"{type(error).__name__}: {error}"
            detail = "".join(traceback.format_exception(error))
    # Secrets are looked for before the cut, which could leave a half that nothing recognizes.
    message = text(message[: 2 * MESSAGE_CHARS])[:MESSAGE_CHARS]
    detail = text(detail[-2 * DETAIL_CHARS :])[-DETAIL_CHARS:]
    return FailedFrame(reason=reason, message=message, detail=detail, retryable=retryable)


def text(said: str) -> str:
    """Without the secrets of a file that was being read. A file's name may be no text; it would not travel."""
    redacted = redact(said.encode("utf-8", "backslashreplace").decode())
    telemetry.redacted(redacted.counts)
    return redacted.text


def main() -> None:
    name, fd, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    telemetry.configure(name)
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    asyncio.run(work(discovery.load(name)(), Host(fd)))


if __name__ == "__main__":
    main()
