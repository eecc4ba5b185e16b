"""The templates hold against the services that they start: settings, ports, probes, secrets, drain, scaling."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import trustme
import yaml
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from codestory.bus import PRIORITIES
from codestory.contracts.planning import Lag
from codestory.files.confined import FileSettings
from codestory.graph import GraphSettings
from codestory.nats_users.config import ACCOUNT
from codestory.nats_users.permissions import Names
from codestory.snapshots.settings import CacheSettings
from codestory.steps.settings import HostSettings
from codestory.telemetry.settings import TelemetrySettings
from codestory_blarify.settings import BlarifySettings
from codestory_orchestrator.fetching.settings import FetchSettings
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_summarizer.settings import SummarizerSettings

from .conftest import AZURE, ENVIRONMENTS, ROOT, STEPS, container, deployed, variables

AUTHORITY = trustme.CA().cert_pem.bytes()
SERVICES = ("orchestrator", *STEPS)
#: The folder of a service whose name is another.
FOLDERS = {"documentation_grapher": "docgrapher"}
STEP_CLASSES = (HostSettings, CacheSettings, GraphSettings, FileSettings, TelemetrySettings)
CLASSES: dict[str, tuple[type[BaseSettings], ...]] = {
    "orchestrator": (
        OrchestratorSettings,
        FetchSettings,
        CacheSettings,
        GraphSettings,
        FileSettings,
        TelemetrySettings,
    ),
    "blarify": (*STEP_CLASSES, BlarifySettings),
    "filesystem": STEP_CLASSES,
    "summarizer": (*STEP_CLASSES, SummarizerSettings),
    "documentation_grapher": STEP_CLASSES,
}
#: Of KEDA 2.17: what each scaler must have, and what else of it is used here.
SCALERS = {
    "nats-jetstream": (
        {"natsServerMonitoringEndpoint", "account", "stream", "consumer"},
        {"lagThreshold", "activationLagThreshold", "useHttps"},
        set[str](),
    ),
    "metrics-api": (
        {"url", "valueLocation", "targetValue"},
        {"activationTargetValue", "authMode", "unsafeSsl", "format"},
        {"token"},
    ),
}
#: GiB of disk that a replica has, by its processor cores.
DISK = ((0.25, 1), (0.5, 2), (1, 4), (4, 8))


def app_of(apps: dict[str, dict[str, Any]], service: str) -> dict[str, Any]:
    return apps[service.replace("_", "-")]


def dockerfile(service: str) -> str:
    """Its last stage, each instruction on one line."""
    text = (ROOT / "services" / FOLDERS.get(service, service) / "Dockerfile").read_text()
    return text[text.rindex("\nFROM ") :].replace("\\\n", " ")


def image_variables(service: str) -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"^ENV (.+)$", dockerfile(service), re.MULTILINE))))


def names_of(kind: type[BaseSettings]) -> set[str]:
    return {f"{kind.model_config.get('env_prefix', '')}{name}".upper() for name in kind.model_fields}


@pytest.fixture
def settings(
    apps: dict[str, dict[str, Any]], service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[type[BaseSettings], BaseSettings]:
    """As the service would read them in its container, with its secrets in another folder."""
    app = app_of(apps, service)
    for file in app["properties"]["template"]["volumes"][0]["secrets"]:
        (tmp_path / file["path"]).write_bytes(AUTHORITY if file["path"] == "nats-ca" else b"{}")
    for name, value in (image_variables(service) | variables(app)).items():
        if name.startswith(("CODESTORY_", "OTEL_")):
            monkeypatch.setenv(name, value.replace("/secrets/", f"{tmp_path}/"))
    return {kind: kind() for kind in CLASSES[service]}


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_is_a_setting_of_the_service(apps: dict[str, dict[str, Any]], service: str) -> None:
    known = set[str]().union(*map(names_of, CLASSES[service]))

    assert set(variables(app_of(apps, service))) <= known


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_that_has_no_use_elsewhere_is_supplied(
    apps: dict[str, dict[str, Any]], service: str, settings: dict[type[BaseSettings], BaseSettings]
) -> None:
    """Those without a default, and those whose default is this machine. That they were read says they are right."""
    given = {**image_variables(service), **variables(app_of(apps, service))}
    for kind, read in settings.items():
        for name, field in kind.model_fields.items():
            loopback = isinstance(field.default, str) and "127.0.0.1" in field.default
            if field.is_required() or loopback:
                assert f"CODESTORY_{name}".upper() in given, (kind.__name__, name)
                assert "127.0.0.1" not in str(getattr(read, name))


@pytest.mark.parametrize("service", SERVICES)
def test_who_the_service_is_comes_from_files_of_the_vault(
    service: str, settings: dict[type[BaseSettings], BaseSettings]
) -> None:
    bus = settings[OrchestratorSettings if service == "orchestrator" else HostSettings]
    graph = settings[GraphSettings]

    assert isinstance(bus, OrchestratorSettings | HostSettings)
    assert bus.nats_nkey_seed_file
    assert isinstance(graph, GraphSettings)
    assert graph.neo4j_password_file


@pytest.mark.parametrize("service", SERVICES)
def test_every_secret_comes_from_the_vault(apps: dict[str, dict[str, Any]], service: str) -> None:
    app = app_of(apps, service)
    secret = {
        f"CODESTORY_{name}".upper()
        for kind in CLASSES[service]
        for name, field in kind.model_fields.items()
        if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
    }

    [identity] = [one["identity"] for one in app["properties"]["configuration"]["registries"]]
    for one in app["properties"]["configuration"]["secrets"]:
        assert set(one) == {"name", "keyVaultUrl", "identity"}
        assert re.fullmatch(r"https://[a-z0-9-]{3,24}\.vault\.azure\.net/secrets/[a-z0-9-]+", one["keyVaultUrl"])
        assert one["identity"] == identity
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,18}[a-z0-9]", one["name"])
    assert all(set(variable) == {"name", "value"} for variable in container(app)["env"])
    assert not secret & set(variables(app))
    paths = {value for name, value in variables(app).items() if name.endswith("_FILE")}
    mounted = {f"/secrets/{file['path']}" for file in app["properties"]["template"]["volumes"][0]["secrets"]}
    assert paths == mounted


@pytest.mark.parametrize("service", SERVICES)
def test_what_reads_the_vault_is_not_there_for_the_container(apps: dict[str, dict[str, Any]], service: str) -> None:
    app = app_of(apps, service)
    settings = app["properties"]["configuration"]["identitySettings"]

    inside = [one["identity"].rpartition("/")[2] for one in settings if one["lifecycle"] != "None"]

    assert {one["identity"] for one in settings} == set(app["identity"]["userAssignedIdentities"])
    with_model = service == "summarizer" and "CODESTORY_AZURE_URL" in variables(app)
    assert inside == (["id-codestory-summarizer"] if with_model else [])


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_collector_wants_to_hear_comes_from_the_vault(service: str) -> None:
    app = app_of(deployed("production", otlpHeaders=True).bodies("Microsoft.App/containerApps"), service)

    files = {file["path"]: file["secretRef"] for file in app["properties"]["template"]["volumes"][0]["secrets"]}
    of_vault = {one["name"]: one["keyVaultUrl"] for one in app["properties"]["configuration"]["secrets"]}
    assert variables(app)["OTEL_EXPORTER_OTLP_HEADERS_FILE"] == "/secrets/otlp-headers"
    assert of_vault[files["otlp-headers"]].endswith("/secrets/otlp-headers")
    assert "OTEL_EXPORTER_OTLP_HEADERS_FILE" in names_of(TelemetrySettings)


def test_the_model_is_asked_by_the_summarizers_own_identity() -> None:
    environment = variables(deployed("production").bodies("Microsoft.App/containerApps")["summarizer"])

    assert environment["CODESTORY_AZURE_AUTH"] == "managed_identity"
    assert environment["CODESTORY_AZURE_CLIENT_ID"] == "client-of-id-codestory-summarizer"


@pytest.mark.parametrize("service", SERVICES)
def test_image_command_and_port_are_those_of_the_image(apps: dict[str, dict[str, Any]], service: str) -> None:
    app, built = app_of(apps, service), dockerfile(service)
    [entry] = re.findall(r"^ENTRYPOINT (.+)$", built, re.MULTILINE)
    [exposed] = re.findall(r"^EXPOSE (\d+)$", built, re.MULTILINE)

    started = container(app)
    assert re.search(r"/codestory/([a-z]+):", started["image"]) is not None
    assert f"/codestory/{FOLDERS.get(service, service)}:" in started["image"]
    assert not {"command", "args"} & set(started)  # its own
    expected = ["codestory-orchestrator"] if service == "orchestrator" else ["codestory-step", service]
    assert json.loads(entry) == expected
    assert {probe["httpGet"]["port"] for probe in started["probes"]} == {int(exposed)}
    listening = image_variables(service)["CODESTORY_PORT" if service == "orchestrator" else "CODESTORY_PROBE_PORT"]
    assert listening == exposed
    ingress = app["properties"]["configuration"].get("ingress")
    assert (ingress or {}).get("targetPort") == (int(exposed) if service == "orchestrator" else None)


@pytest.mark.parametrize("service", SERVICES)
def test_probes_are_the_images_health_check(apps: dict[str, dict[str, Any]], service: str) -> None:
    [check] = re.findall(r"^HEALTHCHECK (.+)$", dockerfile(service), re.MULTILINE)
    limits = {name: int(value) for name, value in re.findall(r"--([a-z-]+)=(\d+)", check)}
    probes = {probe["type"]: probe for probe in container(app_of(apps, service))["probes"]}

    ready, alive = probes["Readiness"], probes["Liveness"]
    assert str(ready["httpGet"]["port"]) in check
    assert ready["httpGet"]["path"] in check
    assert ready["periodSeconds"] == limits["interval"]
    assert ready["failureThreshold"] == limits["retries"]
    assert alive["httpGet"]["path"] == "/livez"
    # While it starts, nothing is done about it for at least as long.
    assert alive["initialDelaySeconds"] + alive["periodSeconds"] * alive["failureThreshold"] >= limits["start-period"]
    for probe in probes.values():
        assert probe["failureThreshold"] <= 10  # Azure's limits
        assert probe.get("initialDelaySeconds", 1) <= 60
        assert probe["timeoutSeconds"] > HostSettings.model_fields["probe_seconds"].default


@pytest.mark.parametrize("service", STEPS)
def test_a_step_may_end_what_it_runs_before_it_is_killed(
    apps: dict[str, dict[str, Any]], service: str, settings: dict[type[BaseSettings], BaseSettings]
) -> None:
    host = settings[HostSettings]
    assert isinstance(host, HostSettings)
    grace = app_of(apps, service)["properties"]["template"]["terminationGracePeriodSeconds"]

    assert grace >= host.drain_seconds + host.kill_grace_seconds + 10
    assert grace <= 600


@pytest.mark.parametrize("service", STEPS)
def test_the_snapshots_fit_on_the_replicas_disk(
    apps: dict[str, dict[str, Any]], service: str, settings: dict[type[BaseSettings], BaseSettings]
) -> None:
    cache, resources = settings[CacheSettings], container(app_of(apps, service))["resources"]
    assert isinstance(cache, CacheSettings)

    disk = next(size for cores, size in DISK if resources["cpu"] <= cores)

    assert float(resources["memory"].removesuffix("Gi")) == 2 * resources["cpu"]
    assert cache.snapshot_cache_bytes + cache.snapshot_unpacked_bytes <= disk * 2**30 / 2


@pytest.mark.parametrize("service", STEPS)
def test_scale_rules_are_what_keda_reads(apps: dict[str, dict[str, Any]], service: str) -> None:
    app = app_of(apps, service)
    known = {one["name"] for one in app["properties"]["configuration"]["secrets"]}

    rules = app["properties"]["template"]["scale"]["rules"]

    assert len({rule["name"] for rule in rules}) == len(rules)
    for rule in rules:
        custom = rule["custom"]
        required, optional, authentication = SCALERS[custom["type"]]
        assert required <= set(custom["metadata"]) <= required | optional
        assert all(isinstance(value, str) and value for value in custom["metadata"].values())
        assert {one["triggerParameter"] for one in custom.get("auth", [])} == authentication
        assert {one["secretRef"] for one in custom.get("auth", [])} <= known


@pytest.mark.parametrize("service", STEPS)
def test_the_bus_is_asked_for_the_consumers_that_there_are(service: str) -> None:
    names = Names("codestory")
    app = app_of(deployed("production", "nats").bodies("Microsoft.App/containerApps"), service)

    asked = [rule["custom"]["metadata"] for rule in app["properties"]["template"]["scale"]["rules"]]

    assert {one["account"] for one in asked} == {ACCOUNT}
    assert {(one["stream"], one["consumer"]) for one in asked} == {
        (names.stream("RUN"), service),
        *((names.stream("READY"), f"{priority}-{service}") for priority in PRIORITIES),
    }


@pytest.mark.parametrize("service", STEPS)
def test_the_api_is_asked_for_the_lag_that_it_tells(service: str) -> None:
    app = app_of(deployed("production", "metricsApi").bodies("Microsoft.App/containerApps"), service)
    paths = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text())["paths"]

    [rule] = app["properties"]["template"]["scale"]["rules"]

    asked = rule["custom"]["metadata"]
    assert asked["url"].partition("azurecontainerapps.io")[2].replace(service, "{step}") in paths
    assert asked["valueLocation"] in Lag.model_fields
    assert "scaler-key" not in [file["path"] for file in app["properties"]["template"]["volumes"][0]["secrets"]]


@pytest.mark.parametrize("service", STEPS)
def test_steps_are_scaled_to_zero_and_to_their_concurrency(service: str) -> None:
    pipeline = yaml.safe_load((ROOT / "pipeline_config.yml").read_text())
    concurrency = {step["name"]: step["concurrency"] for step in pipeline["steps"]}
    app = app_of(deployed("production").bodies("Microsoft.App/containerApps"), service)

    scale = app["properties"]["template"]["scale"]

    assert (scale["minReplicas"], scale["maxReplicas"]) == (0, concurrency[service])
    assert variables(app)["CODESTORY_SLOTS"] == "1"


def test_without_a_scaler_each_step_has_all_its_replicas() -> None:
    app = deployed("production", "fixed").bodies("Microsoft.App/containerApps")["summarizer"]

    scale = app["properties"]["template"]["scale"]

    assert scale["minReplicas"] == scale["maxReplicas"] == 5
    assert scale["rules"] == []


def test_the_orchestrator_is_never_scaled_to_zero(apps: dict[str, dict[str, Any]]) -> None:
    assert apps["orchestrator"]["properties"]["template"]["scale"]["minReplicas"] >= 1


def test_only_the_orchestrator_is_reached_from_outside(apps: dict[str, dict[str, Any]]) -> None:
    outside = [
        name for name, app in apps.items() if app["properties"]["configuration"].get("ingress", {}).get("external")
    ]

    assert outside == ["orchestrator"]


def test_entra_tokens_are_taken_where_a_registration_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    app = deployed("production").bodies("Microsoft.App/containerApps")["orchestrator"]
    for name, value in variables(app).items():
        if not name.endswith("_FILE"):
            monkeypatch.setenv(name, value)

    read = OrchestratorSettings(host="0.0.0.0")

    assert read.oidc_audience == ENVIRONMENTS["production"]["ENTRA_AUDIENCE"]
    assert read.oidc_issuer.endswith("22222222-2222-2222-2222-222222222222/v2.0")
    assert set(read.oidc_roles.values()) == {"viewer", "operator", "admin"}


def test_the_bus_for_trying_out_says_what_it_is() -> None:
    app = deployed("dev").bodies("Microsoft.App/containerApps")["nats"]
    template = app["properties"]["template"]

    assert app["tags"]["durable"] == "no"
    assert "NOT DURABLE" in (AZURE / "modules" / "nats-dev.bicep").read_text()
    assert template["scale"] == {"minReplicas": 1, "maxReplicas": 1}
    assert {volume["storageType"] for volume in template["volumes"]} == {"EmptyDir", "Secret"}
