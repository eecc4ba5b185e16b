"""Each thing that the service needs is killed in turn: probes, health and the alert on scraped data say so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from codestory.client import AsyncClient
from codestory.testing import wait_until

if TYPE_CHECKING:
    from conftest import WatchedStack

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

#: Seconds until a probe that should be red is.
RED = 10


@pytest.fixture
async def stack(watched: WatchedStack) -> WatchedStack:
    await watched.up()
    return watched


async def answers(stack: WatchedStack, addresses: list[str], path: str, wanted: int, limit: float = RED) -> None:
    async def there() -> bool:
        return {await stack.probe(address, path) for address in addresses} == {wanted}

    await wait_until(there, f"{path} of all is {wanted}", limit)


async def named(stack: WatchedStack, name: str, wanted: str) -> None:
    """What the service says of one of its checks. It asks no dependency for each request, but every second or two."""

    async def there() -> bool:
        async with httpx.AsyncClient(timeout=15) as client:
            body = (await client.get(f"{stack.url}/v1/ingest/health")).json()
        return body.get("health", body)["checks"][name]["status"] == wanted

    await wait_until(there, f"{name} is told as {wanted}", RED)


async def fires(stack: WatchedStack, name: str, *, job: str = "", dependency: str = "", limit: float = 30) -> None:
    async def there() -> bool:
        return any(
            alert[0] == name and job in ("", alert[1]) and dependency in ("", alert[2])
            for alert in await stack.prometheus.firing()
        )

    await wait_until(there, f"{name} fires", limit)


async def quiet(stack: WatchedStack, name: str) -> None:
    async def there() -> bool:
        return name not in {alert[0] for alert in await stack.prometheus.firing()}

    await wait_until(there, f"{name} fires no more", 60)


async def test_a_dead_bus_turns_every_process_red_and_is_named(stack: WatchedStack) -> None:
    addresses = stack.addresses()
    orchestrator = addresses["orchestrator"]
    assert "DependencyDown" not in {alert[0] for alert in await stack.prometheus.firing()}

    async with stack.unmended():
        stack.kill("nats")
        began = time.monotonic()
        await answers(stack, list(addresses.values()), "/readyz", 503)
        red = time.monotonic() - began

        await answers(stack, list(addresses.values()), "/livez", 200)
        await named(stack, "nats", "fail")
        assert (await stack.probe(orchestrator, "/v1/ingest/health")) == 503
        await fires(stack, "DependencyDown", job="orchestrator", dependency="nats")
        await fires(stack, "DependencyDown", job="steps", dependency="nats")

    await quiet(stack, "DependencyDown")
    assert red < RED


async def test_a_dead_graph_turns_the_steps_red_and_is_named(stack: WatchedStack) -> None:
    addresses = stack.addresses()
    steps = [addresses[f"step-{step}"] for step in stack.steps]

    async with stack.unmended():
        stack.kill("graph")
        await answers(stack, steps, "/readyz", 503)

        await answers(stack, list(addresses.values()), "/livez", 200)
        await named(stack, "graph", "fail")
        await named(stack, "nats", "pass")
        await fires(stack, "DependencyDown", job="orchestrator", dependency="graph")
        await fires(stack, "DependencyDown", job="steps", dependency="graph")
        # It needs no graph to take jobs and to tell of them.
        assert await stack.probe(addresses["orchestrator"], "/readyz") == 200

    await quiet(stack, "DependencyDown")


async def test_a_step_without_a_service_is_named(stack: WatchedStack) -> None:
    addresses = stack.addresses()

    async def gone() -> bool:
        async with AsyncClient(stack.url) as client:
            return next(step for step in await client.steps() if step.name == "filesystem").workers == 0

    async with stack.unmended():
        stack.kill("step-filesystem")
        await wait_until(gone, "no worker of filesystem is known", 30)

        await fires(stack, "TargetDown", job="steps")
        assert await stack.probe(addresses["orchestrator"], "/readyz") == 200
        down = {alert[3] for alert in await stack.prometheus.firing() if alert[0] == "TargetDown"}

    await quiet(stack, "TargetDown")
    assert down == {addresses["step-filesystem"]}


async def test_a_dead_orchestrator_is_named(stack: WatchedStack) -> None:
    addresses = stack.addresses()

    async with stack.unmended():
        stack.kill("orchestrator")
        await fires(stack, "OrchestratorDown")

        await answers(stack, [addresses[f"step-{step}"] for step in stack.steps], "/livez", 200)

    await quiet(stack, "OrchestratorDown")


async def test_a_dead_model_is_named_while_a_job_asks_it(stack: WatchedStack, tmp_path: Path) -> None:
    root = tmp_path / tmp_path.name
    root.mkdir()
    for number in range(60):
        (root / f"m{number}.py").write_text(
            f'def f{number}(x: int) -> int:\n    """Adds."""\n    return x + {number}\n'
        )

    async def count(code: str) -> float:
        found = await stack.prometheus.ask(f'sum(llm_requests_total{{code="{code}"}})')
        return float(found[0]["value"][1]) if found else 0

    before = stack.model.asked

    async def asked() -> bool:
        return stack.model.asked > before + 5

    async with AsyncClient(stack.url) as client:
        job = await client.submit(
            repository=str(root), step_options={"summarizer": {"provider": "openai", "parallel": 2}}
        )
        await wait_until(asked, "the model has been asked", 240)
        stack.model.kill()
        await fires(stack, "ModelFails", limit=240)
        assert await count("none") > 0
        stack.model.start()

        async def ended() -> bool:
            return (await client.get(job.id)).state.ended

        await wait_until(ended, "the job has ended", 240)
        assert (await client.get(job.id)).state == "COMPLETED"
