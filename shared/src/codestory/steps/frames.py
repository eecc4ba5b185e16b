"""What host and child say to each other: one JSON line a frame over a socket of their own."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from codestory.contracts.jobs import Repository
from codestory.contracts.plans import Options
from codestory.contracts.results import Progress, StepOutcome
from codestory.contracts.values import JobId, Mode, Reason, StepName, Value

#: The longest frame. Outcomes are bounded far below it.
FRAME_BYTES = 4 * 1024 * 1024


class RunFrame(Value):
    """Host to child: do this attempt."""

    job: JobId
    attempt: int
    repository: Repository
    options: Options
    epoch: int
    generation: int
    mode: Mode = Mode.FULL
    #: The steps whose content is made of this one's.
    later: tuple[StepName, ...] = ()
    trace_id: str = ""


class ReadyFrame(Value):
    kind: Literal["ready"] = "ready"


class ProgressFrame(Value):
    kind: Literal["progress"] = "progress"
    progress: Progress


class DoneFrame(Value):
    kind: Literal["done"] = "done"
    outcome: StepOutcome


class FailedFrame(Value):
    kind: Literal["failed"] = "failed"
    reason: Reason
    message: str
    detail: str = ""
    retryable: bool = False


ChildFrame = Annotated[ReadyFrame | ProgressFrame | DoneFrame | FailedFrame, Field(discriminator="kind")]
CHILD_FRAME: TypeAdapter[ReadyFrame | ProgressFrame | DoneFrame | FailedFrame] = TypeAdapter(ChildFrame)
