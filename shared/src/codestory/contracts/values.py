"""The words that messages are made of: names, ids, states, priorities."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


def _not_job(name: str) -> str:
    if name == "job":
        raise ValueError("'job' is a word of the bus; call the step something else")
    return name


#: Name of a step. `job` is a token of its own in event subjects, so no step may be called that.
StepName = Annotated[str, Field(max_length=64, pattern=r"^[a-z][a-z0-9_]*$"), AfterValidator(_not_job)]
JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
#: What a step needs one of while it runs: `gpu`. `resource_limits` says how many there are.
ResourceTag = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]


class Value(BaseModel):
    """Immutable. Unknown fields are ignored, so that old and new run side by side."""

    #: Built when it is first used: a program that starts needs few of all that there are.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Priority(StrEnum):
    HIGH = "high"
    DEFAULT = "default"
    LOW = "low"


class Mode(StrEnum):
    """How a step does its part: the whole of it anew, or only what has changed since it last did."""

    FULL = "full"
    UPDATE = "update"


class When(StrEnum):
    """What must have become of what is waited for."""

    SUCCESS = "success"  # it completed; else whoever waits is skipped
    ALWAYS = "always"  # it ended, however


class OnFull(StrEnum):
    """What becomes of a request when there is no room to start at once."""

    WAIT = "wait"
    FAIL = "fail"


class Verb(StrEnum):
    """What may be asked of a job once it is made."""

    CANCEL = "cancel"
    STOP = "stop"
    RESUME = "resume"
    RETRY = "retry"


class JobState(StrEnum):
    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self in {JobState.COMPLETED, JobState.FAILED, JobState.STOPPED, JobState.CANCELLED}

    @property
    def ending(self) -> bool:
        """Its active steps have been told to end."""
        return self in {JobState.STOPPING, JobState.CANCELLING}


class StepState(StrEnum):
    WAITING = "WAITING"
    READY = "READY"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"

    @property
    def active(self) -> bool:
        """A command of this step is, or should be, somewhere on the bus."""
        return self in {StepState.READY, StepState.RUNNING, StepState.RETRYING}


class Reason(StrEnum):
    """Why an attempt failed."""

    GAVE_UP = "gave_up"  # the step raised StepError
    TEMPORARY = "temporary"  # the step raised TemporaryStepError
    BUG = "bug"  # anything else that the step raised
    CRASHED = "crashed"  # the step's process died unasked, or its host did, too often
    OUT_OF_MEMORY = "oom"
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"  # the host was told to stop; not counted as an attempt
    UNREADABLE = "unreadable"  # the command could not be parsed


def now() -> datetime:
    return datetime.now(UTC)
