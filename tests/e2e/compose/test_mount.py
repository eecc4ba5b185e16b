"""A repository that no container sees, and one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import ComposeStack

pytestmark = [pytest.mark.e2e, pytest.mark.compose, pytest.mark.timeout(900)]

OURS = ("orchestrator", "blarify", "filesystem", "summarizer", "documentation_grapher")
THEIRS = ("nats", "neo4j")


def write_files(root: Path, files: int) -> Path:
    for number in range(files):
        folder = root / f"d{number % 20}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}.py").write_text(f"def f{number}(): ...\n")
    return root


async def test_it_is_mounted_and_ingested_while_a_job_of_another_goes_on(
    compose_stack: ComposeStack, tmp_path: Path
) -> None:
    many = write_files(compose_stack.repositories / "mount-meanwhile", 2000)
    elsewhere = write_files(tmp_path / "mounted", 3)
    before = {service: compose_stack.containers(service) for service in (*OURS, *THEIRS)}
    async with compose_stack.client() as client:
        running = await client.submit(repository=compose_stack.inside(many.name), steps=["filesystem"])
        await compose_stack.running(client, running.id, "filesystem")

        ran = compose_stack.run("ingest", "start", str(elsewhere), "--steps", "filesystem", "--json", limit=600)

        assert ran.returncode == 0, ran.stderr
        assert f"Mounting {elsewhere} at /repositories/mounted" in ran.stderr
        ended = await compose_stack.ended(client, running.id)
        [step] = ended.steps
        assert (ended.state, step.retries) == ("COMPLETED", 0)  # given back, and taken up again
        jobs = await client.jobs(repository="mounted")
    assert [(job.state, job.complete) for job in jobs] == [("COMPLETED", True)]
    files = "MATCH (f:File {repo: $repo}) RETURN count(f) AS files"
    assert compose_stack.answer("graph", "query", "mounted", files) == [{"files": 3}]
    after = {service: compose_stack.containers(service) for service in (*OURS, *THEIRS)}
    assert [service for service in before if before[service] == after[service]] == list(THEIRS)
    assert compose_stack.answer("ingest", "mount", str(elsewhere), "--check")["path"] == "/repositories/mounted"


def test_what_lies_below_the_parent_is_ingested_by_its_path_on_this_host(compose_stack: ComposeStack) -> None:
    repository = write_files(compose_stack.repositories / "mount-below", 3)
    before = compose_stack.containers("filesystem")

    job = compose_stack.answer("ingest", "start", str(repository), "--steps", "filesystem")

    assert (job["state"], job["repository"]["name"]) == ("COMPLETED", "mount-below")
    assert compose_stack.containers("filesystem") == before
