"""What is deployed: the service's own pipeline_config.yml, the steps that exist, and how much of each runs at once."""

import asyncio
import time
from collections import Counter
from pathlib import Path

from codestory import pipeline_file, telemetry
from codestory.bus import Bus
from codestory.contracts.api import StepStatus
from codestory.contracts.plans import PipelineConfig, StepPlan
from codestory_orchestrator.errors import ConfigInvalid
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.topology import Topology

log = telemetry.logger(__name__)

#: Inode, size and times of a file.
Version = tuple[int, int, int, int]
#: A file that changed so recently may change again within one tick of the disk's clock.
SETTLED_NS = 2_000_000_000


class Deployment:
    def __init__(self, bus: Bus, registry: Registry, topology: Topology, settings: OrchestratorSettings) -> None:
        self.bus, self.registry, self.topology, self.settings = bus, registry, topology, settings
        self._concurrencies: dict[str, int] = {}
        self._config: PipelineConfig | None = None
        #: Which version of the file that is. None: not known.
        self._read_at: Version | None = None

    def config(self) -> PipelineConfig:
        """The service's own pipeline_config.yml as it is now."""
        path = self.settings.pipeline_config
        try:
            seen = _version(path)
            if self._config is None or seen is None or seen != self._read_at:
                self._config, self._read_at = pipeline_file.load(path), seen
            return self._config
        except pipeline_file.PipelineFileError as error:
            self._read_at = None
            raise ConfigInvalid(str(error)) from error

    async def steps(self) -> list[StepStatus]:
        """Raises what the bus raises."""
        living = await self.registry.living()
        waiting = Counter(s.split(".")[-2] for s in await self.bus.subjects("READY", self.bus.subject("ready.>")))
        running = Counter(s.split(".")[-2] for s in await self.bus.subjects("RUN", self.bus.subject("run.>")))
        names = sorted(self.registry.steps)
        most = await self.topology.limits.concurrencies(names)
        stated = await asyncio.to_thread(self._stated)
        return [
            StepStatus(
                **self.registry.steps[name].model_dump(),
                workers=living[name],
                concurrency=most[name],
                waiting=waiting[name],
                running=running[name],
                depends_on=stated[name].depends_on if name in stated else (),
                resources=stated[name].resources if name in stated else (),
            )
            for name in names
        ]

    async def tune(self, new: str = "") -> None:
        """Give the consumers of all known steps, and of a `new` one, their concurrency by the file, and each tag
        its limit."""
        try:
            config = await asyncio.to_thread(self.config)
            configured = {step.name: step.concurrency or 1 for step in config.steps}
            await self.topology.limits.configure(config.resource_limits)
        except ConfigInvalid as error:
            log.warning("pipeline_config.invalid", error=str(error))
            configured = None
        for step in {new, *self.registry.steps} - {""}:
            concurrency = self._concurrencies.get(step) if configured is None else configured.get(step, 1)
            if step == new or self._concurrencies.get(step) != concurrency:
                await self.topology.declare_step(step, concurrency)
                if concurrency:
                    self._concurrencies[step] = concurrency

    def _stated(self) -> dict[str, StepPlan]:
        """By the file; nothing where it cannot be read."""
        try:
            return {step.name: step for step in self.config().plan()}
        except ConfigInvalid:
            return {}


def _version(path: Path) -> Version | None:
    """Changes whenever the file does. None: look into it."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    young = time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < SETTLED_NS
    return None if young else (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
