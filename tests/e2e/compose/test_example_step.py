"""A step of somebody else's project, as an image: beside the others in Compose, with nothing of theirs changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codestory.testing import executable

if TYPE_CHECKING:
    from conftest import ComposeStack

pytestmark = [pytest.mark.compose, pytest.mark.e2e, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "tests" / "example_step"
OVERLAY = "compose.example-step.yaml"
STEP = "line_counter"
PIPELINE = "steps:\n  - name: filesystem\n  - name: line_counter\n    options:\n      languages: [Python]\n"
MEASURED = """
MATCH (m:Metric {repo: $repo})-[:MEASURES]->(f:File)
RETURN m.name AS language, m.lines AS lines, f.path AS file ORDER BY file
"""


def run(*command: str, limit: float = 120, environment: dict[str, str] | None = None) -> None:
    ran = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=limit, check=False
    )
    assert not ran.returncode, f"{command} ended with {ran.returncode}: {ran.stderr[-4000:]}"


@pytest.fixture(scope="module")
def image(compose_stack: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Built as its author builds it: from its own folder, with Code Story's wheel beside it."""
    folder, name = tmp_path_factory.mktemp("author") / "line_counter", f"example/line-counter:{compose_stack.tag}"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("wheels", "__pycache__"))
    wheel = [executable("uv"), "build", "--quiet", "--wheel", "--offline", "--no-build-isolation"]
    run(*wheel, "--python", executable("python"), "--out-dir", str(folder / "wheels"), str(ROOT / "shared"))
    run("docker", "build", "--quiet", "--tag", name, str(folder), limit=900)
    yield name
    run("docker", "image", "rm", "--force", name)


@pytest.fixture
def line_counter(compose_stack: ComposeStack, image: str) -> Iterator[ComposeStack]:
    """The stack that runs already, with the step's service besides."""
    settings = compose_stack.folder / ".env"
    before = settings.read_text()
    shutil.copy(EXAMPLE / OVERLAY, compose_stack.folder / OVERLAY)
    named = before.replace("COMPOSE_FILE=compose.yaml", f"COMPOSE_FILE=compose.yaml:{OVERLAY}", 1)
    settings.write_text(f"{named}LINE_COUNTER_IMAGE={image}\n")
    try:
        yield compose_stack
    finally:
        compose_stack.compose("rm", "--stop", "--force", STEP, check=False)
        settings.write_text(before)


async def test_a_step_with_an_image_and_a_user_of_its_own_runs_where_a_pipeline_names_it(
    line_counter: ComposeStack,
) -> None:
    stack = line_counter
    others = {service: stack.containers(service) for service in ("orchestrator", "filesystem")}
    sources = stack.repositories / "measured"
    (sources / "src").mkdir(parents=True)
    (sources / "src" / "work.py").write_text("def work():\n    return 42\n")
    (sources / "README.md").write_text("# Measured\n")
    config = stack.folder / "with_line_counter.yml"
    config.write_text(PIPELINE)

    secrets = stack.folder / "secrets"
    stack.answer("auth", "nats", "add-step", STEP, "--dir", str(secrets / "nats"))
    made = {"CODESTORY_SECRETS": str(secrets), "REPOSITORY_SOURCE": str(stack.repositories)}
    run(str(ROOT / ".ci" / "compose-secrets"), environment=made)  # so that containers may read the keys
    stack.compose("restart", "nats")
    stack.compose("up", "--detach", "--wait", "--no-build", STEP, limit=240)
    job = stack.answer("ingest", "start", str(sources), "--config", str(config))

    assert job["state"] == "COMPLETED", json.dumps(job)
    assert [step["name"] for step in job["steps"]] == ["filesystem", STEP]
    assert stack.answer("graph", "query", "measured", MEASURED) == [
        {"language": "Python", "lines": 2, "file": "src/work.py"}
    ]
    assert {service: stack.containers(service) for service in others} == others
