"""The system in Docker Compose: what comes up, what ends up in the graph, and what a container may come to."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codestory.client import AsyncClient
from codestory.contracts.api import JobView
from codestory.testing import EmbeddedStack, wait_until
from codestory.testing_models import ModelServer

if TYPE_CHECKING:
    from conftest import ComposeStack

pytestmark = [pytest.mark.e2e, pytest.mark.compose, pytest.mark.timeout(1200)]

STEPS = ("blarify", "filesystem", "summarizer", "documentation_grapher")
OURS = ("orchestrator", *STEPS)


def write_package(root: Path, modules: int = 6) -> Path:
    """Modules that call each other, and documents that name them."""
    (root / "pkg").mkdir(parents=True)
    (root / "docs").mkdir()
    (root / "pkg" / "__init__.py").write_text("")
    for number in range(modules):
        before = f"from pkg import m{number - 1}\n\n\n" if number else ""
        called = f"m{number - 1}.f(x)" if number else "x"
        (root / "pkg" / f"m{number}.py").write_text(
            f'"""Module {number}."""\n\n{before}def f(x: int) -> int:\n'
            f'    """Function {number}."""\n    return {called}\n'
        )
        (root / "docs" / f"page{number}.md").write_text(
            f"# Page {number}\n\nSee `pkg/m{number}.py` and `pkg.m{number}.f`.\n"
        )
    return root


def write_many(root: Path, files: int = 1500) -> Path:
    """What keeps a step that mirrors files busy for some seconds."""
    for number in range(files):
        folder = root / f"d{number % 20}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}.txt").write_text(f"{number}\n")
    return root


@pytest.fixture
def embedded_digest(stack: EmbeddedStack, tmp_path: Path) -> Any:
    """What the embedded stack makes of the same files."""

    def digest(repository: Path, *options: str) -> str:
        same = tmp_path / "same" / repository.name
        shutil.rmtree(same, ignore_errors=True)
        shutil.copytree(repository, same)
        stack.answer("ingest", "start", str(same), *options)
        return stack.answer("graph", "digest", repository.name)["digest"]

    return digest


def steps_of(job: JobView) -> dict[str, tuple[str, int, int]]:
    return {step.name: (step.state, step.attempt, step.retries) for step in job.steps}


async def submit_files(compose_stack: ComposeStack, client: AsyncClient, repository: Path) -> str:
    job = await client.submit(repository=compose_stack.inside(repository.name), steps=["filesystem"])
    return job.id


def test_every_service_is_confined(compose_stack: ComposeStack) -> None:
    found = {
        service: compose_stack.inspect(*compose_stack.containers(service)[:1]) for service in (*OURS, "nats", "neo4j")
    }

    for service in OURS:
        host = found[service]["HostConfig"]
        assert found[service]["Config"]["User"].split(":")[0].isdigit(), service
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["CapAdd"]) == (True, ["ALL"], None), service
        assert host["Memory"] > 0, service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert not any(mount["Source"].endswith("docker.sock") for mount in found[service]["Mounts"]), service
    published = [b for one in found.values() for bs in one["NetworkSettings"]["Ports"].values() for b in bs or ()]
    assert {binding["HostIp"] for binding in published} == {"127.0.0.1"}
    assert {int(binding["HostPort"]) for binding in published} == {compose_stack.port, compose_stack.neo4j_port}


def test_a_step_has_no_way_out(compose_stack: ComposeStack) -> None:
    program = "import socket; socket.create_connection(('host.docker.internal', 80), 3)"
    there = "import socket; socket.create_connection(('nats', 4222), 10)"

    out = compose_stack.compose("exec", "-T", "filesystem", "python", "-c", program, check=False)
    bus = compose_stack.compose("exec", "-T", "filesystem", "python", "-c", there, check=False)

    assert out.returncode != 0
    assert bus.returncode == 0, bus.stderr


def test_the_graph_is_the_embedded_stacks_at_first_and_after_an_edit(
    compose_stack: ComposeStack, embedded_digest: Any
) -> None:
    repository = write_package(compose_stack.repositories / "compose-package")
    inside = compose_stack.inside(repository.name)

    first = compose_stack.answer("ingest", "start", inside)
    digests = [compose_stack.digest(repository.name)]
    expected = [embedded_digest(repository)]
    (repository / "pkg" / "m0.py").write_text('"""Another."""\n\n\ndef f(x: int) -> int:\n    return x + 1\n')
    (repository / "docs" / "page1.md").unlink()
    updated = compose_stack.answer("ingest", "update", inside)
    digests.append(compose_stack.digest(repository.name))
    expected.append(embedded_digest(repository))

    assert (first["state"], updated["state"]) == ("COMPLETED", "COMPLETED")
    assert first["complete"]
    assert digests == expected
    assert digests[0] != digests[1]


def test_a_model_on_this_host_writes_the_summaries(compose_stack: ComposeStack, reachable_models: ModelServer) -> None:
    repository = write_package(compose_stack.repositories / "compose-model", modules=2)
    asked = reachable_models.totals.completions

    compose_stack.answer(
        "ingest", "start", compose_stack.inside(repository.name), "--step-option", "summarizer.provider=openai"
    )

    query = "MATCH (s:Summary {repo: $repo}) RETURN DISTINCT s.model AS model"
    models = {row["model"] for row in compose_stack.answer("graph", "query", repository.name, query)}
    assert reachable_models.totals.completions > asked
    assert any("small" in model for model in models)


async def test_a_job_is_cancelled_and_says_so(compose_stack: ComposeStack) -> None:
    repository = write_many(compose_stack.repositories / "compose-cancel", 6000)
    async with compose_stack.client() as client:
        job = await submit_files(compose_stack, client, repository)
        await compose_stack.running(client, job, "filesystem")

        ran = await asyncio.to_thread(compose_stack.run, "ingest", "cancel", job)
        ended = await compose_stack.ended(client, job)

    assert ran.returncode == 0, ran.stderr
    assert ended.state == "CANCELLED"


async def test_a_container_killed_in_the_middle_of_a_step_costs_nothing_but_time(
    compose_stack: ComposeStack, embedded_digest: Any
) -> None:
    repository = write_many(compose_stack.repositories / "compose-killed")
    async with compose_stack.client() as client:
        job = await submit_files(compose_stack, client, repository)
        await compose_stack.running(client, job, "filesystem")

        await asyncio.to_thread(compose_stack.compose, "kill", "filesystem")
        await asyncio.to_thread(compose_stack.compose, "up", "--detach", "--no-build", "filesystem", limit=480)
        ended = await compose_stack.ended(client, job)

    assert ended.state == "COMPLETED"
    assert compose_stack.digest(repository.name) == embedded_digest(repository, "--steps", "filesystem")


async def test_a_container_that_is_stopped_gives_its_step_back_and_no_attempt_is_counted(
    compose_stack: ComposeStack,
) -> None:
    repository = write_many(compose_stack.repositories / "compose-stopped")
    async with compose_stack.client() as client:
        job = await submit_files(compose_stack, client, repository)
        await compose_stack.running(client, job, "filesystem")
        [container] = compose_stack.containers("filesystem")

        await asyncio.to_thread(compose_stack.compose, "stop", "filesystem", limit=120)
        stopped = compose_stack.inspect(container)
        await asyncio.to_thread(compose_stack.compose, "up", "--detach", "--no-build", "filesystem", limit=480)
        ended = await compose_stack.ended(client, job)

    assert stopped["State"]["ExitCode"] == 0  # by itself, within the grace
    assert ended.state == "COMPLETED"
    assert [step.retries for step in ended.steps] == [0]


async def test_a_new_image_takes_over_in_the_middle_of_a_job(compose_stack: ComposeStack, tmp_path: Path) -> None:
    repository = write_many(compose_stack.repositories / "compose-rolled")
    tag = f"codestory/filesystem:{compose_stack.tag}"
    (tmp_path / "Dockerfile").write_text(f"FROM {tag}\nLABEL made=anew\n")
    async with compose_stack.client() as client:
        job = await submit_files(compose_stack, client, repository)
        await compose_stack.running(client, job, "filesystem")
        before = compose_stack.containers("filesystem")

        await asyncio.to_thread(compose_stack.docker, "build", "--quiet", "--tag", tag, str(tmp_path), limit=480)
        await asyncio.to_thread(
            compose_stack.compose, "up", "--detach", "--wait", "--no-build", "--no-deps", "filesystem", limit=240
        )
        after = compose_stack.containers("filesystem")
        ended = await compose_stack.ended(client, job)

    assert set(before).isdisjoint(after)
    assert compose_stack.inspect(*after)["Config"]["Labels"]["made"] == "anew"
    assert ended.state == "COMPLETED"
    assert [step.retries for step in ended.steps] == [0]


async def test_three_containers_of_a_step_work_at_three_repositories_at_once(compose_stack: ComposeStack) -> None:
    repositories = [write_many(compose_stack.repositories / f"compose-scaled-{n}") for n in range(3)]
    pipeline = compose_stack.folder / "pipeline_config.yml"
    as_it_was = pipeline.read_text()
    one, three = "name: filesystem\n    concurrency: 1", "name: filesystem\n    concurrency: 3"
    assert one in as_it_was
    try:
        pipeline.write_text(as_it_was.replace(one, three))  # the same file: it is mounted
        scaled = ("up", "--detach", "--wait", "--no-build", "--no-recreate", "--scale")
        await asyncio.to_thread(compose_stack.compose, *scaled, "filesystem=3", "filesystem", limit=480)
        async with compose_stack.client() as client:

            async def all_there() -> bool:
                return any(step.name == "filesystem" and step.workers == 3 for step in await client.steps())

            await wait_until(all_there, "three workers say that they are there", 120)
            jobs = [await submit_files(compose_stack, client, repository) for repository in repositories]
            ended = [await compose_stack.ended(client, job) for job in jobs]
    finally:
        pipeline.write_text(as_it_was)
        compose_stack.compose(
            "up", "--detach", "--wait", "--no-build", "--scale", "filesystem=1", "filesystem", limit=240
        )

    steps = [step for job in ended for step in job.steps]
    starts = [step.started_at for step in steps if step.started_at]
    ends = [step.ended_at for step in steps if step.ended_at]
    assert [job.state for job in ended] == ["COMPLETED"] * 3
    assert max(starts) < min(ends)
    assert len({step.attempts[-1].worker for step in steps}) == 3


def test_a_repository_is_uploaded_where_nothing_is_mounted(compose_stack: ComposeStack, tmp_path: Path) -> None:
    repository = write_package(tmp_path / "compose-uploaded", modules=2)

    job = compose_stack.answer("ingest", "start", str(repository), "--upload")

    assert job["state"] == "COMPLETED"
    assert job["complete"]
    assert json.dumps(str(tmp_path)) not in json.dumps(job["repository"])
