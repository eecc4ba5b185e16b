"""A job and its steps as the bus keeps them: the one truth, changed by compare-and-set only."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from codestory.contracts.plans import Options, StepPlan
from codestory.contracts.results import StepOutcome, Usage
from codestory.contracts.values import JobId, JobState, Mode, OnFull, Priority, Reason, StepState, Value, Verb, When

#: Attempts kept in a step's record. Older ones are still in the event history.
ATTEMPTS_KEPT = 20


class Repository(Value):
    """Which repository, and where its files are. `id` comes from `name` alone, never from where it is mounted."""

    id: Annotated[str, Field(max_length=64)]
    name: Annotated[str, Field(max_length=300)]
    path: Annotated[str, Field(max_length=4096)]
    #: The git remote without credentials, or empty.
    url: Annotated[str, Field(max_length=2000)] = ""
    #: What the name is bound to, where neither a remote nor a path says so.
    origin: Annotated[str, Field(max_length=300)] = ""


class Source(Value):
    """Where a repository comes from that lies on no disk of ours: it becomes a snapshot before the job begins."""

    #: A git address without credentials.
    url: Annotated[str, Field(max_length=2000)]
    #: Branch, tag or commit; empty: the remote's default branch.
    ref: Annotated[str, Field(max_length=300)] = ""
    #: Name of the configured secret that opens it, or empty.
    credential: Annotated[str, Field(max_length=100)] = ""
    #: With its submodules, each as that commit names it.
    submodules: bool = False
    #: What `ref` was when it was fetched; empty: it has not been fetched yet.
    commit: Annotated[str, Field(max_length=64)] = ""
    #: How often fetching has failed, and why the last time.
    failures: int = 0
    problem: Annotated[str, Field(max_length=1000)] = ""
    #: Not fetched again before; None: at once.
    retry_at: datetime | None = None


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


class Receipt(Value):
    """What came of the last thing that was asked of the job. `ended_at` None: it is still under way."""

    verb: Verb
    asked_at: datetime
    #: Stop and cancel: when the job had ended. Resume and retry: at once.
    ended_at: datetime | None = None
    #: The steps that had completed, and whose results stay.
    kept: tuple[str, ...] = ()
    #: Stop and cancel: the steps that were ended by it. Resume and retry: the steps that run again.
    steps: tuple[str, ...] = ()
    #: How many admitted steps it ended, so that others could be admitted.
    tokens_released: int = 0
    #: Retry: what was asked for exactly, so that asking it twice is asking it once.
    request: str = ""


class Tombstone(Value):
    """In the bucket `cancel`: these attempts are to end, and how. The truth behind the hint on `control.<job>`."""

    verb: Verb = Verb.CANCEL
    #: The newest attempt of each step that is to end; older ones are too.
    attempts: dict[str, int] = {}


class StepRecord(Value):
    state: StepState = StepState.WAITING
    attempt: int = 0
    retries: int = 0
    #: Since when its command waits to be admitted, while READY: older ones first, and aged ones are promoted.
    ready_at: datetime | None = None
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
    #: None: the repository lies where its path says.
    source: Source | None = None
    #: Who made it (Principal.owner).
    owner: Annotated[str, Field(max_length=300)] = ""
    plan: tuple[StepPlan, ...]
    steps: dict[str, StepRecord]
    state: JobState = JobState.PENDING
    priority: Priority = Priority.DEFAULT
    mode: Mode = Mode.FULL
    run: int = 1
    #: SCHEDULED until then.
    due_at: datetime | None = None
    #: The recurring schedule that made it, or empty.
    schedule: str = ""
    #: Jobs that must have ended before this one begins, and what must have become of them.
    after: tuple[JobId, ...] = ()
    when: When = When.SUCCESS
    #: Nothing outside its repository holds it back any more: it is due, and `after` is satisfied.
    eligible: bool = True
    on_full: OnFull = OnFull.WAIT
    #: The steps of the deployment's pipeline that depend on each of this job's, in the job or not.
    later: dict[str, tuple[str, ...]] = {}
    #: Why no step could run, where that is not any step's fault.
    message: Annotated[str, Field(max_length=1000)] = ""
    receipt: Receipt | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    #: While CANCELLING or STOPPING: until when a living worker may end its step itself.
    cancel_by: datetime | None = None
    #: W3C context of the request that submitted it, to which the trace of each attempt links.
    traceparent: str = ""
    tracestate: Annotated[str, Field(max_length=512)] = ""

    @property
    def active(self) -> list[str]:
        return [name for name, step in self.steps.items() if step.state.active]

    def plan_of(self, name: str) -> StepPlan:
        return next(plan for plan in self.plan if plan.name == name)

    def having(self, name: str, **changes: Any) -> "Job":
        """This job with one step's record changed."""
        return self.model_copy(update={"steps": self.steps | {name: self.steps[name].model_copy(update=changes)}})
