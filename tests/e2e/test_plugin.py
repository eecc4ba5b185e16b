"""A step of somebody else's package runs in its place, with nothing of ours changed, on a stack that ran before it."""

import subprocess
import sys
from pathlib import Path

import pytest

from codestory.testing import EmbeddedStack, executable

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[1] / "example_step"
PIPELINE = """\
steps:
  - name: filesystem
  - name: line_counter
    options:
      languages: [Python]
  - name: documentation_grapher
"""
MEASURED = """
MATCH (m:Metric {repo: $repo})-[:MEASURES]->(f:File)
RETURN m.name AS language, m.lines AS lines, f.path AS file ORDER BY file
"""


def install(package: Path, target: Path) -> None:
    """As a user does, into a folder of the test's own: built from its pyproject.toml, nothing downloaded."""
    command = [executable("uv"), "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    command += ["--python", sys.executable, "--target", str(target), str(package)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def test_a_step_installed_since_the_stack_was_started_runs_where_the_pipeline_names_it(
    stack: EmbeddedStack, repository: Path
) -> None:
    install(EXAMPLE, stack.packages)
    config = stack.directory / "with_line_counter.yml"
    config.write_text(PIPELINE)

    stack.start()
    job = stack.answer("ingest", "start", str(repository), "--config", str(config))

    assert job["state"] == "COMPLETED"
    assert [step["name"] for step in job["steps"]] == ["filesystem", "line_counter", "documentation_grapher"]
    assert stack.answer("graph", "query", repository.name, MEASURED) == [
        {"language": "Python", "lines": 6, "file": "src/rest.py"},
        {"language": "Python", "lines": 6, "file": "src/work.py"},
    ]
