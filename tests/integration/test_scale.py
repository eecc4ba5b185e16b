"""How much of a step there is to do, as a scaler is told: KEDA's formula over the consumers of a real server."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from codestory.contracts.values import Priority
from codestory.testing import NatsServer, wait_until
from codestory_orchestrator.errors import ServiceUnavailable, StepNotOffered
from codestory_orchestrator.testing import Desk
from codestory_orchestrator.throttling.scale import Scale


@pytest_asyncio.fixture
async def desk() -> AsyncGenerator[Desk]:
    server = NatsServer()
    server.start()
    desk = Desk(server.url, resource_max_tokens=2, tags={"gpu": 1}, steps={"a": 1, "b": 4})
    try:
        await desk.open()
        await wait_until(desk.knows_all, "every step is served")
        yield desk
    finally:
        await desk.close()
        server.close()


async def lag(desk: Desk, step: str) -> int:
    return await Scale(desk.bus, desk.registry, 0.0).lag(step)


async def has(desk: Desk, step: str, wanted: int) -> None:
    async def there() -> bool:
        return await lag(desk, step) == wanted

    await wait_until(there, f"the lag of {step} is {wanted}")


async def test_what_waits_what_is_held_back_and_what_runs_counts_once(desk: Desk) -> None:
    await desk.alive("a", "b")
    assert await lag(desk, "a") == 0

    for number, priority in enumerate(Priority):  # one is admitted, two wait for it
        await desk.submit(f"a{number}", priority=priority)
    for number in range(3):  # one is admitted, two are held back for the tag
        await desk.submit(f"b{number}", "b", "gpu")
    await has(desk, "a", 3)
    await has(desk, "b", 3)

    taken = await desk.bus.js.pull_subscribe_bind("a", desk.bus.stream("RUN"))
    [command] = await taken.fetch(1, timeout=20)
    await has(desk, "a", 3)  # it runs: neither waits nor is done
    await command.ack()
    await has(desk, "a", 2)
    await desk.end("a0", "a1", "a2", "b0", "b1", "b2")
    await wait_until(lambda: _empties(desk), "all are admitted and done")
    await has(desk, "a", 0)
    await has(desk, "b", 0)


async def _empties(desk: Desk) -> bool:
    await desk.end(*await desk.admitted())
    return not await desk.admitted() and not await desk.waiting()


async def test_within_its_life_an_answer_is_not_asked_for_again(desk: Desk) -> None:
    scale = Scale(desk.bus, desk.registry, 3600.0)
    assert await scale.lag("a") == 0

    await desk.submit("one")

    await has(desk, "a", 1)
    assert await scale.lag("a") == 0


async def test_of_a_step_that_nobody_offers_and_without_a_bus_nothing_is_told(desk: Desk) -> None:
    with pytest.raises(StepNotOffered, match="'x'"):
        await lag(desk, "x")
    desk.bus.epoch = 0
    with pytest.raises(ServiceUnavailable):
        await lag(desk, "a")
