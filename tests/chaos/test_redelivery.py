"""What the alert CommandsRedelivered looks at: how much more is delivered of RUN than was put there."""

import pytest

from codestory.testing_world import World, Worlds, plan

pytestmark = pytest.mark.chaos


async def test_what_is_delivered_again_is_what_the_alert_counts(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        victim = world.worker("a")
        world.worker("b")
        await world.ready("a", "b")
        for _ in range(3):
            await world.state(await world.submit(plan("a"), plan("b")), "COMPLETED")
        quiet = await delivered_again(world)

        gate = world.gate()
        job = await world.submit(plan("a", gate=gate.path))
        await world.event(job, "a", "started")
        victim.kill()
        world.worker("a")
        await world.event(job, "a", "started", 2)
        gate.open()
        await world.state(job, "COMPLETED")

        assert (quiet, await delivered_again(world)) == (0, 1)


async def delivered_again(world: World) -> int:
    """As observability/alerts.yaml has it: over the consumers of RUN, less what RUN has ever held."""
    stream = world.bus.stream("RUN")
    consumers = await world.bus.js.consumers_info(stream)
    delivered = sum(it.delivered.consumer_seq for it in consumers if it.delivered)
    return delivered - (await world.bus.js.stream_info(stream)).state.last_seq
