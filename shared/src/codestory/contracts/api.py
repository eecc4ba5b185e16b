"""What the REST API takes and gives, and what the WebSocket says."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from codestory.contracts.jobs import Attempt, Repository
from codestory.contracts.plans import Options, PipelineConfig
from codestory.contracts.results import Progress, StepOutcome, Usage
from codestory.contracts.values import JobState, Priority, StepName, StepState, Value


class SubmitJob(BaseModel):
    """A request to ingest a repository. A field that is not known is refused, so that no wish is dropped silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Path of the repository as the service sees it.
    repository: Annotated[str, Field(min_length=1, max_length=4096)]
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


class JobView(Value):
    """A job as everybody sees it. Steps in the order of the plan.

    `complete`: COMPLETED and every step took in all it found. `gaps`: how many parts were skipped or failed."""

    id: str
    repository: Repository
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
    #: Revision of the record: grows with each change.
    revision: int = 0


class JobList(Value):
    jobs: tuple[JobView, ...]


class ResourceStatus(Value):
    """How many steps may still be admitted, of how many at once."""

    available_tokens: int
    max_tokens: int


class StepInfo(Value):
    """A step that exists: written into the registry by its service when it starts."""

    name: StepName
    version: str
    title: str = ""
    options_schema: dict[str, JsonValue] = {}
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
    not dense."""

    kind: Literal["job", "progress", "heartbeat", "ended"]
    seq: int
    job: JobView | None = None
    step: str = ""
    progress: Progress | None = None
    usage: Usage | None = None
    at: datetime
