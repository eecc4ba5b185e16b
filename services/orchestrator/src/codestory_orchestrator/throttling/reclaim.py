"""A step whose service is dead hoards no tokens: what of it is admitted goes back to wait, as a new attempt."""

from collections import Counter

from codestory import telemetry
from codestory.bus import attempt_in
from codestory.contracts.events import StepFailed
from codestory.contracts.values import Reason
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.throttling.admission import Admission, Look

log = telemetry.logger(__name__)

MESSAGE = "no worker of the step lives: it waits again, so that others can have its token"


class Reclaim:
    def __init__(self, admission: Admission, settings: OrchestratorSettings, me: str) -> None:
        self.admission, self.settings, self.me = admission, settings, me
        self.bus, self.store, self.registry = admission.bus, admission.store, admission.registry

    async def from_the_dead(self) -> None:
        """All but one command of each step that is silent for long; that one too while the living need what it has."""
        living = await self.registry.living()
        admitted = (await self.admission.look()).admitted
        silent = {
            step
            for step in self.registry.steps
            if step not in living and self.registry.silent_for(step) >= self.settings.presence_seconds
        }
        for step in silent & {step for step, _ in admitted}:
            for job in await self._but_the_oldest(step, admitted):
                await self._take_back(step, job)
        await self._last_ones(silent)

    async def _but_the_oldest(self, step: str, admitted: frozenset[tuple[str, str]]) -> list[str]:
        jobs = [job for name, job in admitted if name == step]
        if len(jobs) < 2:
            return []
        found = [(job, await self.bus.last("RUN", self.bus.subject("run", step, job))) for job in jobs]
        return [job for _, job in sorted((stored.sequence, job) for job, stored in found if stored)[1:]]

    async def _last_ones(self, silent: set[str]) -> None:
        """As many as there are commands of living steps that lack nothing but a token; and who holds a tag that one of
        them needs."""
        look = await self.admission.look()
        tags = {
            (step, job): await self.admission.tags.of(step, job)
            for step, job in sorted(look.admitted)
            if step in silent
        }
        short = self.admission.tokens <= 0
        if not short and not any(tags.values()):
            return
        tokens, needed = await self._needs(look) if tags else (0, set[str]())
        for (step, job), held in tags.items():
            if held & needed or (short and tokens > 0):
                tokens -= 1
                await self._take_back(step, job)

    async def _needs(self, look: Look) -> tuple[int, set[str]]:
        """Of living steps with room: how many commands lack nothing but a token, and which full tags others lack."""
        free, need, full = await self.admission.tags.free(look.admitted), Counter[str](), set[str]()
        room, living = self.admission.room, self.admission.living
        for subject in await self.bus.subjects("READY", self.bus.subject("ready.>")):
            *_, step, job = subject.split(".")
            if step in living and need[step] < room.get(step, 0):
                missing = {tag for tag in await self.admission.tags.of(step, job) if free.get(tag, 1) <= 0}
                full |= missing
                need[step] += not missing
        return need.total(), full

    async def _take_back(self, step: str, job_id: str) -> None:
        """As a worker gives back what it cannot end: by a last word under the fence, then the token."""
        admitted = await self.bus.last("RUN", self.bus.subject("run", step, job_id))
        attempt = attempt_in(admitted.headers) if admitted else None
        found = await self.store.read(job_id, fresh=False)
        if admitted is None or attempt is None or not found or found[0].state.ending:
            return  # what has no attempt is swept, and a job that is ending is ended elsewhere
        said = StepFailed(
            attempt=attempt, worker=self.me, at=self.bus.now(), reason=Reason.SHUTDOWN, message=MESSAGE, retryable=True
        )
        log.warning("token.reclaimed", job_id=job_id, step=step, attempt=attempt)
        await self.bus.overrule(job_id, step, said)
        await self.admission.free(step, admitted.sequence)
