"""How much of a step there is to do, for what starts and ends its workers (KEDA)."""

import asyncio

import nats.js.errors

from codestory.bus import LOST, PRIORITIES, Bus
from codestory_orchestrator.errors import ServiceUnavailable, StepNotOffered
from codestory_orchestrator.registry import Registry


class Scale:
    """`life_seconds`: how old an answer may be. However often one asks, the server is asked once in that time."""

    def __init__(self, bus: Bus, registry: Registry, life_seconds: float) -> None:
        self.bus, self.registry, self._life = bus, registry, life_seconds
        self._known: dict[str, tuple[float, int]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def lag(self, step: str) -> int:
        """KEDA's own formula for a consumer, pending and not acknowledged, over all four of the step: those of READY by
        priority, where its commands wait for a token, and that of RUN, where they are until they have ended."""
        if not self.bus.epoch:
            raise ServiceUnavailable
        if step not in self.registry.steps:
            raise StepNotOffered(step, self.registry.steps)
        clock = asyncio.get_running_loop().time
        async with self._asking.setdefault(step, asyncio.Lock()):
            until, lag = self._known.get(step, (0.0, 0))
            if clock() >= until:
                asked = clock()
                try:
                    lag = await self._count(step)
                except LOST as error:
                    raise ServiceUnavailable from error
                self._known[step] = asked + self._life, lag
            return lag

    async def _count(self, step: str) -> int:
        consumers = [("READY", f"{priority}-{step}") for priority in PRIORITIES] + [("RUN", step)]
        return sum(await asyncio.gather(*(self._of(stream, name) for stream, name in consumers)))

    async def _of(self, stream: str, consumer: str) -> int:
        try:
            info = await self.bus.js.consumer_info(self.bus.stream(stream), consumer)
        except nats.js.errors.NotFoundError:  # it is yet to be declared
            return 0
        return (info.num_pending or 0) + (info.num_ack_pending or 0)
