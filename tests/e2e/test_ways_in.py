"""The ways in, as a user goes them, on the embedded stack."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codestory.client import Client
from codestory.testing import EmbeddedStack

pytestmark = pytest.mark.e2e

PROGRAM = """
import time
from codestory.ingestion_pipeline.manager import PipelineManager
manager = PipelineManager(config_path="pipeline_config.yml")
job_id = manager.start_job(repository_path=REPOSITORY)
while True:
    status = manager.status(job_id)
    print(f"[{job_id}] Status: {status}")
    if status in ("COMPLETED", "FAILED"):
        break
    time.sleep(0.2)
"""
PIPELINE = "steps:\n  - name: filesystem\n  - name: documentation_grapher\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repositories") / "shop"
    (folder / "docs").mkdir(parents=True)
    (folder / "shop.py").write_text("PRICE = 3\n")
    (folder / "docs" / "index.md").write_text("# The shop\n\nPrices are in `shop.py`.\n")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    stack = EmbeddedStack(tmp_path_factory.mktemp("stack"))
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def ingested(stack: EmbeddedStack, repository: Path) -> str:
    """The program of the manual, run where no stack runs yet; what it printed."""
    (stack.directory / "pipeline_config.yml").write_text(PIPELINE)
    program = PROGRAM.replace("REPOSITORY", repr(str(repository)))
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=stack.directory,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_program_of_the_manual_starts_the_stack_and_sees_the_job_completed(ingested: str) -> None:
    assert ingested.splitlines()[-1].endswith("Status: COMPLETED")


@pytest.mark.usefixtures("ingested")
def test_a_second_run_writes_nothing_and_names_its_gaps(stack: EmbeddedStack, repository: Path) -> None:
    ran = stack.run("ingest", "start", str(repository))

    assert (ran.returncode, ran.stdout) == (3, "")
    assert "filesystem: COMPLETED" in ran.stderr
    assert "nothing: the graph held all of it already" in ran.stderr
    assert "pipe" in ran.stderr


@pytest.mark.usefixtures("ingested")
def test_the_graph_can_be_asked_by_name_and_by_folder(stack: EmbeddedStack, repository: Path) -> None:
    query = "MATCH (:Document {repo: $repo, path: $path})-[:HAS_SECTION]->()-[:DESCRIBES]->(f:File) RETURN f.path AS f"

    by_name = stack.run("graph", "digest", "shop")
    by_folder = stack.run("graph", "digest", str(repository))
    stats = stack.answer("graph", "stats", "shop")
    rows = stack.answer("graph", "query", "shop", query, "--param", "path=docs/index.md")

    assert by_name.stdout.splitlines()[-1] == by_folder.stdout.splitlines()[-1]
    assert len(by_name.stdout.splitlines()[-1]) == 32
    assert stats["nodes"]["File"] >= 2
    assert stats["complete"] is True
    assert rows == [{"f": "shop.py"}]


@pytest.mark.usefixtures("ingested")
def test_what_cannot_be_asked_of_the_graph_is_refused(stack: EmbeddedStack) -> None:
    unknown = stack.run("graph", "stats", "nowhere")
    writing = stack.run("graph", "query", "shop", "MATCH (n) DETACH DELETE n")

    assert (unknown.returncode, writing.returncode) == (2, 2)
    assert "It has: shop" in unknown.stderr
    assert "only queries that read" in writing.stderr


@pytest.mark.usefixtures("ingested")
def test_what_cannot_be_ingested_is_refused_in_a_sentence(stack: EmbeddedStack, repository: Path) -> None:
    refused = [
        stack.run("ingest", "start", str(repository), *arguments)
        for arguments in (["--steps", "nostep"], ["--step-option", "filesystem.no=1"])
    ]

    assert [ran.returncode for ran in refused] == [2, 2]
    assert "nostep" in refused[0].stderr
    assert "has no option 'no'" in refused[1].stderr


@pytest.mark.usefixtures("ingested")
def test_the_sdk_follows_a_job_by_its_status_feed(stack: EmbeddedStack, repository: Path) -> None:
    with Client(stack.start()) as client:
        job = client.submit(repository=str(repository))
        messages = list(client.watch(job.id))

    assert messages[0].kind == "job"
    assert messages[-1].kind == "ended"
    assert messages[-1].job is not None
    assert messages[-1].job.state == "COMPLETED"
