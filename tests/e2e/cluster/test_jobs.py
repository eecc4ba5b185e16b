"""Jobs in the cluster, from this host: by the command line and the SDK, while pods go and come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codestory.testing import EmbeddedStack, wait_until

if TYPE_CHECKING:
    from conftest import ClusterStack

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.timeout(1500, func_only=True)]

#: Exit codes: without gaps, with some.
DONE = (0, 3)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Enough that a step is still at it when its pod is deleted."""
    return files(tmp_path / tmp_path.name, 800)


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """Enough that it is still at it when another program has been started, which cancels it."""
    return files(tmp_path / tmp_path.name, 4000)


def files(root: Path, count: int) -> Path:
    for number in range(count):
        folder = root / f"folder{number % 40}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}.py").write_text(f"def f{number}(x):\n    return x + {number}\n")
    return root


def edit(root: Path) -> None:
    (root / "src" / "work.py").write_text(
        '"""Works."""\n\n\ndef work() -> int:\n    return rest()\n\n\ndef rest() -> int:\n    return 0\n'
    )
    (root / "src" / "rest.py").unlink()


def test_an_uploaded_repository_and_its_update_give_the_graph_that_the_embedded_stack_gives(
    cluster_stack: ClusterStack, stack: EmbeddedStack, repository: Path
) -> None:
    cluster_stack.answer("ingest", "start", str(repository), "--upload", codes=DONE)
    before = cluster_stack.digest(repository.name)
    edit(repository)
    cluster_stack.answer("ingest", "update", str(repository), "--upload", codes=DONE)
    stack.answer("ingest", "start", str(repository))
    embedded = stack.answer("graph", "digest", repository.name)["digest"]

    assert before != cluster_stack.digest(repository.name) == embedded


async def test_a_pod_that_is_deleted_in_the_middle_of_a_step_costs_time_and_nothing_else(
    cluster_stack: ClusterStack, large: Path
) -> None:
    async with cluster_stack.client() as client:
        job = cluster_stack.start(large, "--steps", "filesystem")
        before = await cluster_stack.writing(client, job, "filesystem")
        await gone(cluster_stack, "filesystem", "--grace-period=0", "--force")
        killed = await cluster_stack.ended(client, job)
        digest = cluster_stack.digest(large.name)
        again = await cluster_stack.ended(client, cluster_stack.start(large, "--steps", "filesystem"))

    assert killed.state == again.state == "COMPLETED"
    assert killed.steps[0].attempts[-1].worker != before.attempts[-1].worker
    assert again.steps[0].outcome
    assert again.steps[0].outcome.written == {}
    assert cluster_stack.digest(large.name) == digest


async def test_a_new_image_is_rolled_out_in_the_middle_of_a_job_and_no_attempt_is_counted(
    cluster_stack: ClusterStack, second_image: Callable[[str], str], large: Path
) -> None:
    image = second_image("filesystem")
    async with cluster_stack.client() as client:
        job = cluster_stack.start(large, "--steps", "filesystem,documentation_grapher")
        before = await cluster_stack.writing(client, job, "filesystem")
        cluster_stack.kubectl("set", "image", "deployment/filesystem", f"filesystem={image}")
        cluster_stack.ready("deployment/filesystem")
        done = await cluster_stack.ended(client, job)

    [pod] = cluster_stack.kubectl.pods("filesystem")
    assert done.state == "COMPLETED"
    assert (before.retries, done.steps[0].retries) == (0, 0)
    assert pod["spec"]["containers"][0]["image"] == image


async def test_a_server_of_the_bus_and_an_orchestrator_are_lost_and_the_job_goes_on(
    cluster_stack: ClusterStack, large: Path
) -> None:
    async with cluster_stack.client() as client:
        job = cluster_stack.start(large, "--steps", "filesystem")
        await cluster_stack.writing(client, job, "filesystem")
        cluster_stack.kubectl("delete", "pod", "nats-0", "--grace-period=0", "--force", "--wait=false")
        await gone(cluster_stack, "orchestrator", "--grace-period=0", "--force")
        done = await cluster_stack.ended(client, job)

    cluster_stack.ready("statefulset/nats", "deployment/orchestrator")
    assert done.state == "COMPLETED"
    assert cluster_stack.digest(large.name)


async def test_a_job_that_runs_is_cancelled_by_the_command_line(cluster_stack: ClusterStack, larger: Path) -> None:
    async with cluster_stack.client() as client:
        job = cluster_stack.start(larger, "--steps", "filesystem")
        await cluster_stack.writing(client, job, "filesystem")
        told = await asyncio.to_thread(cluster_stack.answer, "ingest", "cancel", job)

    assert told["state"] == "CANCELLED"


async def gone(stack: ClusterStack, app: str, *how: str) -> None:
    """Delete the pods of one service; another has taken their place when this returns."""
    old = {pod["metadata"]["name"] for pod in stack.kubectl.pods(app)}
    stack.kubectl("delete", "pod", *old, "--wait=false", *how)

    async def replaced() -> bool:
        now = stack.kubectl.pods(app)
        ready = [pod for pod in now if pod["metadata"]["name"] not in old and is_ready(pod)]
        return bool(ready)

    await wait_until(replaced, f"another pod of {app}", 240)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(it["type"] == "Ready" and it["status"] == "True" for it in conditions)
