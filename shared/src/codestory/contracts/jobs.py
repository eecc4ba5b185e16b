"""A job and its steps as the bus keeps them: the one truth, changed by compare-and-set only."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from codestory.contracts.plans import Options, StepPlan
from codestory.contracts.results import StepOutcome, Usage
from codestory.contracts.values import JobId, JobState, Priority, Reason, StepState, Value

#: Attempts kept in a step's record. Older ones are still in the event history.
ATTEMPTS_KEPT = 20


class Repository(Value):
    """Which repository, and where its files are. `id` comes from `name` alone, never from where it is mounted."""

    id: Annotated[str, Field(max_length=64)]
    name: Annotated[str, Field(max_length=300)]
    path: Annotated[str, Field(max_length=4096)]
    #: The git remote without credentials, or empty.
    url: Annotated[str, Field(max_length=2000)] = ""


class Attempt(Value):
    """One try of a step, as it went."""

    number: int
    worker: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    state: StepState = StepState.RUNNING
    reason: Reason | None = None
    message: Annotated[str, Field(max_length=4000)] = ""
    detail: Annotated[str, Field(max_length=16_000)] = ""
    usage: Usage = Usage()
    #: W3C context of the attempt's own trace, which its log lines name too.
    traceparent: str = ""


class StepRecord(Value):
    state: StepState = StepState.WAITING
    attempt: int = 0
    retries: int = 0
    #: Sequence of the event that led to this attempt; 0: none.
    after: int = 0
    message: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    #: When the next attempt is due, while RETRYING.
    due_at: datetime | None = None
    options: Options = {}
    options_dropped: tuple[str, ...] = ()
    outcome: StepOutcome | None = None
    attempts: tuple[Attempt, ...] = ()


class Job(Value):
    """A job. `run` counts up with each retry of the whole job, so that each run has one end."""

    id: JobId
    repository: Repository
    plan: tuple[StepPlan, ...]
    steps: dict[str, StepRecord]
    state: JobState = JobState.PENDING
    priority: Priority = Priority.DEFAULT
    run: int = 1
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    #: While CANCELLING: until when a living worker may end its step itself.
    cancel_by: datetime | None = None
    traceparent: str = ""

    @property
    def active(self) -> list[str]:
        return [name for name, step in self.steps.items() if step.state.active]

    def plan_of(self, name: str) -> StepPlan:
        return next(plan for plan in self.plan if plan.name == name)

    def having(self, name: str, **changes: Any) -> "Job":
        """This job with one step's record changed."""
        return self.model_copy(update={"steps": self.steps | {name: self.steps[name].model_copy(update=changes)}})
