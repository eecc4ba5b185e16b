"""The alert rules are what Prometheus takes, fire where they should, and each says what to do."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from codestory.testing_prometheus import HOW, program

Rules = list[dict[str, Any]]

ROOT = Path(__file__).parents[3]
OBSERVABILITY = ROOT / "observability"
SECONDS = 120


def promtool(*arguments: str) -> str:
    """What it says; it must be content."""
    if not (found := program("promtool")):
        pytest.skip(f"promtool is not here: {HOW}")
    ran = subprocess.run([found, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_prometheus_takes_the_rules(rules: Rules) -> None:
    said = promtool("check", "rules", "--lint-fatal", str(OBSERVABILITY / "alerts.yaml"))

    assert f"SUCCESS: {len(rules)} rules found" in said


def test_prometheus_takes_its_configuration() -> None:
    promtool("check", "config", "--syntax-only", str(OBSERVABILITY / "prometheus.yaml"))


def test_every_rule_fires_where_it_should_and_nowhere_else() -> None:
    promtool("test", "rules", str(OBSERVABILITY / "alerts_test.yaml"))


def test_every_rule_is_shown_to_fire_and_not_to_fire(rules: Rules) -> None:
    cases = yaml.safe_load((OBSERVABILITY / "alerts_test.yaml").read_text())["tests"]
    expected = [(it["alertname"], bool(it["exp_alerts"])) for case in cases for it in case["alert_rule_test"]]

    assert set(expected) == {(rule["alert"], fires) for rule in rules for fires in (True, False)}


def test_every_rule_says_what_to_do_and_where_it_is_explained(rules: Rules) -> None:
    page = ROOT / "docs" / "reference" / "alerts.md"
    sections = {
        f"docs/reference/alerts.md#{name.lower()}" for name in re.findall(r"^## (\w+)$", page.read_text(), re.MULTILINE)
    }

    assert {rule["annotations"]["runbook"] for rule in rules} == sections
    for rule in rules:
        assert rule["annotations"]["runbook"].endswith(f"#{rule['alert'].lower()}")
        assert {"summary", "action"} <= set(rule["annotations"])
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_every_setting_that_an_alert_names_exists(rules: Rules) -> None:
    known = set(re.findall(r"`(CODESTORY_\w+)`", (ROOT / "docs" / "reference" / "settings.md").read_text()))
    named = re.findall(r"CODESTORY_\w+", " ".join(rule["annotations"]["action"] for rule in rules))

    assert named
    assert set(named) <= known
