"""The manifests as files, and as kustomize builds them."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
K8S = ROOT / "k8s"
#: Where continuous integration puts it, beside the path.
INSTALLED = Path("/tmp/kustomize/kustomize")
HOW = "GOBIN=/tmp/kustomize go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.0"


@pytest.fixture(scope="session")
def kustomize() -> tuple[str, ...]:
    """The command that builds an overlay: kustomize's own, or kubectl's."""
    if found := shutil.which("kustomize") or (str(INSTALLED) if INSTALLED.exists() else ""):
        return (found, "build")
    if found := os.environ.get("KUBECTL") or shutil.which("kubectl"):
        return (found, "kustomize")
    pytest.skip(f"neither kustomize nor kubectl is here: {HOW}")


@pytest.fixture(scope="session")
def overlays(kustomize: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    """What each overlay comes to, by its name."""
    return {path.parent.name: build(kustomize, path.parent) for path in K8S.glob("overlays/*/kustomization.yaml")}


@pytest.fixture(scope="session")
def composed(
    kustomize: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[tuple[str, str], dict[str, Any]]]:
    """The base with components, the folders of them given, as kustomize builds it: by kind and name."""

    def of(*components: Path) -> dict[tuple[str, str], dict[str, Any]]:
        folder = tmp_path_factory.mktemp("overlay")
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "codestory",
            "resources": [os.path.relpath(K8S / "base", folder)],
            "components": [os.path.relpath(component, folder) for component in components],
        }
        (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
        return {(it["kind"], it["metadata"]["name"]): it for it in build(kustomize, folder)}

    return of


def build(kustomize: tuple[str, ...], overlay: Path) -> list[dict[str, Any]]:
    ran = subprocess.run([*kustomize, str(overlay)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Warning" not in ran.stderr
    return list(yaml.safe_load_all(ran.stdout))


@pytest.fixture(scope="session")
def base() -> dict[tuple[str, str], dict[str, Any]]:
    """What the files of the base say, by kind and name."""
    documents = [it for path in (K8S / "base").glob("*.yaml") for it in yaml.safe_load_all(path.read_text())]
    return {(it["kind"], it["metadata"]["name"]): it for it in documents if "metadata" in it}
