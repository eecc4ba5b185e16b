"""Three servers that know each other: on how many of them what we declare lies."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nats.errors
import pytest

from codestory.bus import Bus
from codestory.nats_users.permissions import Names
from codestory.testing import NATS_SERVER, executable, free_port, wait_until
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.throttling.limits import Limits
from codestory_orchestrator.topology import Topology

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

NAMES = Names("three").all()


@pytest.fixture
def three_servers(tmp_path: Path) -> Iterator[str]:
    """The address of one of them."""
    routes = [free_port() for _ in range(3)]
    ports = [free_port() for _ in range(3)]
    known = ", ".join(f"nats://127.0.0.1:{route}" for route in routes)
    with contextlib.ExitStack() as running:
        for number, (port, route) in enumerate(zip(ports, routes, strict=True)):
            config = tmp_path / f"{number}.conf"
            config.write_text(
                f"server_name: s{number}\nlisten: 127.0.0.1:{port}\n"
                f"jetstream {{ store_dir: '{tmp_path / str(number)}' }}\n"
                f"cluster {{ name: three, listen: 127.0.0.1:{route}, routes: [{known}] }}\n"
            )
            log = running.enter_context((tmp_path / f"{number}.log").open("wb"))
            process = subprocess.Popen([executable(NATS_SERVER), "-c", str(config)], stderr=log)
            running.callback(process.wait)
            running.callback(process.kill)
        yield f"nats://127.0.0.1:{ports[0]}"


async def declared(url: str, replicas: int) -> dict[str, int]:
    """How many servers each stream lies on, once an orchestrator has declared all with this setting."""
    settings = OrchestratorSettings(nats_url=url, namespace="three", nats_replicas=replicas)
    bus = Bus(settings, "test")
    await bus.connect()
    try:

        async def declares() -> bool:  # not while the servers, or those of a stream, have yet to choose who leads
            with contextlib.suppress(nats.errors.Error):
                await Topology(bus, settings, Limits(bus, 1.0)).declare()
                return True
            return False

        async def told() -> bool:
            with contextlib.suppress(nats.errors.Error):
                infos = [await bus.js.stream_info(name) for name in NAMES]
                found.update({it.config.name or "": it.config.num_replicas or 1 for it in infos})
            return len(found) == len(NAMES)

        found: dict[str, int] = {}
        await wait_until(declares, "all is declared", 60)
        await wait_until(told, "every stream is there", 60)
        return found
    finally:
        await bus.close()


async def test_every_stream_lies_on_as_many_servers_as_the_setting_says_and_never_on_fewer_again(
    three_servers: str,
) -> None:
    alone = await declared(three_servers, 1)
    raised = await declared(three_servers, 3)
    lowered = await declared(three_servers, 1)

    assert set(alone.values()) == {1}
    assert raised == lowered == dict.fromkeys(NAMES, 3)
