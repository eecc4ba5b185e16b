"""What an orchestrator declares, on a real server."""

import pytest

from codestory.bus import Bus
from codestory.testing import NatsServer
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.throttling.limits import Limits
from codestory_orchestrator.topology import Topology


async def test_what_is_declared_again_is_left_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    server = NatsServer()
    server.start()
    settings = OrchestratorSettings(nats_url=server.url, namespace="again")
    bus = Bus(settings, "test")
    try:
        await bus.connect()
        topology = Topology(bus, settings, Limits(bus, 1.0))
        with caplog.at_level("INFO"):
            for _ in range(2):
                await topology.declare()
                await topology.declare_step("a", concurrency=2)
        assert "topology.updated" not in caplog.text
    finally:
        await bus.close()
        server.close()
