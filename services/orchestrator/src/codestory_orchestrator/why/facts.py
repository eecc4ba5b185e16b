"""What is known of a job that may wait, at one moment. `explainer.py` gathers it, the others put it into words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from codestory.contracts.api import Holder, Holders, JobView, Wait
from codestory.contracts.jobs import Job
from codestory.contracts.values import JobState, Priority


@dataclass(frozen=True)
class Other:
    """Another job, for which this one waits. `state` None: it is not known, or not any more."""

    id: str
    state: JobState | None = None
    fraction: float = 0.0
    #: What it waits for itself; none when a step of it runs.
    waits: tuple[Wait, ...] = ()


@dataclass(frozen=True)
class Queued:
    """A command in READY, under the priority that it has by now."""

    priority: Priority
    #: Commands in front of it: of its priority, and of each higher one.
    before: int = 0
    above: Mapping[Priority, int] = field(default_factory=dict[Priority, int])


@dataclass(frozen=True)
class StepFacts:
    """Where an active step's command is. Neither `queued` nor `admitted_at`: not due yet, or on its way."""

    queued: Queued | None = None
    admitted_at: datetime | None = None
    #: Of this step, the living ones.
    workers: frozenset[str] = frozenset()
    concurrency: int = 1


@dataclass(frozen=True)
class Facts:
    job: Job
    view: JobView
    at: datetime
    #: The jobs that stand before it on its repository, and the first of them as it is.
    ahead: tuple[str, ...] = ()
    first: Other | None = None
    #: Since when its repository is being deleted.
    deleting_since: datetime | None = None
    #: Those that it comes after.
    after: tuple[Other, ...] = ()
    #: The active ones.
    steps: Mapping[str, StepFacts] = field(default_factory=dict[str, StepFacts])
    #: Where a command waits for room; else empty.
    tokens: Holders = field(default_factory=lambda: Holders(available_tokens=0, max_tokens=0, holders=()))
    #: After so long the command of a worker that is gone is given to another.
    ack_wait_seconds: float = 30.0
    #: After so long a place on a repository is given on whose job was never recorded.
    queue_entry_seconds: float = 30.0

    def holding(self, *, step: str = "", tag: str = "") -> tuple[Holder, ...]:
        """The holders of tokens of this step, or with this tag; the longest first."""
        return tuple(
            holder
            for holder in self.tokens.holders
            if (not step or holder.step == step) and (not tag or tag in holder.resources)
        )
