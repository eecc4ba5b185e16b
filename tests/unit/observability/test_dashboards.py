"""The dashboards name what is exported, and are what Grafana takes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from codestory.testing_prometheus import metrics_in

Dashboards = dict[str, dict[str, Any]]
Rules = list[dict[str, Any]]

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "observability" / "grafana"
#: Of the bus's exporter: its metrics, and the labels of each.
EXPORTER: dict[str, Any] = json.loads(Path(__file__).with_name("nats-exporter.json").read_text())
#: What every target has, by Prometheus itself and by the client library.
EVERYWHERE = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
#: Of the OpenTelemetry Collector about itself.
COLLECTOR = {
    "otelcol_receiver_accepted_spans_total",
    "otelcol_receiver_refused_spans_total",
    "otelcol_exporter_queue_size",
    "otelcol_exporter_queue_capacity",
}
#: In a row's width of Grafana's grid.
COLUMNS = 24


def panels(dashboards: Dashboards) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, dashboard in dashboards.items():
        yield from ((name, panel) for panel in dashboard["panels"] if panel["type"] != "row")


def queries(dashboards: Dashboards) -> list[str]:
    return [target["expr"] for _, panel in panels(dashboards) for target in panel.get("targets", ())]


def documented() -> set[str]:
    """Names as docs/reference/telemetry.md has them, which a test of its own holds equal to the code."""
    page = (ROOT / "docs" / "reference" / "telemetry.md").read_text()
    names = set(re.findall(r"`((?:ingest|llm|ws)_\w+)`", page))
    return names | {f"{name}_{part}" for name in names for part in ("bucket", "sum", "count")}


def of_the_exporter() -> dict[str, set[str]]:
    """The labels of each of its metrics."""
    labels: set[str] = set()
    found: dict[str, set[str]] = {}
    for level in ("server", "stream", "consumer"):
        labels |= set(EXPORTER[level])
        found |= {name: set(labels) for name in EXPORTER["metrics"][level]}
    return found


def test_every_metric_that_is_named_is_exported(dashboards: Dashboards, rules: Rules) -> None:
    named = {name for query in queries(dashboards) for name in metrics_in(query)}
    named |= {name for rule in rules for name in metrics_in(rule["expr"])}

    assert len(named) > 30  # it has found them
    assert named - documented() - set(of_the_exporter()) - EVERYWHERE - COLLECTOR == set()


def test_every_label_by_which_the_bus_is_asked_is_one_of_the_exporters(dashboards: Dashboards, rules: Rules) -> None:
    exported = of_the_exporter()
    for query in [*queries(dashboards), *(rule["expr"] for rule in rules)]:
        for name, selectors in re.findall(r"(jetstream_\w+)\{([^}]*)\}", query):
            assert set(re.findall(r"(\w+)\s*=", selectors)) <= exported[name], query


def test_there_is_a_dashboard_for_users_and_one_for_operators(dashboards: Dashboards) -> None:
    assert set(dashboards) == {"jobs.json", "operation.json"}
    assert len({dashboard["uid"] for dashboard in dashboards.values()}) == len(dashboards)


def test_every_panel_lies_in_the_grid_and_on_no_other(dashboards: Dashboards) -> None:
    for name, dashboard in dashboards.items():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= COLUMNS, (name, panel["title"])
            assert not cells & taken, (name, panel["title"])
            taken |= cells
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_every_panel_asks_the_chosen_source_and_has_a_title(dashboards: Dashboards) -> None:
    for name, panel in panels(dashboards):
        assert panel["title"], name
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, (name, panel["title"])


def test_the_sources_and_dashboards_are_found_where_grafana_is_told(dashboards: Dashboards) -> None:
    sources = yaml.safe_load((GRAFANA / "datasources" / "sources.yaml").read_text())["datasources"]
    chosen = {it["current"]["value"] for d in dashboards.values() for it in d["templating"]["list"]}

    assert chosen <= {source["uid"] for source in sources}
    [provider] = yaml.safe_load((GRAFANA / "dashboards" / "provider.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/codestory/dashboards"
