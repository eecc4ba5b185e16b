"""What stands in the manifests and elsewhere too is the same in both places."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from codestory.bus import PRIORITIES
from codestory.nats_users.config import ACCOUNT

Base = dict[tuple[str, str], dict[str, Any]]

ROOT = Path(__file__).parents[3]
K8S = ROOT / "k8s"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "pipeline_config.yml").read_text())
#: Folder of each service's Dockerfile, by the name that Compose knows it by.
DOCKERFILES = {name: ROOT / it["build"]["dockerfile"] for name, it in COMPOSE.items() if "build" in it}
STEPS = [step["name"] for step in PIPELINE["steps"]]
#: Paths, which are other ones in a pod; and whom the orchestrator serves under which name.
ELSEWHERE = {"CODESTORY_NEO4J_PASSWORD_FILE", "CODESTORY_NATS_NKEY_SEED_FILE", "CODESTORY_SNAPSHOT_CACHE"}


def dashed(name: str) -> str:
    return name.replace("_", "-")


def config() -> dict[str, str]:
    lines = (K8S / "base" / "config.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def container_of(base: Base, name: str) -> dict[str, Any]:
    kind = "StatefulSet" if name in {"nats", "neo4j"} else "Deployment"
    [container] = base[kind, dashed(name)]["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("name", ["services/nats.conf", "pipeline_config.yml"])
def test_a_copy_is_equal_to_what_it_is_a_copy_of(name: str) -> None:
    assert (K8S / "base" / Path(name).name).read_bytes() == (ROOT / name).read_bytes(), f"cp {name} k8s/base/"


def test_every_service_of_compose_is_in_the_cluster_with_its_image(base: Base) -> None:
    images = {dashed(name): re.sub(r"\$\{CODESTORY_VERSION:-(.+)}", r"\1", it["image"]) for name, it in COMPOSE.items()}

    pods = {name: it for (kind, name), it in base.items() if kind in {"Deployment", "StatefulSet"}}
    assert set(pods) == set(images)
    assert {name: container_of(base, name)["image"] for name in pods} == images


def test_the_settings_of_all_services_are_those_of_compose() -> None:
    ours = config()
    given = {key: value for key, value in COMPOSE["filesystem"]["environment"].items() if key not in ELSEWHERE}
    theirs = {key: value for key, value in given.items() if not key.startswith("OTEL_")}

    assert {key: ours.get(key) for key in theirs} == theirs
    assert ours["OTEL_EXPORTER_OTLP_ENDPOINT"] == ""  # nowhere, unless the deployment says otherwise
    assert given["OTEL_EXPORTER_OTLP_ENDPOINT"] is None
    assert set(ours) >= ELSEWHERE


def test_every_setting_that_is_named_exists(base: Base) -> None:
    known = set(re.findall(r"`(CODESTORY_\w+)`", (ROOT / "docs" / "reference" / "settings.md").read_text()))
    text = "\n".join(path.read_text() for path in K8S.rglob("*") if path.suffix in {".yaml", ".env"})

    assert base
    assert set(re.findall(r"CODESTORY_[A-Z0-9_]*[A-Z0-9]", text)) - known == {"CODESTORY_OPENAI", "CODESTORY_AZURE"}


@pytest.mark.parametrize("service", DOCKERFILES)
def test_a_pod_asks_the_port_that_the_image_serves_and_runs_what_it_runs(base: Base, service: str) -> None:
    dockerfile = DOCKERFILES[service].read_text()
    container = container_of(base, service)
    [port] = re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE)
    [user] = re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)
    entry = f'["codestory-step", "{service}"]' if service in STEPS else '["codestory-orchestrator"]'

    assert [it["containerPort"] for it in container["ports"]] == [int(port)]
    assert container["startupProbe"]["httpGet"]["path"] == container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert base["Deployment", dashed(service)]["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == int(user)
    assert dockerfile.rstrip().endswith(f"ENTRYPOINT {entry}")
    assert not {"command", "args"} & set(container)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_scaled_by_its_own_consumers_up_to_its_concurrency(step: str) -> None:
    scaled = yaml.safe_load((K8S / "components" / "keda" / f"{dashed(step)}.yaml").read_text())["spec"]
    concurrency = next(it["concurrency"] for it in PIPELINE["steps"] if it["name"] == step)
    asked = [trigger["metadata"] for trigger in scaled["triggers"]]

    assert scaled["scaleTargetRef"] == {"name": dashed(step)}
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (0, concurrency)
    assert {(it["stream"], it["consumer"]) for it in asked} == {
        ("codestory_RUN", step),
        *(("codestory_READY", f"{priority}-{step}") for priority in PRIORITIES),
    }
    assert {it["account"] for it in asked} == {ACCOUNT}


def test_the_bus_and_the_graph_know_who_has_a_role(base: Base) -> None:
    """The network policies let in whoever has one."""
    for service in DOCKERFILES:
        labels = base["Deployment", dashed(service)]["spec"]["template"]["metadata"]["labels"]
        assert labels["codestory.org/role"] == ("step" if service in STEPS else "orchestrator")
