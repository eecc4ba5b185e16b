"""What the REST API takes and gives, and what the WebSocket says."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from codestory.contracts.history import JobEvent
from codestory.contracts.jobs import Attempt, Receipt, Repository, Source
from codestory.contracts.plans import Options, PipelineConfig
from codestory.contracts.results import Progress, StepOutcome, Usage
from codestory.contracts.values import (
    JobId,
    JobState,
    Mode,
    OnFull,
    Priority,
    ResourceTag,
    StepName,
    StepState,
    Value,
    When,
)

#: A job may be put off for so long, in seconds: ten years.
MAX_COUNTDOWN = 10 * 366 * 86_400


class SubmitJob(BaseModel):
    """A request to ingest a repository. A field that is not known is refused, so that no wish is dropped silently."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"repository": "/repositories/flask", "priority": "high"}]},
    )

    #: Path of the repository as the service sees it, `snapshot:<sha256>` of an upload, or a git address.
    repository: Annotated[str, Field(min_length=1, max_length=4096)]
    #: Of a git address: branch, tag or commit. Otherwise the remote's default branch.
    ref: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    #: Of a git address: name of the secret, configured at the service, that opens it.
    credential: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    #: Of a git address: its submodules too, where the service is set to fetch any.
    submodules: bool = False
    #: Name in the graph; otherwise from the git remote, otherwise the folder's name.
    name: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    #: Run only these steps, in the order of the pipeline.
    steps: Annotated[tuple[StepName, ...], Field(max_length=100)] = ()
    #: Options for every step that declares them.
    options: Options = {}
    #: Options for one step, by its name. One that the step does not declare is refused.
    step_options: dict[StepName, Options] = {}
    priority: Priority = Priority.DEFAULT
    #: The plan instead of the service's own pipeline_config.yml.
    pipeline: PipelineConfig | None = None
    #: `update`: each step computes only what has changed since it last did its part of this repository.
    mode: Mode = Mode.FULL
    #: Not before this time, which names its zone. In the past: now.
    eta: AwareDatetime | None = None
    #: Not before so many seconds from now.
    countdown: Annotated[float, Field(ge=0, le=MAX_COUNTDOWN)] | None = None
    #: Jobs that must have ended before this one begins.
    after: Annotated[tuple[JobId, ...], Field(max_length=100)] = ()
    #: Of `after`: only if they completed, or however they ended.
    when: When = When.SUCCESS
    #: For some of the steps: what each depends on, instead of what the pipeline says.
    dependencies: dict[StepName, Annotated[tuple[StepName, ...], Field(max_length=100)]] = {}
    #: Each step of this job holds one of each of these too while it is admitted.
    resources: Annotated[tuple[ResourceTag, ...], Field(max_length=20)] = ()
    #: `fail`: refuse the job, with `throttled`, unless its first step can be admitted at once.
    on_full: OnFull = OnFull.WAIT

    @model_validator(mode="after")
    def _one_beginning(self) -> "SubmitJob":
        if self.eta is not None and self.countdown is not None:
            raise ValueError("give eta or countdown, not both")
        if self.on_full is OnFull.FAIL and (self.eta is not None or self.countdown is not None or self.after):
            raise ValueError("on_full=fail is for a job that starts at once: leave out eta, countdown and after")
        return self


class RetryJob(BaseModel):
    """Which steps of a job that failed, was stopped or was cancelled are to run again, and with what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: A step: it, what depends on it, and what did not complete. `start`: all. Empty: what did not complete.
    from_step: Annotated[str, Field(max_length=64)] = ""
    #: Over the job's own, as in `SubmitJob`. A step whose options change runs again, and what depends on it.
    options: Options = {}
    step_options: dict[StepName, Options] = {}


class ChangeJob(BaseModel):
    """What may be changed of a job that has not ended. What is not given stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    priority: Priority | None = None


class ChangeResources(BaseModel):
    """Steps admitted at once, over all jobs. Fewer than are now: none is ended, none admitted until there is room."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: Annotated[int, Field(ge=1, le=100_000)]


class ChangeStep(BaseModel):
    """Runs at once of one step, over all its replicas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: Annotated[int, Field(ge=1, le=1000)]


class ChangeResourceLimits(BaseModel):
    """How many admitted steps may hold each tag at once. What is not named stays; null: as pipeline_config.yml says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limits: dict[ResourceTag, Annotated[int, Field(ge=0, le=100_000)] | None]


class Stalled(Value):
    """A running step that has said nothing new for long: what it was last heard to be at."""

    since: datetime
    seconds: float
    phase: str = ""
    #: The file, as a rule.
    message: str = ""


class StepView(Value):
    name: str
    state: StepState
    attempt: int
    retries: int
    max_retries: int
    message: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    due_at: datetime | None = None
    progress: Progress | None = None
    usage: Usage | None = None
    options: Options = {}
    options_dropped: tuple[str, ...] = ()
    outcome: StepOutcome | None = None
    attempts: tuple[Attempt, ...] = ()
    depends_on: tuple[StepName, ...] = ()
    when: When = When.SUCCESS
    resources: tuple[ResourceTag, ...] = ()
    #: 0 to 1; it never falls while the job runs. 1 once the step has completed.
    fraction: float = 0.0
    #: `progress.unit` a second, of late.
    rate: float | None = None
    #: Until the step will have ended; None: not known.
    eta_seconds: float | None = None
    stalled: Stalled | None = None


class JobView(Value):
    """A job as everybody sees it. Steps in the order of the plan.

    `complete`: COMPLETED and every step took in all it found. `gaps`: how many parts were skipped or failed."""

    id: str
    repository: Repository
    #: Where it was fetched from, unless it lies where its path says.
    source: Source | None = None
    #: Who made it; empty: nobody has to be told from others here.
    owner: str = ""
    state: JobState
    priority: Priority
    run: int
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    steps: tuple[StepView, ...]
    complete: bool
    gaps: int
    #: The jobs on the same repository that this one waits for.
    waits_for: tuple[str, ...] = ()
    message: str = ""
    traceparent: str = ""
    mode: Mode = Mode.FULL
    #: When it is, or was, to begin at the earliest.
    due_at: datetime | None = None
    #: The recurring schedule that made it, or empty.
    schedule: str = ""
    after: tuple[str, ...] = ()
    when: When = When.SUCCESS
    on_full: OnFull = OnFull.WAIT
    #: 0 to 1, over all steps, by how long each took the last time this repository was ingested; it never falls.
    fraction: float = 0.0
    #: Until the job will have ended; None: not known.
    eta_seconds: float | None = None
    #: What came of the last cancel, stop, resume or retry.
    receipt: Receipt | None = None
    #: Revision of the record: grows with each change.
    revision: int = 0


class JobList(Value):
    jobs: tuple[JobView, ...]
    #: `cursor` of the next page; null: there are no more.
    next: str | None = None


class ResourceStatus(Value):
    """How many steps may still be admitted, of how many at once."""

    available_tokens: int
    max_tokens: int


class Holder(Value):
    """An admitted step, which holds a token until it has ended."""

    job: str
    step: str
    attempt: int
    repository: str = ""
    priority: Priority = Priority.DEFAULT
    #: When it was admitted.
    since: datetime
    #: Who runs it; empty: nobody has begun it yet.
    worker: str = ""
    #: The tags it holds one of each of.
    resources: tuple[str, ...] = ()


class TagStatus(Value):
    tag: str
    limit: int
    held: int


class Holders(Value):
    """Who holds each token, the longest first; and how the limited tags stand."""

    available_tokens: int
    max_tokens: int
    holders: tuple[Holder, ...]
    tags: tuple[TagStatus, ...] = ()


class Cause(StrEnum):
    """Why something waits."""

    DUE = "due"  # for its time
    AFTER = "after"  # for a job that it was made to wait for
    REPOSITORY = "repository"  # for another job on this repository
    DEPENDENCY = "dependency"  # a step, for a step of the same job
    POSITION = "position"  # for others in front of it, of its priority and of higher ones
    TOKEN = "token"  # noqa: S105  # for a token
    CONCURRENCY = "concurrency"  # as many of this step run as may
    RESOURCE = "resource"  # for a tag
    WORKER = "worker"  # no worker of the step lives
    RETRY = "retry"  # for its next attempt
    PICKUP = "pickup"  # admitted; a worker will take it
    FETCH = "fetch"  # for its repository to be fetched
    ENDING = "ending"  # stop or cancel: for its steps to end


class Wait(Value):
    """One link of the chain. `text` says all of it; the other fields are the same as data, where they apply."""

    cause: Cause
    text: str
    step: str = ""
    #: The jobs that are waited for, or that hold what is waited for.
    jobs: tuple[str, ...] = ()
    #: Of what is waited for, 0 to 1.
    fraction: float | None = None
    until: datetime | None = None
    since: datetime | None = None
    #: The step of the same job that is waited for.
    dependency: str = ""
    #: Among those of its `priority`, which waiting may have raised: 1 is the next.
    position: int | None = None
    priority: Priority | None = None
    #: All that stand in front of it, those of higher priorities included.
    ahead: int | None = None
    retry: int | None = None
    max_retries: int | None = None
    #: The longest first, at most 20.
    holders: tuple[Holder, ...] = ()
    resource: str = ""
    limit: int | None = None
    #: What the first of `jobs` waits for itself, in the order of the chain.
    waits: tuple["Wait", ...] = ()


class Why(Value):
    """Why a job does not go on. Empty `waits`: it runs, or has ended, as `text` says."""

    job: str
    state: JobState
    text: str
    waits: tuple[Wait, ...] = ()


class StepInfo(Value):
    """A step that exists: written into the registry by its service when it starts."""

    name: StepName
    version: str
    title: str = ""
    options_schema: dict[str, JsonValue] = {}
    #: Its phases in order, and the share of each in the whole.
    phases: dict[Annotated[str, Field(max_length=40)], Annotated[float, Field(gt=0)]] = {}
    supports_update: bool = False

    @property
    def option_names(self) -> frozenset[str]:
        properties = self.options_schema.get("properties")
        return frozenset(properties) if isinstance(properties, dict) else frozenset()


class StepStatus(StepInfo):
    """A step as the service sees it now. `waiting`: commands not admitted; `running`: admitted, unfinished."""

    workers: int = 0
    concurrency: int = 1
    #: As the service's own pipeline_config.yml has it.
    depends_on: tuple[StepName, ...] = ()
    resources: tuple[ResourceTag, ...] = ()
    waiting: int = 0
    running: int = 0


class StepList(Value):
    steps: tuple[StepStatus, ...]


class Check(Value):
    status: Literal["pass", "warn", "fail"]
    detail: str = ""
    observed: dict[str, Any] = {}


class Health(Value):
    status: Literal["pass", "warn", "fail"]
    version: str
    checks: dict[str, Check]


class Problem(Value):
    """RFC 9457. `code` is stable and for programs; `detail` says what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    code: str = ""
    instance: str = ""
    errors: tuple[dict[str, Any], ...] = ()


class StatusMessage(Value):
    """One message of `/ws/status/{id}`.

    `job`: the job as it is now (the first message, and whenever its record changes). `progress`: the newest progress of
    one step. `heartbeat`: nothing new. `ended`: the job as it ended; the server closes after it. `seq` increases, it is
    not dense. With `from_seq`: instead of `job` and `progress` each `event` of the job, and `seq` is its sequence."""

    kind: Literal["job", "progress", "event", "heartbeat", "ended"]
    seq: int
    job: JobView | None = None
    event: JobEvent | None = None
    step: str = ""
    progress: Progress | None = None
    usage: Usage | None = None
    #: Of `progress`: as in StepView; `job_fraction` and `job_eta_seconds` as in JobView.
    fraction: float = 0.0
    rate: float | None = None
    eta_seconds: float | None = None
    stalled: Stalled | None = None
    job_fraction: float = 0.0
    job_eta_seconds: float | None = None
    at: datetime
