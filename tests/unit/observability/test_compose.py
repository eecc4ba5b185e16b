"""compose.observability.yaml beside compose.yaml: restricted as the rest, and everybody finds whom they ask."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
OBSERVABILITY = ROOT / "observability"
WATCHERS = {"nats-exporter", "collector", "traces", "prometheus", "grafana"}
HOW = "install Docker with Compose 2.20 or later"


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both files, as Compose reads them together."""
    if not shutil.which("docker"):
        pytest.skip(f"docker is not here: {HOW}")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=60, check=False).returncode:
        pytest.skip(f"docker compose is not here: {HOW}")
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "env").touch()
    command = ["docker", "compose", "--env-file", str(secrets / "env"), "--project-directory", str(ROOT)]
    files = ["--file", str(ROOT / "compose.yaml"), "--file", str(ROOT / "compose.observability.yaml")]
    ran = subprocess.run(
        [*command, *files, "config", "--format", "json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def called(whole: dict[str, Any]) -> dict[str, list[str]]:
    """The services that answer to each name within."""
    names: dict[str, list[str]] = {}
    for name, service in whole["services"].items():
        inside: dict[str, list[str]] = service["networks"].get("inside") or {}
        for each in (name, *inside.get("aliases", [])):
            names.setdefault(each, []).append(name)
    return names


def test_every_service_of_ours_tells_its_spans_and_keeps_all_else(whole: dict[str, Any]) -> None:
    alone = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    ours = {name for name, service in alone.items() if "build" in service}

    for name in ours:
        service = whole["services"][name]
        assert service["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318", name
        assert set(alone[name].get("networks", ["inside"])) == set(service["networks"]), name
        assert set(alone[name]["environment"]) - {"<<"} <= set(service["environment"]), name
    assert set(whole["services"]) == {*alone, *WATCHERS}


def test_prometheus_finds_every_service_by_the_names_that_it_asks(whole: dict[str, Any]) -> None:
    jobs = yaml.safe_load((OBSERVABILITY / "prometheus.yaml").read_text())["scrape_configs"]
    names = called(whole)
    ours = {name for name, service in whole["services"].items() if "build" in service}

    asked = {name: sd["port"] for job in jobs for sd in job.get("dns_sd_configs", ()) for name in sd["names"]}
    assert {service for name in ("steps", "orchestrators") for service in names[name]} == ours
    for name, port in asked.items():
        for service in names[name]:
            if service in ours:
                dockerfile = (ROOT / whole["services"][service]["build"]["dockerfile"]).read_text()
                assert f"EXPOSE {port}" in dockerfile
    fixed = [it for job in jobs for sc in job.get("static_configs", ()) for it in sc["targets"]]
    assert {it.split(":")[0] for it in fixed} <= set(names)


def test_whom_the_configurations_name_is_there(whole: dict[str, Any]) -> None:
    collector = yaml.safe_load((OBSERVABILITY / "collector.yaml").read_text())
    sources = yaml.safe_load((OBSERVABILITY / "grafana" / "datasources" / "sources.yaml").read_text())["datasources"]
    asked = [collector["exporters"]["otlp"]["endpoint"], *(it["url"].removeprefix("http://") for it in sources)]

    assert {it.split(":")[0] for it in asked} <= set(whole["services"])
    jaeger = yaml.safe_load((OBSERVABILITY / "jaeger.yaml").read_text())
    assert jaeger["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(":4317")
    assert jaeger["extensions"]["jaeger_query"]["http"]["endpoint"].endswith(":16686")
    assert {"traces:4317", "traces:16686"} <= set(asked)


def test_every_watcher_is_restricted_and_pinned(whole: dict[str, Any]) -> None:
    for name in WATCHERS:
        service = whole["services"][name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) > 0, name
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"]), name


def test_only_grafana_is_published_on_loopback_and_behind_a_password(whole: dict[str, Any]) -> None:
    published = {name: it["ports"] for name, it in whole["services"].items() if name in WATCHERS and it.get("ports")}

    assert set(published) == {"grafana"}
    assert {port["host_ip"] for port in published["grafana"]} == {"127.0.0.1"}
    told = whole["services"]["grafana"]["environment"]
    assert told["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert told["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"
    assert [secret["source"] for secret in whole["services"]["grafana"]["secrets"]] == ["grafana_password"]


def test_every_file_that_is_mounted_is_there(whole: dict[str, Any]) -> None:
    files = [Path(it["file"]) for it in whole["configs"].values()]

    assert [path for path in files if not path.is_file()] == []
    secrets = {Path(it["file"]).name for it in whole["secrets"].values()}
    script = (ROOT / ".ci" / "compose-secrets").read_text()
    assert {"metrics_key", "grafana_password"} <= secrets
    assert all(name in script for name in ("metrics_key", "grafana_password"))
