"""Which jobs are meant: the filters, the order and the pages of a list, and what is asked of many jobs at once."""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from codestory.contracts.plans import Options
from codestory.contracts.values import JobId, JobState, Priority, StepName, Value

#: Jobs of one page at most.
LONGEST_PAGE = 200
#: Jobs at most that one request cancels, stops or retries.
MOST_AT_ONCE = 1000


class Sort(StrEnum):
    """`-` is the newest first. By `ended` only those are listed that have ended."""

    NEWEST = "-created"
    OLDEST = "created"
    LAST_ENDED = "-ended"
    FIRST_ENDED = "ended"

    @property
    def by_end(self) -> bool:
        return self in {Sort.LAST_ENDED, Sort.FIRST_ENDED}

    @property
    def descending(self) -> bool:
        return self.startswith("-")


class JobFilter(BaseModel):
    """Jobs to which all of this applies. What is not given does not matter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: One of these states.
    status: Annotated[tuple[JobState, ...], Field(max_length=len(JobState))] = ()
    #: Name or id of the repository.
    repository: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    #: The job has this step.
    step: StepName | None = None
    priority: Priority | None = None
    #: Made then or later.
    since: AwareDatetime | None = None
    #: Made before.
    until: AwareDatetime | None = None
    #: Made by this schedule.
    schedule: JobId | None = None

    @property
    def empty(self) -> bool:
        return not self.model_dump(exclude_defaults=True)


class ListJobs(JobFilter):
    """One page of the jobs that the filters let through."""

    sort: Sort = Sort.NEWEST
    limit: Annotated[int, Field(ge=1, le=LONGEST_PAGE)] = 50
    #: `next` of the page before, with the same filters and the same order.
    cursor: Annotated[str, Field(min_length=1, max_length=500)] | None = None

    @property
    def filter(self) -> JobFilter:
        return JobFilter.model_validate({name: getattr(self, name) for name in JobFilter.model_fields})


class BulkRequest(BaseModel):
    """Ask the same of many jobs: of those that the filter lets through, the newest first. Without `status`: of those
    that are in a state in which this can be asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filter: JobFilter = JobFilter()
    #: An empty filter, which means every job, must be wished for.
    all: bool = False
    limit: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 200
    #: Change nothing; say which jobs are meant.
    dry_run: bool = False

    @model_validator(mode="after")
    def _meant(self) -> "BulkRequest":
        if self.filter.empty and not self.all:
            raise ValueError("an empty filter means every job: say so with `all: true`, or name some")
        return self


class BulkRetry(BulkRequest):
    """As `RetryJob`, for each of them."""

    from_step: Annotated[str, Field(max_length=64)] = ""
    options: Options = {}
    step_options: dict[StepName, Options] = {}


class NotDone(Value):
    """A job that refused, as it would have refused alone."""

    id: str
    code: str
    detail: str


class BulkResult(Value):
    #: Jobs that are meant, beyond `limit` too.
    matched: int
    #: Of these it was asked; in a dry run: would be asked.
    done: tuple[str, ...] = ()
    refused: tuple[NotDone, ...] = ()
    #: There are more than `limit`: ask again.
    more: bool = False
