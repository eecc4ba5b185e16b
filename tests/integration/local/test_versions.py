"""The embedded stack after an upgrade: the older one is replaced when it is idle, with all that it has stored."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from codestory.local.planning import version
from codestory.testing import EmbeddedStack

#: Each starts the stack two or three times.
pytestmark = [pytest.mark.long, pytest.mark.timeout(500)]

OLDER, NEWER = "0.0.1", "99.0"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    own = EmbeddedStack(tmp_path_factory.mktemp("own"), CODESTORY_LOCAL_START_SECONDS="150")
    try:
        yield own
    finally:
        own.stop()


def become(stack: EmbeddedStack, wished: str) -> None:
    """What is started from now on says that it is this version; empty: the one that is installed."""
    for each in stack.packages.glob("codestory-*.dist-info"):
        shutil.rmtree(each)
    if wished:
        metadata = stack.packages / f"codestory-{wished}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: codestory\nVersion: {wished}\n")


def test_an_older_versions_stack_is_replaced_when_it_is_idle_and_its_jobs_and_graph_are_kept(
    own: EmbeddedStack, repository: Path
) -> None:
    become(own, OLDER)
    url = own.start()
    ended = own.answer("ingest", "start", str(repository), "--steps", "filesystem")
    digest = own.answer("graph", "digest", str(repository))["digest"]
    later = own.answer("ingest", "start", str(repository), "--eta", "2999-01-01T00:00", "--detach")
    become(own, "")

    looked = own.run("ingest", "jobs")
    asked = own.run("ingest", "start", str(repository), "--steps", "filesystem")

    assert f"Code Story {OLDER} is running, this is {version()}" in looked.stderr
    assert f"Code Story {OLDER} is running and idle: {version()} takes its place" in asked.stderr
    assert asked.returncode == 0
    status = own.answer("service", "status")
    assert (status["version"], status["url"]) == (version(), url)
    states = {job["id"]: job["state"] for job in own.answer("ingest", "jobs")["jobs"]}
    assert (states[ended["id"]], states[later["id"]]) == ("COMPLETED", "SCHEDULED")
    assert own.answer("graph", "digest", str(repository))["digest"] == digest


def test_one_that_has_work_to_do_is_left_alone_and_the_way_on_is_said(own: EmbeddedStack, repository: Path) -> None:
    own.stop()
    (Path(own.environment["CODESTORY_STATE_DIR"]) / "version").unlink()
    become(own, OLDER)
    own.start()
    later = own.answer("ingest", "start", str(repository), "--eta", "2999-01-01T00:00", "--detach")
    waiting = own.answer("ingest", "start", str(repository), "--after", later["id"], "--detach")
    become(own, "")

    refused = own.run("ingest", "start", str(repository))
    doctor = own.run("doctor")

    assert refused.returncode == 2
    assert "has unfinished jobs (1)" in refused.stderr
    assert "codestory service stop && codestory service start" in refused.stderr
    assert own.answer("service", "status")["version"] == OLDER
    assert f"Code Story {OLDER} runs at" in doctor.stdout

    own.stop()
    own.start()

    assert own.answer("ingest", "status", waiting["id"])["state"] == "PENDING"


def test_what_a_newer_version_has_written_is_refused(own: EmbeddedStack, repository: Path) -> None:
    own.stop()
    become(own, NEWER)
    own.start()
    become(own, "")

    running = own.run("service", "start")
    own.stop()
    stopped = own.run("ingest", "start", str(repository))
    doctor = own.run("doctor")

    assert running.returncode == stopped.returncode == 2
    assert f"install Code Story {NEWER} here too" in running.stderr
    assert f"was written by Code Story {NEWER}, this is {version()}" in stopped.stderr
    assert "CODESTORY_STATE_DIR" in stopped.stderr
    assert doctor.returncode == 1
    assert f"written by Code Story {NEWER}" in doctor.stdout
