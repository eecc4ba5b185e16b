"""What a service says of a graph server that takes its question and does not answer."""

from typing import TYPE_CHECKING

from codestory.graph.health import GraphHealth
from codestory.graph.settings import GraphSettings
from codestory.testing import wait_until

if TYPE_CHECKING:
    from conftest import Wire


async def test_a_server_that_hangs_is_named_in_time_and_found_again(wire: tuple["Wire", GraphSettings]) -> None:
    between, settings = wire
    health = GraphHealth(settings.model_copy(update={"graph_connect_timeout": 1}))
    between.freeze = [b"RETURN 1"]

    said = await health.problem()
    between.thaw.set()

    assert said == "The graph server does not answer within 1 s."

    async def well() -> bool:
        return not await health.problem()

    await wait_until(well, "it answers again")
    await health.close()
