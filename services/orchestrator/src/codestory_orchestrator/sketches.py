"""What is looked at of every record in every round: ten thousand that wait would else be parsed each time."""

import sys
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from codestory.contracts.jobs import Job
from codestory.contracts.values import JobState, Priority
from codestory_orchestrator import pipeline


@dataclass(frozen=True, slots=True)
class Sketch:
    id: str
    revision: int
    run: int
    state: JobState
    priority: Priority
    repository: str
    begun: bool
    eligible: bool
    after: tuple[str, ...]
    #: The active steps, and since when the command of each has waited.
    active: tuple[tuple[str, datetime | None], ...]
    ended_at: datetime | None
    created_at: datetime
    repository_name: str
    steps: tuple[str, ...]
    owner: str
    schedule: str


def sketch(job: Job, revision: int) -> Sketch:
    return Sketch(
        id=job.id,
        revision=revision,
        run=job.run,
        state=job.state,
        priority=job.priority,
        repository=job.repository.id,
        begun=pipeline.begun(job),
        eligible=job.eligible,
        after=job.after,
        active=tuple((sys.intern(step), pipeline.waits_since(job, step)) for step in job.active),
        ended_at=(job.ended_at or job.created_at) if job.state.ended else None,
        created_at=job.created_at,
        repository_name=job.repository.name,
        steps=_shared(tuple(step.name for step in job.plan)),
        owner=sys.intern(job.owner),
        schedule=sys.intern(job.schedule),
    )


@lru_cache(maxsize=1024)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """Most jobs have the same steps: one tuple for all."""
    return names
