"""What the services do when they are told to go: at once while they still start, and after their last word later."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from codestory.testing_traces import Collector
from codestory.testing_world import World, Worlds, plan

EXITED_BY_SIGTERM = 128 + signal.SIGTERM
#: Much longer than the test: what is exported before it is exported at the end.
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}


#: Runs a console script that comes no further than to what it imports next, and says so.
STARTING = """
import sys
from importlib.metadata import entry_points

class Held:
    def find_spec(self, name, path, target=None):
        if name == sys.argv[2]:
            print("importing", flush=True)
            sys.stdin.read()

sys.meta_path.insert(0, Held())
[script] = entry_points(group="console_scripts", name=sys.argv[1])
script.load()()
"""


@pytest.mark.parametrize(
    ("script", "imports"),
    [("codestory-orchestrator", "codestory_orchestrator.main"), ("codestory-step", "codestory.steps.main")],
)
async def test_a_program_that_still_starts_goes_at_once(script: str, imports: str) -> None:
    """By a handler of its own: a container's first process has no other."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTING, script, imports), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(20):
            assert process.stdout
            assert await process.stdout.readline() == b"importing\n"
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == EXITED_BY_SIGTERM
    finally:
        if process.returncode is None:
            process.kill()


@pytest_asyncio.fixture
async def collected() -> AsyncGenerator[tuple[World, Collector]]:
    with Collector() as collector:
        async with Worlds(Path(__file__).parents[1] / "chaos")(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **LATE
        ) as world:
            yield world, collector


async def test_the_last_spans_are_exported_before_a_service_ends(collected: tuple[World, Collector]) -> None:
    world, collector = collected
    services = {"orchestrator": world.orchestrator(), "step-a": world.worker("a")}
    await world.ready("a")
    job = await world.submit(plan("a"))
    await world.state(job, "COMPLETED")
    assert not collector.of(job)

    for process in services.values():
        process.send_signal(signal.SIGTERM)

    assert [await asyncio.to_thread(process.wait, 20) for process in services.values()] == [0, 0]
    assert {span.service for span in collector.of(job)} == set(services)
