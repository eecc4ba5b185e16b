"""A third-party step's component beside ours, as kustomize builds it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[3]
K8S, EXAMPLE = ROOT / "k8s", ROOT / "tests" / "example_step" / "k8s"


@pytest.fixture(scope="module")
def built(kustomize: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """By kind and name."""
    folder = tmp_path_factory.mktemp("overlay")
    components = [K8S / "components" / "network-policies", EXAMPLE, K8S / "components" / "keda"]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "codestory",
        "resources": [os.path.relpath(K8S / "base", folder)],
        "components": [os.path.relpath(component, folder) for component in components],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    ran = subprocess.run([*kustomize, str(folder)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return {(it["kind"], it["metadata"]["name"]): it for it in yaml.safe_load_all(ran.stdout)}


def test_it_is_valid_and_is_held_to_what_our_own_steps_are(built: dict[tuple[str, str], Any]) -> None:
    theirs, ours = (built["Deployment", name] for name in ("line-counter", "filesystem"))

    kubernetes_validate.validate(theirs, kubernetes_validate.latest_version(), strict=True)

    pods = [it["spec"]["template"]["spec"] for it in (theirs, ours)]
    [their], [our] = (pod["containers"] for pod in pods)
    assert pods[0]["securityContext"] == pods[1]["securityContext"]
    assert pods[0]["terminationGracePeriodSeconds"] == pods[1]["terminationGracePeriodSeconds"]
    for same in ("securityContext", "env", "envFrom", "volumeMounts", "readinessProbe", "livenessProbe"):
        assert their[same] == our[same], same


def test_its_role_lets_it_through_and_its_key_is_its_own(built: dict[tuple[str, str], Any]) -> None:
    pod = built["Deployment", "line-counter"]["spec"]["template"]
    secrets = {it["secret"]["secretName"] for it in pod["spec"]["volumes"] if "secret" in it}

    assert pod["metadata"]["labels"]["codestory.org/role"] == "step"
    assert secrets == {"nats-step-line-counter", "neo4j"}
