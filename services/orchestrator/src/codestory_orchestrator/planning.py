"""What a job would do, and what would keep it from it. Nothing is made."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from codestory import repository_identity
from codestory.contracts.api import StepInfo, SubmitJob
from codestory.contracts.jobs import Repository
from codestory.contracts.planning import PlannedStep, PlanView, PlanWarning
from codestory.contracts.plans import StepPlan
from codestory.files.repository import Kind, RepositoryFiles
from codestory.step_errors import StepError
from codestory_orchestrator.errors import NameTaken
from codestory_orchestrator.feed import Feed
from codestory_orchestrator.progress import estimates
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.store import JobStore, RepositoryQueue
from codestory_orchestrator.throttling.limits import Limits

#: Entries between two looks at the clock.
LOOK_EVERY = 256

Steps = tuple[StepPlan, ...]


class Planner:
    """`gone`: whether the origin that holds a name is no longer there, so that the name is free."""

    def __init__(
        self,
        store: JobStore,
        registry: Registry,
        limits: Limits,
        feed: Feed,
        *,
        count_seconds: float,
        gone: Callable[[str], bool],
    ) -> None:
        self.store, self.registry, self.limits, self.feed = store, registry, limits, feed
        self._count_seconds, self._gone = count_seconds, gone

    async def view(self, request: SubmitJob, repository: Repository, plan: Steps, owner: str) -> PlanView:
        """Of what `submit` would plan. Raises what the bus raises."""
        known = self.registry.steps
        names = [step.name for step in plan]
        living, most = await self.registry.living(), await self.limits.concurrencies(sorted(known))
        usual = self.feed.usual.seconds(repository.id, request.mode)
        counting = asyncio.to_thread(counted, repository.path, plan, known, self._count_seconds)
        queue, (files, size, whole) = await asyncio.gather(self.store.queue(repository.id), counting)
        steps = [planned(step, known[step.name], usual, most.get(step.name, 1), living[step.name]) for step in plan]
        told = await self.store.known_to(owner, repository.id)
        absent = [step.name for step in steps if not step.workers]
        return PlanView(
            repository=repository,
            mode=request.mode,
            priority=request.priority,
            steps=tuple(steps),
            estimate_seconds=estimates.longest(plan, usual) if usual.keys() >= set(names) else None,
            files=files,
            bytes=size,
            counted=whole,
            warnings=(*_absent(absent), *self._standing(repository, queue, told=told)),
        )

    def _standing(self, repository: Repository, queue: RepositoryQueue | None, *, told: bool) -> Iterable[PlanWarning]:
        if queue is None:
            return
        name, origin = repository.name, repository_identity.origin(repository)
        if queue.origin not in {"", origin} and (queue.entries or not self._gone(queue.origin)):
            yield PlanWarning(code="name_taken", text=str(NameTaken(name, queue.origin if told else "")))
        if queue.deletion:
            text = f"{name} is being deleted: the job would begin once that is done."
            yield PlanWarning(code="repository_deleting", text=text)
        if queue.jobs:
            others = "another job" if len(queue.jobs) == 1 else f"{len(queue.jobs)} other jobs"
            text = f"The job would wait for {others} on the same repository."
            yield PlanWarning(code="repository_busy", text=text)


def planned(step: StepPlan, info: StepInfo, usual: Mapping[str, float], concurrency: int, workers: int) -> PlannedStep:
    received = {name: value for name, value in step.options.items() if name in info.option_names}
    return PlannedStep(
        name=step.name,
        depends_on=step.depends_on,
        when=step.when,
        resources=step.resources,
        optional=step.optional,
        timeout_seconds=step.timeout_seconds,
        options=received,
        options_dropped=tuple(sorted(step.options.keys() - received.keys())),
        concurrency=concurrency,
        workers=workers,
        estimate_seconds=usual.get(step.name),
    )


def counted(
    path: str, plan: Steps, known: Mapping[str, StepInfo], seconds: float
) -> tuple[int | None, int | None, bool]:
    """Files, their bytes, and whether all were counted; None, None: they are not there."""
    if not path or not Path(path).is_dir():
        return None, None, True
    files = size = 0
    until = time.monotonic() + seconds
    try:
        with RepositoryFiles(Path(path)) as repository:
            for number, entry in enumerate(repository.walk(**_ignoring(plan, known)), start=1):
                if entry.kind is Kind.FILE:
                    files, size = files + 1, size + entry.size
                if number % LOOK_EVERY == 0 and time.monotonic() > until:
                    return files, size, False
    except StepError:  # the steps will say so themselves
        return files, size, False
    return files, size, True


def _ignoring(plan: Steps, known: Mapping[str, StepInfo]) -> dict[str, Any]:
    """As the first step is told to that may be told what to leave out."""
    for step in plan:
        if "ignore" in known[step.name].option_names:
            ignore, git = step.options.get("ignore"), step.options.get("use_gitignore")
            return {
                "ignore": [each for each in ignore if isinstance(each, str)] if isinstance(ignore, list) else (),
                "use_gitignore": git is not False,
            }
    return {}


def _absent(steps: list[str]) -> Iterable[PlanWarning]:
    for step in steps:
        text = f"No worker of the step {step} lives: it would wait until one does (or a scaler starts one)."
        yield PlanWarning(code="no_worker", text=text)
