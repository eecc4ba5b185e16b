"""KEDA takes a step from no pod to two and back to none, and ends none that is at work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codestory.testing import wait_until

if TYPE_CHECKING:
    from conftest import ClusterStack

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.timeout(1500, func_only=True)]

STEP, DEPLOYMENT = "documentation_grapher", "documentation-grapher"
#: It looks often, and waits for seconds where it would wait for minutes.
QUICK = {
    "/spec/cooldownPeriod": 10,
    "/spec/initialCooldownPeriod": 0,
    "/spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleDown/stabilizationWindowSeconds": 5,
}
#: So many that two are at work for longer than a scaler takes to look; one that is alone in the end.
SHORT, SHORT_PAGES, LONG_PAGES = 5, 150, 900


@pytest.fixture
def scaled(cluster_stack: ClusterStack) -> Iterator[ClusterStack]:
    """The stack with KEDA's component, as long as the test takes."""
    kubectl = cluster_stack.kubectl
    if kubectl("get", "crd", "scaledobjects.keda.sh", check=False).returncode:
        pytest.skip(
            "KEDA is not in the cluster: keda.sh install, keda.sh up (or https://keda.sh), then make test-cluster"
        )
    overlay = cluster_stack.overlay("scaled", "keda")
    kustomization = json.loads((overlay / "kustomization.yaml").read_text())
    patch = [{"op": "replace", "path": path, "value": value} for path, value in QUICK.items()]
    kustomization["patches"] = [{"target": {"kind": "ScaledObject"}, "patch": json.dumps(patch)}]
    (overlay / "kustomization.yaml").write_text(json.dumps(kustomization))
    cluster_stack.apply(overlay)
    try:
        yield cluster_stack
    finally:
        kubectl("delete", "scaledobjects.keda.sh", "--all", "--timeout=100s", limit=120, check=False)
        cluster_stack.apply(cluster_stack.overlay("stack"))
        kubectl("scale", "deployment", "--selector", "codestory.org/role=step", "--replicas=1")
        cluster_stack.ready(f"deployment/{DEPLOYMENT}")


def documents(root: Path, pages: int) -> Path:
    root.mkdir()
    for page in range(pages):
        text = "\n\n".join(f"Part {part}\n------\n\nSee `page{part}.rst` and ``work_{part}``." for part in range(12))
        (root / f"page{page}.rst").write_text(f"Page {page}\n==========\n\n{text}\n")
    return root


async def test_a_step_is_scaled_from_no_pod_to_two_and_back_and_none_is_ended_at_work(
    scaled: ClusterStack, tmp_path: Path
) -> None:
    def pods() -> int:
        return scaled.kubectl.get("deployment", DEPLOYMENT)["status"].get("replicas", 0)

    async def none() -> bool:
        return pods() == 0

    most = 0

    async def over() -> bool:
        nonlocal most
        most = max(most, pods())
        return all([(await client.get(job)).state.ended for job in jobs])

    await wait_until(none, "no pod while there is nothing to do", 300)
    repositories = [documents(tmp_path / f"{tmp_path.name}-long", LONG_PAGES)]
    repositories += [documents(tmp_path / f"{tmp_path.name}-{n}", SHORT_PAGES) for n in range(SHORT)]
    async with scaled.client() as client:
        jobs = [scaled.start(repository, "--steps", STEP) for repository in repositories]
        await wait_until(over, "all jobs ended", 700)
        steps = [(await client.get(job)).steps[0] for job in jobs]
    await wait_until(none, "no pod once there is nothing left to do", 300)

    assert most == 2
    assert [step.state for step in steps] == ["COMPLETED"] * len(jobs)
    assert [len(step.attempts) for step in steps] == [1] * len(jobs)
    assert len({step.attempts[0].worker for step in steps}) >= 2
