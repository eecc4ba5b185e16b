"""Every overlay is what Kubernetes and KEDA take, and keeps the rules of the house."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import jsonschema
import kubernetes_validate
import pytest

from codestory.contracts.planning import Lag
from codestory.steps.settings import HostSettings

Overlays = dict[str, list[dict[str, Any]]]

K8S = Path(__file__).parents[3] / "k8s"
SCHEMA = Path(__file__).with_name("keda-2.21.0-scaledobject.json")
BUILT_BY_OTHERS = {"nats", "neo4j"}
GRACE_BEYOND_DRAIN = 10  # for the kill of a child, and the last messages


def workloads(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and pod of each."""
    for it in documents:
        if it["kind"] in {"Deployment", "StatefulSet"}:
            yield it["metadata"]["name"], it["spec"]["template"]["spec"]


def closed(schema: Any) -> Any:
    """As the API server reads it strictly: an object has the fields that are named, and no others."""
    if not isinstance(schema, dict):
        return schema
    copy: dict[str, Any] = {key: closed(value) for key, value in cast("dict[str, Any]", schema).items()}
    if isinstance(copy.get("properties"), dict) and copy.get("type") == "object":
        copy.setdefault("additionalProperties", False)
    return copy


def schema_of_keda() -> dict[str, Any]:
    schema = closed(json.loads(SCHEMA.read_text()))
    schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    return schema


def test_every_resource_is_valid_to_the_last_field(overlays: Overlays) -> None:
    version = kubernetes_validate.latest_version()

    assert set(overlays) == {"dev", "production"}
    for document in (it for documents in overlays.values() for it in documents):
        if not document["apiVersion"].startswith("keda.sh/"):
            kubernetes_validate.validate(document, version, strict=True)


def test_what_is_kedas_is_valid_by_kedas_own_schema(overlays: Overlays) -> None:
    schema = schema_of_keda()
    scaled = [it for it in overlays["production"] if it["apiVersion"].startswith("keda.sh/")]

    assert len(scaled) == 4
    for document in scaled:
        jsonschema.validate(document, schema)
    wrong = {**scaled[0], "spec": {**scaled[0]["spec"], "minReplicas": 0}}
    with pytest.raises(jsonschema.ValidationError, match="minReplicas"):
        jsonschema.validate(wrong, schema)


def test_the_orchestrator_is_asked_for_each_step_where_the_bus_is_not(
    composed: Callable[..., dict[tuple[str, str], dict[str, Any]]],
) -> None:
    built = composed(K8S / "components" / "keda", K8S / "components" / "keda-metrics-api")
    [port] = built["Service", "orchestrator"]["spec"]["ports"]
    where = f"http://orchestrator.codestory.svc.cluster.local:{port['port']}/v1/ingest/scale"
    [secret] = built["TriggerAuthentication", "keda-viewer"]["spec"]["secretTargetRef"]

    assert secret["parameter"] == "token"
    for name in ("blarify", "filesystem", "summarizer", "documentation-grapher"):
        scaled = built["ScaledObject", name]
        jsonschema.validate(scaled, schema_of_keda())
        [trigger] = scaled["spec"]["triggers"]
        assert trigger["type"] == "metrics-api"
        assert trigger["authenticationRef"] == {"name": "keda-viewer"}
        assert trigger["metadata"]["url"] == f"{where}/{name.replace('-', '_')}"
        assert trigger["metadata"]["valueLocation"] in Lag.model_fields


def test_every_pod_is_restricted_and_says_what_it_takes(overlays: Overlays) -> None:
    for name, pod in (it for documents in overlays.values() for it in workloads(documents)):
        [container] = pod["containers"]
        security = container["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert security["allowPrivilegeEscalation"] is False, name
        assert security.get("readOnlyRootFilesystem") or name == "neo4j", name
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), name


def test_every_probe_asks_a_port_that_the_container_has(overlays: Overlays) -> None:
    for name, pod in (it for documents in overlays.values() for it in workloads(documents)):
        [container] = pod["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container[probe].get("httpGet") or container[probe]["tcpSocket"]
            assert asked["port"] in ports, (name, probe)


def test_no_pod_is_killed_before_it_has_drained(overlays: Overlays) -> None:
    for documents in overlays.values():
        for name, pod in workloads(documents):
            settings = {it["name"]: it.get("value") for it in pod["containers"][0].get("env", [])}
            drain = float(settings.get("CODESTORY_DRAIN_SECONDS") or HostSettings().drain_seconds)
            assert pod["terminationGracePeriodSeconds"] >= drain + GRACE_BEYOND_DRAIN, name


def test_a_pod_that_is_told_to_go_before_its_program_listens_goes(overlays: Overlays) -> None:
    """The first process of a container hears no signal that it has not asked for."""
    for name, pod in (it for documents in overlays.values() for it in workloads(documents)):
        if name not in BUILT_BY_OTHERS:
            assert pod.get("shareProcessNamespace") is True, name


def test_everything_lies_in_one_namespace_and_every_selector_finds_a_pod(overlays: Overlays) -> None:
    for documents in overlays.values():
        spaces = {it["metadata"]["namespace"] for it in documents if it["kind"] != "Namespace"}
        assert spaces == {"codestory"}
        labels = [it["spec"]["template"]["metadata"]["labels"] for it in documents if "template" in it.get("spec", {})]
        for it in documents:
            if it["kind"] in {"Service", "PodDisruptionBudget"}:
                selector = it["spec"]["selector"]
                wanted = selector.get("matchLabels", selector).items()
                assert any(wanted <= pod.items() for pod in labels), it["metadata"]


def test_the_production_overlay_says_where_every_image_of_ours_is(overlays: Overlays) -> None:
    images = [pod["containers"][0]["image"] for _, pod in workloads(overlays["production"])]

    assert [image for image in images if image.startswith("codestory/")] == []
    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []
