"""What has happened. Past tense: whoever wants to know listens.

Subjects: `evt.<job>.<step>.<kind>` for these, `progress.<job>.<step>`, `evt.<job>.job.ended`."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from codestory.contracts.plans import Options
from codestory.contracts.results import Progress, StepOutcome, Usage
from codestory.contracts.values import JobState, Reason, Value

#: The kinds that end an attempt.
TERMINAL = frozenset({"completed", "failed", "stopped", "cancelled"})


class StepEvent(Value):
    """Something happened to one attempt of one step of a job; which job and step the subject says."""

    kind: ClassVar[str]
    attempt: int
    worker: str
    at: datetime


class StepStarted(StepEvent):
    """A worker has claimed the attempt. The sequence of this event is the attempt's generation."""

    kind: ClassVar[str] = "started"
    #: Sequence in RUN, and how often it was delivered: no two claims share it.
    delivery: tuple[int, int]
    #: The how-manieth start of this attempt this is. One more than the last for each worker that died in it.
    starts: int = 1
    options: Options = {}
    options_dropped: tuple[str, ...] = ()
    #: Of the attempt's own trace; it links to the request's.
    traceparent: str = ""


class StepEnded(StepEvent):
    generation: int = 0
    usage: Usage = Usage()


class StepCompleted(StepEnded):
    kind: ClassVar[str] = "completed"
    outcome: StepOutcome = StepOutcome()


class StepFailed(StepEnded):
    kind: ClassVar[str] = "failed"
    reason: Reason
    message: Annotated[str, Field(max_length=4000)] = ""
    #: Traceback, or the last lines that the step's process wrote.
    detail: Annotated[str, Field(max_length=16_000)] = ""
    retryable: bool = False


class StepInterrupted(StepEnded):
    """Ended because somebody asked for it."""

    #: It was admitted, so that a token is free again.
    admitted: bool = True


class StepCancelled(StepInterrupted):
    kind: ClassVar[str] = "cancelled"


class StepStopped(StepInterrupted):
    kind: ClassVar[str] = "stopped"


class StepProgressed(Value):
    """How far an attempt is, at most a few times a second. The newest one counts; under the fence, but without an
    answer, so that one may be lost."""

    attempt: int
    at: datetime
    progress: Progress
    usage: Usage = Usage()
    #: Of the job, as its command says.
    run: int = 1
    #: 0 to 1, of the whole step; never less than was said before in this run of the job. None: not known.
    fraction: float | None = None
    #: `progress.unit` a second, of late. None: not known.
    rate: float | None = None
    #: Until the step will have ended, by how it has gone so far. None: not known.
    eta_seconds: float | None = None
    #: When `progress` last changed.
    moved_at: datetime | None = None


class JobEnded(Value):
    """One run of a job is over. Said once for each run."""

    kind: ClassVar[str] = "ended"
    run: int
    state: JobState
    at: datetime


Terminal = StepCompleted | StepFailed | StepStopped | StepCancelled
Kind = Literal["started", "completed", "failed", "stopped", "cancelled"]
KINDS: dict[str, type[StepStarted | StepCompleted | StepFailed | StepStopped | StepCancelled]] = {
    event.kind: event for event in (StepStarted, StepCompleted, StepFailed, StepStopped, StepCancelled)
}
