"""Ctrl-C while a job is followed, at a real terminal and without one."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codestory.contracts.api import JobView

MakeJob = Callable[..., JobView]
Start = Callable[..., "Terminal"]

#: A command is there, and answers, within this time even on a busy machine; seconds.
PATIENCE = 60
#: The terminal becomes that of the command's session, so that its Ctrl-C is a signal to the command.
COMMAND = """
import fcntl, termios
from codestory.cli.main import main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
main()
"""


class Terminal:
    """A command of ours at a terminal of its own, and a person before it."""

    def __init__(self, *arguments: str, url: str, state: Path) -> None:
        self.said = ""
        ours, its = pty.openpty()
        self._screen = ours
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            stdin=its,
            stdout=its,
            stderr=its,
            env={**os.environ, "CODESTORY_URL": url, "CODESTORY_STATE_DIR": str(state), "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(its)

    def until(self, words: str) -> None:
        """Read on to these words, which have not been said before."""
        begin, end = len(self.said), time.monotonic() + PATIENCE
        while words not in self.said[begin:]:
            assert time.monotonic() < end, f"not said: {words!r}\n{self.said}"
            assert self._read(), f"it ended without saying {words!r}\n{self.said}"

    def type(self, keys: str) -> None:
        os.write(self._screen, keys.encode())

    def code(self) -> int:
        """Its exit code, once all that it said is read."""
        end = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < end, f"it does not end\n{self.said}"
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)

    def _read(self) -> bool:
        """Whether there may be more."""
        if not select.select([self._screen], [], [], 0.1)[0]:
            return True
        try:
            text = os.read(self._screen, 65536)
        except OSError:  # Linux says so where others give nothing
            return False
        self.said += text.decode(errors="replace")
        return bool(text)


@pytest.fixture
def start(url: str, tmp_path: Path) -> Iterator[Start]:
    started: list[Terminal] = []

    def starting(*arguments: str) -> Terminal:
        started.append(Terminal(*arguments, url=url, state=tmp_path / "state"))
        return started[-1]

    yield starting
    for terminal in started:
        terminal.close()


@pytest.fixture
def running(jobs: dict[str, list[JobView]], make_job: MakeJob) -> JobView:
    """A job that runs on as long as nobody cancels it."""
    job = make_job()
    jobs[job.id] = [job]
    return job


@pytest.mark.parametrize("keys", ["d\n", "\x03", "\x04", "D\n", "what?\nd\n"])
def test_a_person_detaches_and_is_told_how_to_follow_again(
    start: Start, running: JobView, cancelled: list[str], keys: str
) -> None:
    terminal = start("ingest", "watch", running.id)
    terminal.until("filesystem")

    terminal.type("\x03")
    terminal.until("[d]etach")
    terminal.type(keys)

    assert terminal.code() == 130
    assert f"codestory ingest watch {running.id}" in terminal.said.replace("\r\n", "\n")
    assert cancelled == []


def test_a_person_cancels_and_sees_the_end(
    start: Start, running: JobView, jobs: dict[str, list[JobView]], cancelled: list[str], make_job: MakeJob
) -> None:
    terminal = start("ingest", "watch", running.id)
    terminal.until("filesystem")

    terminal.type("\x03")
    terminal.until("[d]etach")
    jobs[running.id].append(make_job(state="CANCELLED", complete=False))
    terminal.type("c\n")

    assert terminal.code() == 1
    assert cancelled == [running.id]
    assert "CANCELLED" in terminal.said


def test_a_person_goes_on_watching(
    start: Start, running: JobView, jobs: dict[str, list[JobView]], cancelled: list[str], make_job: MakeJob
) -> None:
    terminal = start("ingest", "watch", running.id)
    terminal.until("filesystem")

    terminal.type("\x03")
    terminal.until("[d]etach")
    jobs[running.id].append(make_job(state="COMPLETED", complete=True))
    terminal.type("g\n")

    assert terminal.code() == 0
    assert cancelled == []
    assert "COMPLETED" in terminal.said


def test_a_job_that_ended_before_the_answer_is_shown_as_it_ended(
    start: Start, running: JobView, jobs: dict[str, list[JobView]], make_job: MakeJob
) -> None:
    terminal = start("ingest", "watch", running.id)
    terminal.until("filesystem")

    terminal.type("\x03")
    terminal.until("[d]etach")
    jobs[running.id][:] = [make_job(state="COMPLETED", complete=True)]
    terminal.type("c\n")

    assert terminal.code() == 0
    assert "COMPLETED" in terminal.said


def test_without_a_terminal_it_leaves_at_once(url: str, tmp_path: Path, running: JobView, cancelled: list[str]) -> None:
    environment = {**os.environ, "CODESTORY_URL": url, "CODESTORY_STATE_DIR": str(tmp_path / "state")}
    command = [sys.executable, "-m", "codestory.cli.main", "ingest", "watch", running.id]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stderr
            assert "filesystem" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=PATIENCE)[1]
        finally:
            process.kill()

    assert process.returncode == 130
    assert "etach" not in rest
    assert f"codestory ingest watch {running.id}" in rest
    assert cancelled == []
