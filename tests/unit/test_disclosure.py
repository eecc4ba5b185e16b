"""What a process tells of itself holds no secret of any setting there is, and is bounded."""

import json
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

import codestory
import codestory_blarify
import codestory_docgrapher
import codestory_filesystem
import codestory_orchestrator
import codestory_summarizer
from codestory import disclosure
from codestory.graph.settings import GraphSettings
from codestory.redaction.known import NOT_SET, SET, forms_of
from codestory.steps.settings import HostSettings
from codestory.testing_settings import classes, holding
from codestory_orchestrator.fetching.settings import FetchSettings

PACKAGES = (
    codestory,
    codestory_blarify,
    codestory_docgrapher,
    codestory_filesystem,
    codestory_orchestrator,
    codestory_summarizer,
)


@pytest.mark.parametrize("kind", classes(PACKAGES), ids=lambda kind: kind.__name__)
def test_a_secret_in_any_setting_is_told_nowhere_and_looked_for_everywhere(
    kind: type[BaseSettings], tmp_path: Path
) -> None:
    held = holding(kind, tmp_path)
    settings = kind.model_construct(**{name: each.value for name, each in held.items()})

    told = disclosure.facts(settings).model_dump_json()

    for each in held.values():
        assert [form for form in forms_of(each.secret) if form in told] == []
    assert {each.secret for each in held.values()} <= disclosure.secrets(settings)


def test_the_services_own_settings_are_among_those_that_are_tried() -> None:
    names = {kind.__name__ for kind in classes(PACKAGES)}

    assert {"OrchestratorSettings", "FetchSettings", "GraphSettings", "HostSettings", "SummarizerSettings"} <= names
    assert [name for name in FetchSettings.model_fields if "credential" in name] == ["git_credentials"]


def test_settings_are_told_by_their_variables_with_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_NEO4J_PASSWORD", "a secret of mine")
    monkeypatch.setenv("CODESTORY_GRAPH_BATCH_ROWS", "17")
    monkeypatch.setenv("CODESTORY_NEO4J_URI", "bolt://me:pass@graph:7687?x=1")
    monkeypatch.setenv("CODESTORY_NOE4J_USER", "mistyped")

    told = disclosure.facts(HostSettings, GraphSettings)

    assert told.settings["CODESTORY_NEO4J_PASSWORD"] == SET
    assert told.settings["CODESTORY_NATS_PASSWORD"] == NOT_SET
    assert told.settings["CODESTORY_GRAPH_BATCH_ROWS"] == 17
    assert told.settings["CODESTORY_NEO4J_URI"] == "bolt://[REDACTED:userinfo]@graph:7687?[left out]"
    assert told.unknown == ("CODESTORY_NOE4J_USER",)
    assert told.versions["pydantic"]


def test_of_the_exporter_of_spans_the_headers_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:pass@collector:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer canary-header,x=1")

    told, known = disclosure.facts(HostSettings), disclosure.secrets(HostSettings)

    assert told.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://[REDACTED:userinfo]@collector:4318"
    assert told.settings["OTEL_EXPORTER_OTLP_HEADERS"] == SET
    assert "Bearer canary-header" in known


def test_a_setting_that_cannot_be_read_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_SLOTS", "canary-no-number")

    told = disclosure.facts(HostSettings, GraphSettings)

    assert told.settings["HostSettings"] == "cannot be read: slots"
    assert told.settings["CODESTORY_NEO4J_USER"] == "neo4j"
    assert "canary" not in told.model_dump_json()


def test_what_is_told_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [f"host{number}.example" for number in range(10_000)]
    monkeypatch.setenv("CODESTORY_GIT_HOSTS", json.dumps(hosts))

    told = disclosure.facts(FetchSettings, versions={str(number): "1" for number in range(10_000)})

    assert told.cut
    assert len(told.model_dump_json()) <= disclosure.MOST_BYTES
    assert told.settings["CODESTORY_FETCH_PARALLEL"] == 2
