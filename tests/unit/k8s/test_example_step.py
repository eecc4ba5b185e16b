"""A third-party step's component beside ours, as kustomize builds it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

ROOT = Path(__file__).parents[3]
K8S, EXAMPLE = ROOT / "k8s", ROOT / "tests" / "example_step" / "k8s"


@pytest.fixture(scope="module")
def built(composed: Callable[..., dict[tuple[str, str], Any]]) -> dict[tuple[str, str], Any]:
    """By kind and name."""
    return composed(K8S / "components" / "network-policies", EXAMPLE, K8S / "components" / "keda")


def test_it_is_valid_and_is_held_to_what_our_own_steps_are(built: dict[tuple[str, str], Any]) -> None:
    theirs, ours = (built["Deployment", name] for name in ("line-counter", "filesystem"))

    kubernetes_validate.validate(theirs, kubernetes_validate.latest_version(), strict=True)

    pods = [it["spec"]["template"]["spec"] for it in (theirs, ours)]
    [their], [our] = (pod["containers"] for pod in pods)
    assert pods[0]["securityContext"] == pods[1]["securityContext"]
    assert pods[0]["shareProcessNamespace"] == pods[1]["shareProcessNamespace"]
    assert pods[0]["terminationGracePeriodSeconds"] == pods[1]["terminationGracePeriodSeconds"]
    for same in ("securityContext", "env", "envFrom", "volumeMounts", "readinessProbe", "livenessProbe"):
        assert their[same] == our[same], same


def test_its_role_lets_it_through_and_its_key_is_its_own(built: dict[tuple[str, str], Any]) -> None:
    pod = built["Deployment", "line-counter"]["spec"]["template"]
    secrets = {it["secret"]["secretName"] for it in pod["spec"]["volumes"] if "secret" in it}

    assert pod["metadata"]["labels"]["codestory.org/role"] == "step"
    assert secrets == {"nats-step-line-counter", "neo4j"}
