"""The program as a process of its own: its start, interruption, pipes and encodings."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codestory.contracts.api import JobView

MakeJob = Callable[..., JobView]
Jobs = dict[str, list[JobView]]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell gives its background jobs SIGINT to ignore, and so would they give it to the programs they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def start(url: str, tmp_path: Path) -> Start:
    def starting(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        own = {"CODESTORY_URL": url, "CODESTORY_STATE_DIR": str(tmp_path / "state")}
        return subprocess.Popen(
            [sys.executable, "-m", "codestory.cli.main", *arguments],
            env=os.environ | own | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return starting


def test_help_is_there_without_importing_the_rooms() -> None:
    code = (
        "import sys, typer.main; from codestory.cli.main import app; typer.main.get_command(app); print(*sys.modules)"
    )

    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"httpx", "neo4j", "pydantic", "rich", "codestory.client", "codestory.local"} & set(modules) == set()


@pytest.mark.usefixtures("interruptible")
def test_interrupted_it_ends_with_130_and_the_job_goes_on(
    start: Start, jobs: Jobs, make_job: MakeJob, cancelled: list[str]
) -> None:
    jobs["job1"] = [make_job()]
    process = start("ingest", "watch", "job1")
    assert process.stderr is not None
    first = process.stderr.readline()

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert first.startswith("filesystem: COMPLETED")
    assert process.returncode == 130
    assert "Job job1 goes on." in err
    assert "codestory ingest cancel job1" in err
    assert "Traceback" not in err
    assert cancelled == []


def test_a_reader_that_leaves_is_no_error(start: Start, jobs: Jobs, make_job: MakeJob) -> None:
    jobs.update({f"job{n}": [make_job(id=f"job{n}", message="x" * 10_000)] for n in range(20)})
    process = start("ingest", "jobs", "--json")
    assert process.stdout is not None

    process.stdout.close()
    _, err = process.communicate(timeout=60)

    assert err == ""


def test_an_encoding_without_the_character_is_no_error(start: Start, jobs: Jobs, make_job: MakeJob) -> None:
    jobs["job1"] = [make_job(message="naïve 日本")]
    process = start("ingest", "status", "job1", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert r"na\xefve" in out


def test_a_file_gets_no_bars_and_no_unwanted_colours(start: Start, jobs: Jobs, make_job: MakeJob) -> None:
    jobs["job1"] = [make_job(), make_job(state="COMPLETED", complete=True)]

    _, err = start("ingest", "watch", "job1", FORCE_COLOR="1", NO_COLOR="1").communicate(timeout=60)

    assert "\x1b[2K" not in err  # a bar moves
    assert "\x1b[3" not in err  # a colour
    assert "filesystem: COMPLETED" in err
