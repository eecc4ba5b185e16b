"""What the operators' verbs take that the REST API has in a path, a query or a header."""

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from codestory.contracts.api import MAX_COUNTDOWN, ChangeJob, ChangeStep, RetryJob, SubmitJob
from codestory.contracts.history import LARGEST, Sequence
from codestory.contracts.plans import ConfiguredStep, Options, PipelineConfig
from codestory.contracts.schedules import ChangeSchedule, CreateSchedule, Cron, TimeZone
from codestory.contracts.snapshots import Sha256
from codestory.contracts.values import JobId, Mode, Priority, StepName

#: However often the same request comes with the same key, it makes one thing.
Key = Annotated[str, Field(max_length=255, pattern=r"^[\x20-\x7e]*$")]
#: What names a job, a schedule or a step need not be possible as one: then there is none of that name.
Text = Annotated[str, Field(min_length=1, max_length=300)]

Part = TypeVar("Part", bound=BaseModel)


class Asked(BaseModel):
    """A field that is not known is refused, so that no wish is dropped silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Asked):
    """No fields."""


class OfJob(Asked):
    job: Text


class OnCondition(Asked):
    #: Only if the record is still at this revision.
    revision: Annotated[int, Field(ge=0, le=LARGEST)] | None = None

    @property
    def revisions(self) -> frozenset[int] | None:
        return None if self.revision is None else frozenset({self.revision})


class VerbOfJob(OfJob, OnCondition):
    """Of a job, on condition that nobody has changed it."""


class Retry(VerbOfJob, RetryJob):
    @property
    def request(self) -> RetryJob:
        return _part(RetryJob, self)


class Change(VerbOfJob, ChangeJob):
    @property
    def request(self) -> ChangeJob:
        return _part(ChangeJob, self)


class StepOfJob(OfJob):
    step: Text


class History(OfJob):
    #: The first to be told. 0: what is kept.
    from_seq: Sequence = 0
    #: Of an earlier answer.
    epoch: Sequence = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class Logs(History):
    step: Annotated[str, Field(max_length=300)] = ""


class Start(SubmitJob):
    """As `SubmitJob`. With `job_id` or `idempotency_key` it is safe to send again when its answer was lost."""

    #: Its id. A job of this id that exists already is the answer, as it is.
    job_id: JobId | None = None
    idempotency_key: Key = ""

    @property
    def request(self) -> SubmitJob:
        return _part(SubmitJob, self)


class MakeSchedule(CreateSchedule):
    schedule_id: JobId | None = None
    idempotency_key: Key = ""

    @property
    def request(self) -> CreateSchedule:
        return _part(CreateSchedule, self)


class OfStep(Asked):
    step: Text


class OfRepository(Asked):
    #: Its id, or its name.
    repository: Annotated[str, Field(min_length=1, max_length=1000)]


class Snapshots(Asked):
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class OfSnapshot(Asked):
    snapshot: Sha256


class OfSchedule(Asked):
    schedule: Text


class VerbOfSchedule(OfSchedule, OnCondition):
    """Of a schedule, on condition that nobody has changed it."""


class AlterSchedule(VerbOfSchedule, ChangeSchedule):
    @property
    def request(self) -> ChangeSchedule:
        return _part(ChangeSchedule, self)


class AlterStep(ChangeStep):
    step: Text

    @property
    def request(self) -> ChangeStep:
        return _part(ChangeStep, self)


class StepRun(Asked):
    """A job of one step. `options`: of this step."""

    repository: Annotated[str, Field(min_length=1, max_length=4096)]
    name: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    options: Options = {}
    priority: Priority = Priority.DEFAULT
    job_id: JobId | None = None
    idempotency_key: Key = ""

    def submission(self, step: StepName, **fields: Any) -> SubmitJob:
        """`fields`: what else of SubmitJob."""
        return SubmitJob(
            repository=self.repository,
            name=self.name,
            priority=self.priority,
            step_options={step: self.options} if self.options else {},
            pipeline=PipelineConfig(steps=(ConfiguredStep(name=step),)),
            **fields,
        )


class StepSchedule(StepRun):
    """`eta`, `countdown` or `cron`: one of them. With `cron` it makes a schedule, else one job."""

    mode: Mode = Mode.FULL
    eta: AwareDatetime | None = None
    countdown: Annotated[float, Field(ge=0, le=MAX_COUNTDOWN)] | None = None
    cron: Cron | None = None
    time_zone: TimeZone = "UTC"
    title: Annotated[str, Field(max_length=200)] = ""

    @property
    def times(self) -> tuple[datetime | float | str, ...]:
        return tuple(time for time in (self.eta, self.countdown, self.cron) if time is not None)


class StepRetry(OfJob):
    #: Over those that the step had.
    options: Options = {}


def _part(part: type[Part], whole: BaseModel) -> Part:
    return part.model_validate({name: getattr(whole, name) for name in part.model_fields})


def fields_of(model: type[BaseModel]) -> str:
    """What may stand in a request, for people: `job, revision?`."""
    return ", ".join(name if field.is_required() else f"{name}?" for name, field in model.model_fields.items())
