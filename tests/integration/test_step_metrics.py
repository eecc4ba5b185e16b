"""What a step's process tells of itself while nothing happens and nobody asks whether it is ready."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from codestory.testing import free_port
from codestory.testing_world import World, Worlds, plan


@pytest_asyncio.fixture
async def world() -> AsyncGenerator[World]:
    async with Worlds(Path(__file__).parents[1] / "chaos")() as world:
        world.orchestrator()
        yield world


async def measured(port: int, name: str, **labels: str) -> float | None:
    """None: there is no such series yet, or nobody answers."""
    try:
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    except httpx.TransportError:
        return None
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return next((s.value for s in samples if s.name == name and s.labels == labels), None)


async def test_a_silent_step_tells_what_it_counts_and_its_host_whether_the_graph_answers(world: World) -> None:
    port = free_port()
    world.worker("a", CODESTORY_PROBE_PORT=str(port), CODESTORY_NEO4J_URI=f"bolt://127.0.0.1:{free_port()}")
    await world.ready("a")
    gate, end = world.gate(), world.gate()
    job = await world.submit(plan("a", gate=gate.path, redacts=3, then=end.path))

    async def waits() -> bool:
        progress = (await world.step_of(job, "a"))["progress"]
        return progress is not None and progress["phase"] == "waiting"

    await world.until(waits, "its last word about progress is told")
    gate.open()

    async def told() -> bool:
        counted = await measured(port, "ingest_redactions_total", type="token")
        graph = await measured(port, "ingest_dependency_up", dependency="graph")
        return (counted, graph) == (3, 0)

    await world.until(told, "both are told")
    end.open()
    await world.state(job, "COMPLETED")
    assert await measured(port, "ingest_redactions_total", type="token") == 3
