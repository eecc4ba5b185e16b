"""What the services do when they are told to go: at once while they still start, and after their last word later."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from codestory.testing import executable, wait_until
from codestory.testing_traces import Collector
from codestory.testing_world import World, Worlds, plan

EXITED_BY_SIGTERM = 128 + signal.SIGTERM
#: Much longer than the test: what is exported before it is exported at the end.
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}


def handles_sigterm(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [caught] = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")]
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells what a process handles: run it there")
@pytest.mark.parametrize("command", [("codestory-orchestrator",), ("codestory-step", "a")])
async def test_a_program_that_still_starts_goes_at_once(command: tuple[str, ...]) -> None:
    """By a handler of its own: a container's first process has no other."""
    process = await asyncio.create_subprocess_exec(executable(command[0]), *command[1:], stderr=subprocess.PIPE)

    async def handled() -> bool:
        return handles_sigterm(process.pid)

    try:
        await wait_until(handled, "SIGTERM is handled")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()

    assert (process.returncode, said) == (EXITED_BY_SIGTERM, b"")


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
