"""Which steps exist, as their own services have said, and which of their workers live."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from pydantic import ValidationError

from codestory import cancelling, telemetry
from codestory.bus import LOST, Bus
from codestory.contracts.api import StepInfo
from codestory.mirror import Mirror

log = telemetry.logger(__name__)


class Registry:
    """A mirror of the bucket `steps`. `welcome` is called for each step that is new here, before it is known."""

    def __init__(self, bus: Bus, welcome: Callable[[str], Awaitable[None]]) -> None:
        self.bus = bus
        self._welcome = welcome
        self._known: dict[str, StepInfo] = {}
        self._changed = asyncio.Event()
        self._mirror = Mirror(bus, "steps", lambda _: self._changed.set())

    @property
    def steps(self) -> dict[str, StepInfo]:
        return dict(self._known)

    async def start(self) -> None:
        await self._mirror.start()
        await self.update()

    async def relist(self) -> None:
        await self._mirror.list()
        self._changed.set()

    async def forget(self) -> None:
        """After a loss of the broker's storage: each service says anew that it exists."""
        self._mirror.forget()
        for name in list(self._known):
            await self._welcome(name)  # what was known still exists: only its consumers are gone
        await self.relist()

    async def watch(self) -> None:
        """Welcome what comes. Runs until cancelled."""
        while not cancelling.cancelled():
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.update()
            except LOST:
                await asyncio.sleep(0.2)
                self._changed.set()

    async def update(self) -> None:
        for name, (_, data) in self._mirror.entries.items():
            info = _info(name, data)
            if info is None:
                continue
            if name not in self._known:
                log.info("step.registered", step=name, version=info.version)
            await self._welcome(name)
            self._known[name] = info

    async def living(self) -> dict[str, int]:
        """Workers alive, by step."""
        prefix = self.bus.key("workers", "")
        subjects = await self.bus.subjects("KV_workers", self.bus.key("workers", ">"))
        steps = [subject.removeprefix(prefix).partition(".")[0] for subject in subjects]
        return Counter(step for step in steps if step in self._known)


def _info(name: str, data: bytes) -> StepInfo | None:
    try:
        info = StepInfo.model_validate_json(data)
    except ValidationError as error:
        log.warning("step.unreadable", step=name, error=str(error)[:500])
        return None
    return info if info.name == name else None
