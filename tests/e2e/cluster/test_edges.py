"""Who reaches whom in the cluster, and what its API server says of the manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codestory.testing import wait_until

if TYPE_CHECKING:
    from conftest import Cluster, ClusterStack

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.timeout(900, func_only=True)]

OVERLAYS = sorted(path.parent for path in (Path(__file__).parents[3] / "k8s" / "overlays").glob("*/kustomization.yaml"))
LOCKED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}


def bystander(labels: dict[str, str]) -> str:
    """A pod that does nothing, in a namespace that has its policies from nobody but its labels."""
    container = {
        "name": "it",
        "image": "python:3.13-slim",
        "command": ["python", "-c", "import signal; signal.sigwait([signal.SIGTERM])"],
        "securityContext": LOCKED,
    }
    security = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security, "automountServiceAccountToken": False}
    metadata = {"name": "bystander", "labels": labels}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


@pytest.fixture
def foreign(cluster_stack: ClusterStack) -> Iterator[Cluster]:
    """A namespace of somebody else's, with a pod that calls itself what ours are called."""
    there = type(cluster_stack.kubectl)(cluster_stack.kubectl.program, f"{cluster_stack.kubectl.namespace}-foreign")
    there("create", "namespace", there.namespace)
    try:
        labels = {"app": "filesystem", "codestory.org/role": "step"}
        there("apply", "--filename", "-", stdin=bystander(labels))
        there("wait", "--for=condition=Ready", "pod/bystander", "--timeout=180s", limit=200)
        yield there
    finally:
        there.delete()


@pytest.fixture
def stranger(cluster_stack: ClusterStack) -> Iterator[str]:
    """A pod in our own namespace that has no role there."""
    kubectl = cluster_stack.kubectl
    kubectl("apply", "--filename", "-", stdin=bystander({"app": "stranger"}))
    try:
        kubectl("wait", "--for=condition=Ready", "pod/bystander", "--timeout=180s", limit=200)
        yield "bystander"
    finally:
        kubectl("delete", "pod", "bystander", "--grace-period=1", check=False)


async def test_a_pod_of_a_foreign_namespace_reaches_the_api_and_neither_bus_nor_graph(
    cluster_stack: ClusterStack, foreign: Cluster
) -> None:
    kubectl = cluster_stack.kubectl
    addresses = {
        app: kubectl.pods(app)[0]["status"]["podIP"] for app in ("nats", "neo4j", "orchestrator", "filesystem")
    }

    async def open_door() -> bool:  # a new pod may be unknown to the policies for some moments
        return foreign.connects("bystander", addresses["orchestrator"], 8420)

    await wait_until(open_door, "the foreign pod reaches the API", 60)

    closed = [("nats", 4222), ("nats", 6222), ("nats", 8222), ("neo4j", 7687), ("filesystem", 8421)]
    assert [(app, port) for app, port in closed if foreign.connects("bystander", addresses[app], port)] == []
    step = kubectl.pods("filesystem")[0]["metadata"]["name"]
    assert kubectl.connects(step, addresses["nats"], 4222)
    assert kubectl.connects(step, addresses["neo4j"], 7687)


def test_a_step_reaches_bus_and_graph_and_no_other_pod(cluster_stack: ClusterStack, stranger: str) -> None:
    kubectl = cluster_stack.kubectl
    [step] = kubectl.pods("filesystem")
    api = kubectl.pods("orchestrator")[0]["status"]["podIP"]
    bus = kubectl.pods("nats")[0]["status"]["podIP"]
    name = step["metadata"]["name"]

    assert kubectl.connects(name, bus, 4222)
    assert not kubectl.connects(name, api, 8420)
    assert not kubectl.connects(name, bus, 8222)
    assert not kubectl.connects(stranger, bus, 4222)


def test_every_pod_runs_without_rights_and_without_a_warning(cluster_stack: ClusterStack) -> None:
    kubectl = cluster_stack.kubectl
    for pod in kubectl.get("pods")["items"]:
        for container in pod["spec"]["containers"]:
            security = container["securityContext"]
            name = pod["metadata"]["name"]
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert not security["allowPrivilegeEscalation"], name
            assert security.get("readOnlyRootFilesystem") or pod["metadata"]["labels"]["app"] == "neo4j", name

    again = cluster_stack.apply(cluster_stack.overlay("stack"))

    assert "Warning" not in again.stderr


def test_every_stream_lies_on_all_three_servers(cluster_stack: ClusterStack) -> None:
    told = cluster_stack.kubectl(
        "exec", "nats-0", "--", "wget", "-qO-", "http://127.0.0.1:8222/jsz?acc=CODESTORY&streams=true&config=true"
    )
    [account] = json.loads(told.stdout)["account_details"]

    replicas = {stream["name"]: stream["config"]["num_replicas"] for stream in account["stream_detail"]}
    assert "codestory_RUN" in replicas
    assert set(replicas.values()) == {3}


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_the_api_server_takes_every_overlay(cluster_stack: ClusterStack, overlay: Path) -> None:
    """What needs KEDA only where it is."""
    kubectl = cluster_stack.kubectl
    namespace = f"{kubectl.namespace}-{overlay.name}"
    built = kubectl.build(overlay).replace("namespace: codestory\n", f"namespace: {namespace}\n")
    documents = [document for document in built.split("\n---\n") if not left_out(kubectl, document)]
    kubectl("create", "namespace", namespace)
    try:
        kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted")
        told = kubectl(
            "--namespace",
            namespace,
            "apply",
            "--server-side",
            "--dry-run=server",
            "--filename",
            "-",
            stdin="\n---\n".join(documents),
        )
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")

    assert "Warning" not in told.stderr
    assert told.stdout.count("serverside-applied") == len(documents)


def left_out(kubectl: Cluster, document: str) -> bool:
    if "\nkind: Namespace\n" in f"\n{document}":
        return True
    return "apiVersion: keda.sh" in document and not has_keda(kubectl)


def has_keda(kubectl: Cluster) -> bool:
    found: Any = kubectl("get", "crd", "scaledobjects.keda.sh", check=False)
    return found.returncode == 0
