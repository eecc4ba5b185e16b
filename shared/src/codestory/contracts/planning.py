"""What a job would do, before it is made; and how much waits for a step."""

from pydantic import Field

from codestory.contracts.jobs import Repository
from codestory.contracts.plans import Options
from codestory.contracts.values import Mode, Priority, StepName, Value, When


class PlannedStep(Value):
    name: StepName
    depends_on: tuple[StepName, ...] = ()
    when: When = When.SUCCESS
    resources: tuple[str, ...] = ()
    optional: bool = False
    timeout_seconds: float | None = None
    #: What it would receive, and which of the options given it does not declare.
    options: Options = {}
    options_dropped: tuple[str, ...] = ()
    #: Runs of it at once, over all jobs.
    concurrency: int = 1
    #: Its workers that live.
    workers: int = 0
    #: As long as the last time on this repository, in this mode. None: there was none.
    estimate_seconds: float | None = None


class PlanWarning(Value):
    """Something that would make the job wait, or be refused. `code` is stable, `text` says what to do."""

    code: str
    text: str


class PlanView(Value):
    """The job that `POST /v1/ingest` would make of the same request. Steps in the order of the plan."""

    repository: Repository
    mode: Mode = Mode.FULL
    priority: Priority = Priority.DEFAULT
    steps: tuple[PlannedStep, ...]
    #: Along the longest way through the steps. None: of one of them nothing is known.
    estimate_seconds: float | None = None
    #: Of the repository, without what is ignored. None: its files are not there yet to be counted.
    files: int | None = None
    bytes: int | None = None
    #: Counted to the end; otherwise there are more.
    counted: bool = True
    warnings: tuple[PlanWarning, ...] = ()


class Lag(Value):
    """Commands of a step that are not done: they wait, or run."""

    lag: int = Field(ge=0)
