"""Recurring schedules: a request that becomes a job again and again."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from codestory.contracts.api import SubmitJob
from codestory.contracts.values import JobId, Value

#: Five fields, as `crontab` has them: minute, hour, day of the month, month, day of the week.
Cron = Annotated[str, Field(min_length=1, max_length=200)]
#: An IANA name: `Europe/Berlin`.
TimeZone = Annotated[str, Field(min_length=1, max_length=100)]


class CreateSchedule(BaseModel):
    """A job at every time that `cron` names in `time_zone`. `job` may bear neither eta nor countdown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: SubmitJob
    cron: Cron
    time_zone: TimeZone = "UTC"
    #: For people; it need not be unique.
    title: Annotated[str, Field(max_length=200)] = ""
    paused: bool = False


class ChangeSchedule(BaseModel):
    """What is not given stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paused: bool | None = None
    cron: Cron | None = None
    time_zone: TimeZone | None = None


class Schedule(Value):
    """A schedule as it is kept and shown. An occurrence while the job before it has not ended is left out."""

    id: JobId
    #: Who made it, and so its jobs.
    owner: str = ""
    job: SubmitJob
    cron: str
    time_zone: str = "UTC"
    title: str = ""
    paused: bool = False
    created_at: datetime
    #: By the message bus's clock. None while paused, or when no time is left that `cron` names.
    next_at: datetime | None = None
    last_at: datetime | None = None
    last_job: str = ""
    #: How many jobs it has made, and how many occurrences were left out because the one before still ran.
    made: int = 0
    left_out: int = 0
    #: Why the last occurrence made no job; empty when it did.
    problem: Annotated[str, Field(max_length=1000)] = ""
    #: Revision of the record: grows with each change, and each time it occurs. Not kept in the record itself.
    revision: int = 0


class ScheduleList(Value):
    schedules: tuple[Schedule, ...]
