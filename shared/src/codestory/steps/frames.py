"""What host and child say to each other: one JSON line a frame over a socket of their own."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from codestory.contracts.jobs import Repository
from codestory.contracts.plans import Options
from codestory.contracts.results import Progress, StepOutcome
from codestory.contracts.values import JobId, Mode, Reason, StepName, Value
from codestory.telemetry import Count, Part

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
    span_id: str = ""


class ReadyFrame(Value):
    kind: Literal["ready"] = "ready"


class ProgressFrame(Value):
    kind: Literal["progress"] = "progress"
    progress: Progress
    #: What has been counted since the last frame.
    counted: tuple[Count, ...] = ()


class CountedFrame(Value):
    """What has been counted while nothing else was said: a step that waits long for its model reports no progress."""

    kind: Literal["counted"] = "counted"
    counted: tuple[Count, ...]


class EndFrame(Value):
    """The attempt has ended: what it did, in parts, and what it counted since the last frame."""

    parts: tuple[Part, ...] = ()
    counted: tuple[Count, ...] = ()


class DoneFrame(EndFrame):
    kind: Literal["done"] = "done"
    outcome: StepOutcome


class FailedFrame(EndFrame):
    kind: Literal["failed"] = "failed"
    reason: Reason
    message: str
    detail: str = ""
    retryable: bool = False


ChildFrame = ReadyFrame | ProgressFrame | CountedFrame | DoneFrame | FailedFrame
CHILD_FRAME: TypeAdapter[ChildFrame] = TypeAdapter(Annotated[ChildFrame, Field(discriminator="kind")])
