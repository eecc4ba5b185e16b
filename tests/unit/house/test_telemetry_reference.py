"""docs/reference/telemetry.md names every metric that there is, and none that there is not."""

import re
from pathlib import Path

from prometheus_client import REGISTRY

from codestory import telemetry
from codestory.telemetry import traces

DOCUMENT = (Path(__file__).parents[3] / "docs" / "reference" / "telemetry.md").read_text(encoding="utf-8")
OURS = ("ingest_", "llm_", "ws_")


def exported() -> set[str]:
    """As a scrape names them."""
    assert telemetry
    families = [family for family in REGISTRY.collect() if family.name.startswith(OURS)]
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in families}


def test_the_reference_names_exactly_the_metrics_that_are_exported() -> None:
    table = DOCUMENT.partition("## Metrics")[2].partition("## Logs")[0]

    assert set(re.findall(r"`((?:ingest|llm|ws)_\w+)`", table)) == exported()


def test_the_reference_names_every_attribute_of_a_span() -> None:
    names = {
        value for name, value in vars(traces).items() if name.isupper() and isinstance(value, str) and "." in value
    }

    assert {name for name in names - {traces.TRACER} if f"`{name}`" not in DOCUMENT} == set()


def test_no_metric_is_labelled_with_what_grows_with_jobs() -> None:
    labels = {label for metric in telemetry.__all__ for label in getattr(getattr(telemetry, metric), "_labelnames", ())}

    assert labels <= {"state", "step", "outcome", "reason", "priority", "dependency", "by", "type", "code", "kind"}
