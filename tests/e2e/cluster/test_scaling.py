"""KEDA takes a step from no pod to two and back to none, and ends none that is at work."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codestory.testing import wait_until

if TYPE_CHECKING:
    from conftest import Cluster, ClusterStack

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.timeout(1500, func_only=True)]

STEP, DEPLOYMENT = "documentation_grapher", "documentation-grapher"
#: It looks often, and waits for seconds where it would wait for minutes.
QUICK = {
    "/spec/pollingInterval": 2,
    "/spec/cooldownPeriod": 10,
    "/spec/initialCooldownPeriod": 0,
    "/spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleDown/stabilizationWindowSeconds": 5,
}
#: The long one goes on while a second pod comes, does the short one, and goes: on a fast machine too, by this limit.
LONG_PAGES, MIDDLE_PAGES, SHORT_PAGES = 1200, 250, 10
CPU = "250m"


class Replicas:
    """How many pods a deployment has had since this began: every change of it."""

    def __init__(self, kubectl: Cluster, deployment: str) -> None:
        self.seen: list[int] = []
        self._kubectl, self._deployment = kubectl, deployment
        command = [kubectl.program, "-n", kubectl.namespace, "get", "deployment", deployment, "--watch"]
        self._process = subprocess.Popen(
            [*command, "--output", 'jsonpath={.status.replicas}{"\\n"}'],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            number = int(line.strip() or 0)
            if self.seen[-1:] != [number]:
                self.seen.append(number)

    async def none(self) -> bool:
        """Nor any that has been told to go and goes on."""
        pods = self._kubectl.get("pods", "--selector", f"app={self._deployment}")["items"]
        return self.seen[-1:] == [0] and not pods

    async def two_and_then_one(self) -> bool:
        return 2 in self.since_none and self.seen[-1] == 1

    @property
    def since_none(self) -> list[int]:
        """Without those that were there when this began, and those that took their place with other settings."""
        return self.seen[self.seen.index(0) :]

    def close(self) -> None:
        self._process.kill()
        self._thread.join(10)
        with self._process:  # closes the pipe
            pass


@pytest.fixture(scope="module")
def with_keda(cluster_stack: ClusterStack) -> Iterator[ClusterStack]:
    """The stack, whose scaled objects go when the tests have been."""
    kubectl = cluster_stack.kubectl
    if kubectl("get", "crd", "scaledobjects.keda.sh", check=False).returncode:
        pytest.skip(
            "KEDA is not in the cluster: keda.sh install, keda.sh up (or https://keda.sh), then make test-cluster"
        )
    try:
        yield cluster_stack
    finally:
        kubectl("delete", "scaledobjects.keda.sh", "--all", "--timeout=100s", limit=120, check=False)
        cluster_stack.apply(cluster_stack.overlay("stack"))
        kubectl("scale", "deployment", "--selector", "codestory.org/role=step", "--replicas=1")
        cluster_stack.ready(f"deployment/{DEPLOYMENT}")


@pytest.fixture
def replicas(with_keda: ClusterStack) -> Iterator[Replicas]:
    seen = Replicas(with_keda.kubectl, DEPLOYMENT)
    yield seen
    seen.close()


def scale(stack: ClusterStack, *components: str) -> None:
    """By these components, without their long waits."""
    overlay = stack.overlay("-".join(components), *components)
    kustomization = json.loads((overlay / "kustomization.yaml").read_text())
    quick = [{"op": "replace", "path": path, "value": value} for path, value in QUICK.items()]
    slow = [{"op": "add", "path": "/spec/template/spec/containers/0/resources/limits/cpu", "value": CPU}]
    kustomization["patches"] = [
        {"target": {"kind": "ScaledObject"}, "patch": json.dumps(quick)},
        {"target": {"kind": "Deployment", "name": DEPLOYMENT}, "patch": json.dumps(slow)},
    ]
    (overlay / "kustomization.yaml").write_text(json.dumps(kustomization))
    stack.apply(overlay)


def documents(root: Path, pages: int) -> Path:
    root.mkdir()
    for page in range(pages):
        text = "\n\n".join(f"Part {part}\n------\n\nSee `page{part}.rst` and ``work_{part}``." for part in range(12))
        (root / f"page{page}.rst").write_text(f"Page {page}\n==========\n\n{text}\n")
    return root


async def submitted(stack: ClusterStack, tmp_path: Path, *pages: int) -> list[str]:
    """A job for each number of pages."""
    roots = [documents(tmp_path / f"{tmp_path.name}-{count}-{n}", count) for n, count in enumerate(pages)]
    return await asyncio.gather(*(asyncio.to_thread(stack.start, root, "--steps", STEP) for root in roots))


async def test_a_step_is_scaled_from_no_pod_to_two_and_back_and_none_is_ended_at_work(
    with_keda: ClusterStack, replicas: Replicas, tmp_path: Path
) -> None:
    scale(with_keda, "keda")
    await wait_until(replicas.none, "no pod while there is nothing to do", 300)
    async with with_keda.client() as client:
        [long] = await submitted(with_keda, tmp_path, LONG_PAGES)
        await with_keda.writing(client, long, STEP)
        [short] = await submitted(with_keda, tmp_path, SHORT_PAGES)
        await wait_until(replicas.two_and_then_one, "two pods, then one of them", 400)
        meanwhile = await client.get(long)
        ended = [await with_keda.ended(client, job) for job in (long, short)]
    await wait_until(replicas.none, "no pod once there is nothing left to do", 300)

    assert max(replicas.since_none) == 2
    assert not meanwhile.state.ended
    assert [job.state for job in ended] == ["COMPLETED"] * 2
    assert [len(job.steps[0].attempts) for job in ended] == [1] * 2
    assert len({job.steps[0].attempts[0].worker for job in ended}) == 2


async def test_a_step_is_scaled_by_what_the_orchestrator_says_of_it(
    with_keda: ClusterStack, replicas: Replicas, tmp_path: Path
) -> None:
    with_keda.kubectl("create", "secret", "generic", "keda-viewer", f"--from-literal=key={with_keda.viewer_key}")
    scale(with_keda, "keda", "keda-metrics-api")
    await wait_until(replicas.none, "no pod while there is nothing to do", 300)
    async with with_keda.client() as client:
        jobs = await submitted(with_keda, tmp_path, MIDDLE_PAGES, MIDDLE_PAGES)
        ended = [await with_keda.ended(client, job) for job in jobs]
    await wait_until(replicas.none, "no pod once there is nothing left to do", 300)
    objects = with_keda.kubectl.get("scaledobjects.keda.sh")["items"]

    assert {trigger["type"] for it in objects for trigger in it["spec"]["triggers"]} == {"metrics-api"}
    assert max(replicas.since_none) == 2
    assert [job.state for job in ended] == ["COMPLETED"] * 2
    assert [len(job.steps[0].attempts) for job in ended] == [1] * 2
