"""The orchestrators that serve one namespace, and whether their pipeline files say the same."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress

from codestory import cancelling, telemetry
from codestory.bus import LOST, Bus
from codestory.contracts.plans import PipelineConfig
from codestory_orchestrator.errors import ConfigInvalid

log = telemetry.logger(__name__)

#: Beside the steps' workers in the bucket of the same name. No step can be called so: a step's name has no dash.
PRESENCE = "orchestrator-"


class Replicas:
    """Each says a few times a minute which file it has; the bucket forgets who is gone."""

    def __init__(self, bus: Bus, me: str, config: Callable[[], PipelineConfig]) -> None:
        self.bus, self.me = bus, me
        self._config = config
        self.differing: tuple[str, ...] = ()

    async def be_present(self) -> None:
        while not cancelling.cancelled():
            with suppress(*LOST):
                await self._look()
            await asyncio.sleep(self.bus.settings.presence_seconds / 3)

    async def _look(self) -> None:
        mine = await asyncio.to_thread(self._fingerprint)
        await self.bus.record(self.bus.key("workers", f"{PRESENCE}.{self.me}"), {"pipeline_config": mine})
        others = await self.present()
        differing = tuple(sorted(name for name, fingerprint in others.items() if fingerprint not in {mine, ""}))
        if differing and differing != self.differing:
            log.warning("pipeline_config.differs", mine=mine, orchestrators=list(differing))
        self.differing = differing

    async def present(self) -> dict[str, str]:
        """Those that live, each with the fingerprint of its file."""
        found: dict[str, str] = {}
        for subject in await self.bus.subjects("KV_workers", self.bus.key("workers", f"{PRESENCE}.*")):
            said = await self.bus.last("KV_workers", subject)
            if said:
                found[subject.rpartition(".")[2]] = said.body.get("pipeline_config", "")
        return found

    def _fingerprint(self) -> str:
        """Of what the file means, not of how it is laid out. Empty: it cannot be read, which is said elsewhere."""
        try:
            return hashlib.sha256(self._config().model_dump_json().encode()).hexdigest()[:16]
        except ConfigInvalid:
            return ""
