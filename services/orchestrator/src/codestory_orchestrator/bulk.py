"""Asks the same of many jobs. Each is asked as it would be alone, so what is asked twice changes nothing more."""

import asyncio
from collections.abc import Awaitable, Callable

from codestory.bus import LOST
from codestory.contracts.api import RetryJob
from codestory.contracts.listing import BulkRequest, BulkResult, BulkRetry, NotDone
from codestory.contracts.values import JobState
from codestory_orchestrator import control, listing
from codestory_orchestrator.errors import IngestionError, ServiceUnavailable
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.verbs import Verbs

#: Of these something did not complete.
INCOMPLETE = frozenset({JobState.FAILED, JobState.STOPPED, JobState.CANCELLED})


class Bulk:
    """`in_flight`: jobs that are asked at a time."""

    def __init__(self, store: JobStore, verbs: Verbs, in_flight: int) -> None:
        self.store, self.verbs, self.in_flight = store, verbs, in_flight

    async def cancel(self, request: BulkRequest, owner: str | None = None) -> BulkResult:
        return await self._each(request, control.GOING | {JobState.STOPPING}, self.verbs.cancel, owner)

    async def stop(self, request: BulkRequest, owner: str | None = None) -> BulkResult:
        return await self._each(request, control.GOING, self.verbs.stop, owner)

    async def retry(self, request: BulkRetry, owner: str | None = None) -> BulkResult:
        one = RetryJob(from_step=request.from_step, options=request.options, step_options=request.step_options)
        return await self._each(request, INCOMPLETE, lambda job_id: self.verbs.retry(job_id, one), owner)

    async def _each(
        self,
        request: BulkRequest,
        possible: frozenset[JobState],
        ask: Callable[[str], Awaitable[None]],
        owner: str | None,
    ) -> BulkResult:
        """The newest first: who stands behind another in line is ended before it could begin."""
        try:
            jobs = listing.matching(await self.store.all(), request.filter, owner)
        except LOST as error:
            raise ServiceUnavailable from error
        meant = [job for job in jobs if request.filter.status or job.state in possible]
        meant.sort(key=lambda job: (job.created_at, job.id), reverse=True)
        chosen = [job.id for job in meant[: request.limit]]
        refused: dict[str, NotDone] = {} if request.dry_run else await self._ask(chosen, ask)
        return BulkResult(
            matched=len(meant),
            done=tuple(job_id for job_id in chosen if job_id not in refused),
            refused=tuple(refused[job_id] for job_id in chosen if job_id in refused),
            more=len(meant) > len(chosen),
        )

    async def _ask(self, job_ids: list[str], ask: Callable[[str], Awaitable[None]]) -> dict[str, NotDone]:
        """Those that refuse. Once the bus is away nobody else is asked."""
        refused: dict[str, NotDone] = {}
        left = iter(job_ids)
        away = False

        async def one_after_the_other() -> None:
            nonlocal away
            for job_id in left:
                try:
                    if away:
                        raise ServiceUnavailable
                    await ask(job_id)
                except IngestionError as error:
                    away = away or isinstance(error, ServiceUnavailable)
                    refused[job_id] = NotDone(id=job_id, code=error.code, detail=str(error))

        await asyncio.gather(*(one_after_the_other() for _ in range(self.in_flight)))
        return refused
