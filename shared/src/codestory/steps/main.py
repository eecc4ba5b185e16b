"""`codestory-step NAME`: the process that serves one step. `--register` only says that it exists, and ends."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import uvloop
from pydantic import ValidationError

from codestory import cancelling, listening, telemetry
from codestory.bus import Bus
from codestory.graph.health import GraphHealth
from codestory.graph.settings import GraphSettings
from codestory.steps.host import Host, StepUnusable, describe
from codestory.steps.probes import Probes
from codestory.steps.settings import HostSettings

log = telemetry.logger(__name__)

USAGE = "usage: codestory-step NAME [--register]"


async def serve(step: str, settings: HostSettings, *, only_register: bool, before_write: Callable[[str], None]) -> None:
    info = await describe(step)
    bus = Bus(settings, f"step-{step}", before_write)
    host = Host(bus, settings, info)
    if not only_register:
        await _run(host, settings)
        return
    await bus.connect()
    await host.register()
    await bus.close()


async def _run(host: Host, settings: HostSettings) -> None:
    if settings.probe_port is None:
        await host.run()
        return
    graph = GraphHealth(GraphSettings())

    async def needs() -> str:
        problem = await graph.problem()
        telemetry.DEPENDENCY.labels("graph").set(not problem)
        return problem

    host.needs = needs
    telemetry.DEPENDENCY.labels("nats").set_function(lambda: host.bus.connected)
    for by in ("graph", "event"):
        telemetry.FENCED.labels(by)  # from 0: Prometheus sees no increase in a series that begins at 1
    try:
        probes = Probes(settings.probe_host, settings.probe_port, host.unready, settings.probe_seconds)
    except OSError as error:
        refused = listening.refused("CODESTORY_PROBE_", settings.probe_host, settings.probe_port, error)
        raise StepUnusable(refused) from error
    asking = asyncio.create_task(_ask(needs, settings.probe_seconds))
    log.info("probes.serving", step=host.info.name, host=settings.probe_host, port=probes.port)
    try:
        await host.run()
    finally:
        probes.close()
        await cancelling.end(asking)
        await graph.close()


async def _ask(needs: Callable[[], Awaitable[str]], seconds: float) -> None:
    """So that the metrics are true where nobody asks whether this is ready."""
    while not cancelling.cancelled():
        await needs()
        await asyncio.sleep(seconds)


def main(before_write: Callable[[str], None] = lambda _: None) -> None:
    arguments = [a for a in sys.argv[1:] if a != "--register"]
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.exit(USAGE)
    try:
        settings = HostSettings()
    except ValidationError as error:
        sys.exit(
            "\n".join(
                f"codestory-step: CODESTORY_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()
            )
        )
    telemetry.configure(f"step-{arguments[0]}", level=settings.log_level, keeps=True)
    try:
        uvloop.run(serve(arguments[0], settings, only_register="--register" in sys.argv, before_write=before_write))
    except StepUnusable as error:
        sys.exit(f"codestory-step: {error}")
    telemetry.close(settings.export_seconds)
    sys.stderr.flush()
    os._exit(0)  # threads of libraries must not keep a stopped service alive


if __name__ == "__main__":
    main()
