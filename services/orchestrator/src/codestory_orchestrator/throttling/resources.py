"""What all jobs share, as the API shows and changes it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from codestory.bus import LOST, Bus
from codestory.contracts.api import (
    ChangeResourceLimits,
    ChangeResources,
    ChangeStep,
    Holders,
    ResourceStatus,
    TagStatus,
)
from codestory.contracts.plans import PipelineConfig
from codestory_orchestrator.errors import ConfigInvalid, ServiceUnavailable, UnknownStep
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.throttling.holders import Holders as Holding
from codestory_orchestrator.throttling.limits import Limits


class Resources:
    def __init__(
        self,
        bus: Bus,
        limits: Limits,
        registry: Registry,
        holding: Holding,
        config: Callable[[], PipelineConfig],
    ) -> None:
        self.bus, self.limits, self.registry, self.holding, self._config = bus, limits, registry, holding, config

    async def status(self) -> ResourceStatus:
        async with self._answering():
            info = await self.bus.js.stream_info(self.bus.stream("RUN"))
        return _status(info.config.max_msgs, info.state.messages)

    async def change(self, request: ChangeResources) -> ResourceStatus:
        async with self._answering():
            info = await self.limits.set_tokens(request.max_tokens)
            await self.bus.say("bell")
        return _status(info.config.max_msgs, info.state.messages)

    async def change_step(self, name: str, request: ChangeStep) -> None:
        async with self._answering():
            if name not in self.registry.steps or not await self.limits.set_concurrency(name, request.concurrency):
                raise UnknownStep("No service offers the", [name], self.registry.steps)
            await self.bus.say("bell")

    async def tags(self) -> list[TagStatus]:
        async with self._answering():
            return list(await self.holding.tag_status())

    async def change_tags(self, request: ChangeResourceLimits) -> list[TagStatus]:
        """Those given as null are as the file has them now; where it cannot be read, nothing is changed."""
        configured = await asyncio.to_thread(self._as_configured, strictly=None in request.limits.values())
        async with self._answering():
            await self.limits.set_tags(dict(request.limits), configured)
            await self.bus.say("bell")
            return list(await self.holding.tag_status())

    async def holders(self) -> Holders:
        async with self._answering():
            return await self.holding.list()

    def _as_configured(self, *, strictly: bool) -> dict[str, int]:
        """By the file; not `strictly`: where it cannot be read, as it was when it could."""
        try:
            return self._config().resource_limits
        except ConfigInvalid:
            if strictly:
                raise
            return self.limits.configured

    @asynccontextmanager
    async def _answering(self) -> AsyncGenerator[None]:
        """Before everything is known, and while the bus is away, nothing can be told."""
        if not self.bus.epoch:
            raise ServiceUnavailable
        try:
            yield
        except LOST as error:
            raise ServiceUnavailable from error


def _status(most: int | None, held: int) -> ResourceStatus:
    return ResourceStatus(available_tokens=max((most or 0) - held, 0), max_tokens=most or 0)
