"""What the dashboards and alerts ask for is there once a job has gone through every step."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from codestory.client import AsyncClient
from codestory.testing import wait_until
from codestory.testing_prometheus import metrics_in

if TYPE_CHECKING:
    from conftest import WatchedStack

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

OBSERVABILITY = Path(__file__).parents[3] / "observability"
#: Of the bus's exporter and the collector, which do not run here.
ELSEWHERE = ("jetstream_", "otelcol_")
#: There is no series of these before it happens.
HAPPENS = {"ingest_fenced_writes_total", "ingest_redactions_total", "ingest_queue_commands"}
#: Attempts that failed, requests that were refused.
RARE = re.compile(r'reason!="completed"|code="429"')


def dashboards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((OBSERVABILITY / "dashboards").glob("*.json"))]


def queries() -> list[str]:
    """As Grafana asks them."""
    panels = [panel for dashboard in dashboards() for panel in dashboard["panels"]]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [query.replace("$__rate_interval", "1m").replace("$__range", "1h") for query in found]


def rules() -> list[str]:
    groups = yaml.safe_load((OBSERVABILITY / "alerts.yaml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def rare(query: str) -> bool:
    """It may have no answer on a sound stack without these."""
    names = metrics_in(query)
    return bool(names & HAPPENS) or any(name.startswith(ELSEWHERE) for name in names) or bool(RARE.search(query))


@pytest.fixture
async def ingested(watched: WatchedStack, tmp_path: Path) -> WatchedStack:
    """A job has gone through every step, with a model, and Prometheus has looked since."""
    root = tmp_path / tmp_path.name
    root.mkdir()
    (root / "m.py").write_text(
        'def f(x: int) -> int:\n    """Adds."""\n    return g(x)\n\n\ndef g(x: int) -> int:\n    return x\n'
    )
    await watched.up()
    async with AsyncClient(watched.url) as client:
        job = await client.submit(repository=str(root), step_options={"summarizer": {"provider": "openai"}})

        async def ended() -> bool:
            return (await client.get(job.id)).state.ended

        await wait_until(ended, "the job has ended", 240)

    async def seen() -> bool:
        return bool(await watched.prometheus.ask('ingest_jobs_total{state="COMPLETED"} and on () llm_requests_total'))

    await wait_until(seen, "Prometheus has seen it", 30)
    return watched


async def exported(stack: WatchedStack) -> set[str]:
    """The names of all series that there are, and those of families that have none yet."""
    found: set[str] = set()
    async with httpx.AsyncClient(timeout=10) as client:
        for address in stack.addresses().values():
            text = (await client.get(f"http://{address}/metrics")).text
            for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
                found |= {name, *(f"{name}_{part}" for part in ("bucket", "sum", "count") if kind == "histogram")}
    return found


async def test_what_is_asked_for_is_exported_and_answered(ingested: WatchedStack) -> None:
    asked = [query for query in queries() if not rare(query)]
    ours = {name for query in queries() + rules() for name in metrics_in(query) if not name.startswith(ELSEWHERE)}

    assert ours - await exported(ingested) == {"up"}
    unanswered: set[str] = set()

    async def answered() -> bool:
        """A rate wants two looks at a series."""
        unanswered.clear()
        unanswered.update([query for query in asked if not await ingested.prometheus.ask(query)])
        return not unanswered

    try:
        await wait_until(answered, "every query has an answer", 60)
    except AssertionError as error:
        raise AssertionError(f"{error}: {unanswered}") from error


async def test_prometheus_evaluates_every_rule_and_none_fires_on_a_sound_stack(ingested: WatchedStack) -> None:
    for rule in rules():
        await ingested.prometheus.ask(rule)

    async def sound() -> bool:
        return {alert[0] for alert in await ingested.prometheus.firing()} == {"BusUnobserved"}

    await wait_until(sound, "no alert but that of the exporter, which does not run here", 60)
