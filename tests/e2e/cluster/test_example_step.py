"""A step of somebody else's project in the cluster: a component of the overlay, with nothing of the base changed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from codestory.testing import executable

if TYPE_CHECKING:
    from conftest import Cluster, ClusterStack

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "tests" / "example_step"
TOOLS = Path(os.environ.get("CODESTORY_TOOLS") or ROOT.parent / "shared" / "tools")
LOAD = os.environ.get("CODESTORY_TEST_CLUSTER_LOAD") or f"{TOOLS / 'cluster.sh'} load"
STEP, DEPLOYMENT = "line_counter", "line-counter"
PIPELINE = "steps:\n  - name: filesystem\n  - name: line_counter\n    options:\n      languages: [Python]\n"
NEW_FILE_SECONDS = 180
MEASURED = """
MATCH (m:Metric {repo: $repo})-[:MEASURES]->(f:File)
RETURN m.name AS language, m.lines AS lines, f.path AS file ORDER BY file
"""


def run(command: list[str], limit: float = 120, environment: dict[str, str] | None = None) -> str:
    ran = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=limit, check=False
    )
    assert not ran.returncode, f"{shlex.join(command)} ended with {ran.returncode}: {ran.stderr[-4000:]}"
    return ran.stdout


@pytest.fixture
def image(cluster_stack: ClusterStack, tmp_path: Path) -> Iterator[str]:
    """Built as its author builds it, and in the cluster."""
    folder, name = tmp_path / "line_counter", f"example/line-counter:{cluster_stack.tag}"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("wheels", "__pycache__"))
    wheel = [executable("uv"), "build", "--quiet", "--wheel", "--offline", "--no-build-isolation"]
    run([*wheel, "--python", sys.executable, "--out-dir", str(folder / "wheels"), str(ROOT / "shared")])
    run(["docker", "build", "--quiet", "--tag", name, str(folder)], limit=900)
    run([*shlex.split(LOAD), name], limit=300)
    yield name
    run(["docker", "image", "rm", "--force", name])


def let_in(kubectl: Cluster, server: str) -> None:
    """The server reads its users again, once its pod has the new file: at the latest after a minute and a half."""
    # What is said of a pod makes its node look at it at once.
    kubectl("annotate", "pod", server, f"example.org/users={STEP}", "--overwrite")
    deadline = time.monotonic() + NEW_FILE_SECONDS
    while kubectl("exec", server, "--", "grep", "-q", STEP, "/etc/nats/auth.conf", check=False).returncode:
        assert time.monotonic() < deadline, f"{server} has no new file of users after {NEW_FILE_SECONDS} s"
    kubectl("exec", server, "--", "nats-server", "--signal", "reload=1")


@pytest.fixture
def line_counter(cluster_stack: ClusterStack, image: str) -> Iterator[ClusterStack]:
    """The stack that runs already, with the step's pods besides."""
    overlay = cluster_stack.overlay("with_line_counter")
    file = overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization["components"].append(os.path.relpath(EXAMPLE / "k8s", overlay))
    kustomization["images"].append({"name": "example/line-counter", "newTag": image.rpartition(":")[2]})
    file.write_text(yaml.safe_dump(kustomization))
    secrets = cluster_stack.secrets
    cluster_stack.answer("auth", "nats", "add-step", STEP, "--dir", str(secrets / "nats"))
    programs = {"CODESTORY": executable("codestory"), "PYTHON": sys.executable}
    made = run([str(ROOT / "k8s" / "make-secrets"), str(secrets)], environment=programs)
    cluster_stack.kubectl("apply", "--filename", "-", stdin=made)
    for server in cluster_stack.kubectl.pods("nats"):
        let_in(cluster_stack.kubectl, server["metadata"]["name"])
    cluster_stack.apply(overlay)
    try:
        cluster_stack.ready(f"deployment/{DEPLOYMENT}")
        yield cluster_stack
    finally:
        cluster_stack.kubectl("delete", f"deployment/{DEPLOYMENT}", "--ignore-not-found", limit=120)


def test_a_step_with_an_image_and_a_user_of_its_own_runs_where_a_pipeline_names_it(
    line_counter: ClusterStack, repository: Path, tmp_path: Path
) -> None:
    config = tmp_path / "with_line_counter.yml"
    config.write_text(PIPELINE)

    job = line_counter.answer("ingest", "start", str(repository), "--upload", "--config", str(config))

    assert job["state"] == "COMPLETED", job
    assert [step["name"] for step in job["steps"]] == ["filesystem", STEP]
    assert line_counter.answer("graph", "query", repository.name, MEASURED) == [
        {"language": "Python", "lines": 6, "file": "src/rest.py"},
        {"language": "Python", "lines": 6, "file": "src/work.py"},
    ]
