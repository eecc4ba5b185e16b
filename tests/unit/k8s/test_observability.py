"""What watches the system, as kustomize builds it: valid, restricted, reachable, and what Compose has."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

Built = dict[tuple[str, str], dict[str, Any]]

ROOT = Path(__file__).parents[3]
COMPONENTS, OBSERVABILITY = ROOT / "k8s" / "components", ROOT / "observability"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.observability.yaml").read_text())["services"]
WATCHERS = ("collector", "traces", "prometheus", "grafana")


@pytest.fixture(scope="module")
def built(composed: Callable[..., Built]) -> Built:
    """By kind and name, with all that production has."""
    names = ("nats-cluster", "keda", "network-policies", "disruption-budgets", "observability", "observability/edges")
    return composed(*(COMPONENTS / name for name in names))


def pod(built: Built, name: str) -> dict[str, Any]:
    return built["StatefulSet" if name in {"nats", "neo4j"} else "Deployment", name]["spec"]["template"]


def containers(built: Built) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in WATCHERS:
        [container] = pod(built, name)["spec"]["containers"]
        yield name, container
    yield "nats-exporter", next(it for it in pod(built, "nats")["spec"]["containers"] if it["name"] == "exporter")


def test_every_resource_is_valid_to_the_last_field(built: Built) -> None:
    for (kind, _), document in built.items():
        if kind != "ScaledObject":
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_every_container_is_restricted_and_says_what_it_takes(built: Built) -> None:
    for name, container in containers(built):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"], name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert security["allowPrivilegeEscalation"] is False, name
        assert "memory" in container["resources"]["limits"], name
    for name in WATCHERS:
        spec = pod(built, name)["spec"]
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["automountServiceAccountToken"] is False, name
        ports = {it["name"] for it in spec["containers"][0]["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert spec["containers"][0][probe]["httpGet"]["port"] in ports, name


def test_images_are_those_of_compose(built: Built) -> None:
    assert {name: it["image"] for name, it in containers(built)} == {
        name: COMPOSE[name]["image"] for name in (*WATCHERS, "nats-exporter")
    }


def test_the_bus_keeps_its_own_container_and_each_of_its_servers_has_an_exporter(built: Built) -> None:
    assert [it["name"] for it in pod(built, "nats")["spec"]["containers"]] == ["nats", "exporter"]
    assert built["StatefulSet", "nats"]["spec"]["replicas"] == len("abc")


def test_the_configuration_is_that_of_compose(built: Built) -> None:
    data = {key: text for (kind, _), it in built.items() if kind == "ConfigMap" for key, text in it["data"].items()}
    files = [path for path in OBSERVABILITY.rglob("*") if path.is_file()]
    read = {path.name: path.read_text() for path in files if path.name in data}

    assert set(read) == {path.name for path in files} - {"alerts_test.yaml", "kustomization.yaml"}
    assert {name: data[name] for name in read} == read


def test_prometheus_finds_every_replica_by_the_names_that_it_asks(built: Built) -> None:
    jobs = yaml.safe_load((OBSERVABILITY / "prometheus.yaml").read_text())["scrape_configs"]
    asked = {name: sd["port"] for job in jobs for sd in job.get("dns_sd_configs", ()) for name in sd["names"]}

    assert set(asked) == {"orchestrators", "steps", "nats-exporters"}
    for name, port in asked.items():
        service = built["Service", name]["spec"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True  # one that is not ready is looked at all the more
        assert [it["port"] for it in service["ports"]] == [port]
        pods = [it["spec"]["template"] for (kind, _), it in built.items() if kind in {"Deployment", "StatefulSet"}]
        found = [it for it in pods if service["selector"].items() <= it["metadata"]["labels"].items()]
        assert found
        for it in found:
            ports = [p["containerPort"] for container in it["spec"]["containers"] for p in container["ports"]]
            assert port in ports, name


def test_every_service_sends_its_spans_to_the_collector(built: Built) -> None:
    endpoint = built["ConfigMap", "codestory"]["data"]["OTEL_EXPORTER_OTLP_ENDPOINT"]

    assert endpoint == "http://collector:4318"
    assert endpoint in COMPOSE["filesystem"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert 4318 in [it["port"] for it in built["Service", "collector"]["spec"]["ports"]]


@pytest.mark.parametrize(
    ("here", "there", "port"),
    [
        ("prometheus", "orchestrator", 8420),
        ("prometheus", "filesystem", 8421),
        ("prometheus", "nats", 7777),
        ("prometheus", "collector", 8888),
        ("filesystem", "collector", 4318),
        ("orchestrator", "collector", 4318),
        ("collector", "traces", 4317),
        ("grafana", "prometheus", 9090),
        ("grafana", "traces", 16686),
    ],
)
def test_the_policies_let_through_what_is_asked(built: Built, here: str, there: str, port: int) -> None:
    assert lets(built, here, there, port)


@pytest.mark.parametrize(
    ("here", "there", "port"),
    [
        ("grafana", "orchestrator", 8421),
        ("grafana", "nats", 7777),
        ("grafana", "neo4j", 7687),
        ("prometheus", "neo4j", 7687),
        ("filesystem", "prometheus", 9090),
        ("filesystem", "traces", 4317),
        ("neo4j", "collector", 4318),
        ("traces", "nats", 4222),
    ],
)
def test_the_policies_let_through_nothing_else(built: Built, here: str, there: str, port: int) -> None:
    assert not lets(built, here, there, port)


def lets(built: Built, here: str, there: str, port: int) -> bool:
    """Whether the policies let `here` out to `there`, and `there` let it in."""
    source, target = (pod(built, name)["metadata"]["labels"] for name in (here, there))
    policies = [it["spec"] for (kind, _), it in built.items() if kind == "NetworkPolicy"]

    def allowed(way: str, side: str, own: dict[str, str], other: dict[str, str]) -> bool:
        rules = [rule for it in policies if fits(it["podSelector"], own) for rule in it.get(way, ())]
        return any(
            port in [it["port"] for it in rule["ports"]]
            and (side not in rule or any("podSelector" in it and fits(it["podSelector"], other) for it in rule[side]))
            for rule in rules
        )

    return allowed("egress", "to", source, target) and allowed("ingress", "from", target, source)


def fits(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        holds(it, labels.get(it["key"])) for it in selector.get("matchExpressions", ())
    )


def holds(expression: dict[str, Any], value: str | None) -> bool:
    match expression["operator"]:
        case "Exists":
            return value is not None
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case other:
            raise AssertionError(other)


def test_who_sends_traces_outside_says_who_it_is_from_a_secret(composed: Callable[..., Built]) -> None:
    built = composed(COMPONENTS / "otlp-headers")
    path = Path(built["ConfigMap", "codestory"]["data"]["OTEL_EXPORTER_OTLP_HEADERS_FILE"])
    senders = {
        name for (kind, name), it in built.items() if kind == "Deployment" and mounts(it, str(path.parent), "otlp")
    }

    assert senders == {"orchestrator", "blarify", "filesystem", "summarizer", "documentation-grapher"}
    for document in built.values():
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def mounts(deployment: dict[str, Any], where: str, secret: str) -> bool:
    spec = deployment["spec"]["template"]["spec"]
    [container] = spec["containers"]
    named = {it["name"] for it in spec["volumes"] if it.get("secret", {}).get("secretName") == secret}
    return any(it["name"] in named and it["mountPath"] == where and it["readOnly"] for it in container["volumeMounts"])
