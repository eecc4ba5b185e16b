"""Which limited tags a command holds one of each of while it is admitted. The records say so: commands bear none."""

from collections import Counter
from collections.abc import Collection, Iterable

from codestory_orchestrator.store import JobStore
from codestory_orchestrator.throttling.limits import Limits

#: Jobs whose tags are remembered. They never change.
REMEMBERED = 20_000


class Tags:
    def __init__(self, store: JobStore, limits: Limits) -> None:
        self.store, self.limits = store, limits
        self._stated: dict[str, dict[str, frozenset[str]]] = {}

    async def of(self, step: str, job_id: str) -> frozenset[str]:
        """Those that are limited. Costs nothing where no tag is."""
        limited = self.limits.tags.keys()
        return (await self._of_job(job_id)).get(step, frozenset()) & limited if limited else frozenset()

    async def held(self, admitted: Iterable[tuple[str, str]]) -> Counter[str]:
        """How many of these (step, job) hold each limited tag."""
        held = Counter[str]()
        if self.limits.tags:
            for step, job_id in admitted:
                held.update(await self.of(step, job_id))
        return held

    async def free(self, admitted: Iterable[tuple[str, str]]) -> dict[str, int]:
        """How many more may hold each limited tag; less than 0 when a limit was lowered."""
        held = await self.held(admitted)
        return {tag: limit - held[tag] for tag, limit in self.limits.tags.items()}

    async def _of_job(self, job_id: str) -> dict[str, frozenset[str]]:
        if job_id not in self._stated:
            found = await self.store.read(job_id, fresh=False)
            if not found:
                return {}  # of no job: it will be swept
            if len(self._stated) >= REMEMBERED:
                self._stated.clear()
            self._stated[job_id] = {step.name: frozenset(step.resources) for step in found[0].plan}
        return self._stated[job_id]


def fits(tags: Collection[str], free: dict[str, int]) -> bool:
    return all(free.get(tag, 1) > 0 for tag in tags)
