"""Forgets jobs that ended long ago, and what is left of them on the bus. On any replica: each removal is a CAS."""

import asyncio
from datetime import timedelta

from codestory import telemetry
from codestory.bus import Bus, Refused
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore

log = telemetry.logger(__name__)

#: Jobs forgotten in one round, the oldest first: each costs a few requests.
ROUND = 200


class Retention:
    """How long and how many: `jobs_max_age_seconds` and `jobs_max_count`. A job that another waits for is kept."""

    def __init__(self, bus: Bus, store: JobStore, settings: OrchestratorSettings) -> None:
        self.bus, self.store, self.settings = bus, store, settings

    async def forget_old(self) -> None:
        await asyncio.sleep(self.settings.retention_seconds)
        for job_id, revision in self._too_old()[:ROUND]:
            if not self.store.dependents(job_id):
                await self.forget(job_id, revision)

    async def forget(self, job_id: str, revision: int) -> bool:
        """The record first, if nobody has changed it: a job that is retried at this moment stays. What a crash leaves
        of its events and log lines goes with the age of their streams."""
        try:
            await self.store.delete(job_id, revision)
        except Refused:
            return False
        await self.bus.purge("KV_cancel", self.bus.key("cancel", job_id))
        await self.bus.purge("EVENTS", self.bus.subject("evt", job_id, ">"), self.bus.subject("progress", job_id, ">"))
        await self.bus.purge("LOGS", self.bus.subject("log", job_id, ">"), self.bus.subject("span", job_id, ">"))
        log.info("job.forgotten", job_id=job_id)
        return True

    def _too_old(self) -> list[tuple[str, int]]:
        settings = self.settings
        ended = sorted(self.store.ended())  # the oldest end first
        surplus = max(len(ended) - settings.jobs_max_count, 0) if settings.jobs_max_count else 0
        limit = self.bus.now() - timedelta(seconds=settings.jobs_max_age_seconds)
        return [
            (job_id, revision)
            for place, (at, job_id, revision) in enumerate(ended)
            if place < surplus or (settings.jobs_max_age_seconds and at < limit)
        ]
