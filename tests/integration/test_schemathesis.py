"""The running service against its own OpenAPI document: examples, coverage, fuzzing, and jobs followed by its links."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from codestory.testing import executable
from codestory.testing_world import Process, World, Worlds

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

HERE = Path(__file__).parent
CHECKS = (
    "no_failure_but_an_announced_one",
    "every_status_is_stated",
    "every_error_is_a_problem",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncGenerator[World]:
    """One orchestrator, and a step that exists, so that jobs can be made; there is no graph."""
    async with Worlds(HERE.parent / "chaos")() as shared:
        shared.config.write_text("steps:\n  - name: a\n")
        shared.orchestrator()
        await shared.register("a")
        yield shared


#: Of each: examples of an operation, and the seconds after which no new ones are made.
@pytest.mark.parametrize(
    ("phases", "examples", "seconds"), [("examples,coverage", 1, 60), ("fuzzing", 5, 25), ("stateful", 20, 25)]
)
async def test_the_service_answers_as_its_document_says(world: World, phases: str, examples: int, seconds: int) -> None:
    [orchestrator] = [process for process in world.started if process.poll() is None]
    hooks = {"SCHEMATHESIS_HOOKS": "api_checks", "CHECKED_REPOSITORY": world.repository()}

    ran = await asyncio.to_thread(
        subprocess.run,
        [
            executable("schemathesis"),
            *("run", f"http://127.0.0.1:{world.ports[0]}/openapi.json", "--phases", phases),
            *("--checks", ",".join(CHECKS), "--max-examples", str(examples), "--max-time", str(seconds)),
            *("--seed", "1", "--no-shrink", "--request-timeout", "20", "--warnings", "off", "--no-color"),
            *("--generation-database", "none"),
        ],
        cwd=world.directory,
        env={**os.environ, **hooks, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )

    print(ran.stdout[-20_000:])
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert "No tests were run" not in ran.stdout
    assert lives(orchestrator)
    if phases != "examples,coverage":  # whose bodies do not go through our hook
        jobs = (await world.ask("GET", "/v1/ingest")).json()["jobs"]
        assert jobs, "no request made a job: what follows a job was never asked for"


def lives(process: Process) -> bool:
    return process.poll() is None
