"""How the service is, and what it depends on."""

import asyncio
from collections.abc import Callable

from codestory import telemetry
from codestory.bus import LOST, Bus
from codestory.contracts.api import Check, Health
from codestory.graph.health import GraphHealth
from codestory_orchestrator.deployment import Deployment
from codestory_orchestrator.errors import ConfigInvalid, ServiceUnavailable
from codestory_orchestrator.throttling.resources import Resources

SEVERITY = ("pass", "warn", "fail")


class HealthReport:
    def __init__(self, bus: Bus, deployment: Deployment, resources: Resources, graph: GraphHealth) -> None:
        self.bus, self.deployment, self.resources, self.graph = bus, deployment, resources, graph
        #: The other orchestrators whose pipeline_config.yml says something else.
        self.differing: Callable[[], tuple[str, ...]] = tuple
        #: Who is let in, and whether that can be told.
        self.access: Callable[[], Check] = lambda: Check(status="pass")

    async def ready(self) -> bool:
        """The bus answers and everything is declared."""
        if not self.bus.connected or not self.bus.epoch:
            return False
        try:
            async with asyncio.timeout(2):
                return await self.bus.current_epoch() == self.bus.epoch
        except LOST:
            return False

    async def health(self) -> Health:
        checks = {
            "nats": self._nats(),
            "authentication": self.access(),
            "graph": await self._graph(),
            "pipeline_config": await asyncio.to_thread(self._file),
        }
        try:
            async with asyncio.timeout(3):
                checks |= await self._bus_checks()
        except (*LOST, ServiceUnavailable) as error:
            checks["jetstream"] = Check(status="fail", detail=f"JetStream does not answer: {error!r}")
        worst = max((check for check in checks.values()), key=lambda check: SEVERITY.index(check.status)).status
        return Health(status=worst, version=telemetry.version(), checks=checks)

    def _nats(self) -> Check:
        return (
            Check(status="pass") if self.bus.connected else Check(status="fail", detail="not connected; reconnecting")
        )

    def _file(self) -> Check:
        try:
            config = self.deployment.config()
        except ConfigInvalid as error:
            return Check(status="fail", detail=str(error))
        unknown = [step.name for step in config.steps if step.name not in self.deployment.registry.steps]
        detail = f"no service has registered {', '.join(unknown)}" if unknown else ""
        if others := self.differing():
            detail = f"{detail}; the file of {', '.join(others)} says something else".lstrip("; ")
        return Check(
            status="warn" if detail else "pass", detail=detail, observed={"steps": [s.name for s in config.steps]}
        )

    async def _graph(self) -> Check:
        problem = await self.graph.problem()
        return Check(status="fail", detail=problem) if problem else Check(status="pass")

    async def _bus_checks(self) -> dict[str, Check]:
        tokens, steps = await self.resources.status(), await self.deployment.steps()
        advisories = await self.bus.js.stream_info(self.bus.stream("ADVISORIES"))
        checks = {
            "jetstream": Check(status="pass", observed={"epoch": self.bus.epoch}),
            "tokens": Check(status="pass", observed=tokens.model_dump()),
            "dead_letters": Check(
                status="warn" if advisories.state.messages else "pass", observed={"messages": advisories.state.messages}
            ),
        }
        for step in steps:  # none alive is no failure: a step may be scaled to zero
            observed = {
                "alive": step.workers,
                "waiting": step.waiting,
                "running": step.running,
                "concurrency": step.concurrency,
            }
            checks[f"workers:{step.name}"] = Check(status="pass", observed=observed)
        return checks
