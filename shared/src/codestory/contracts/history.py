"""What has happened to a job and what its steps have written, read again from the bus's streams.

Sequences are those of the stream: they increase, they are not dense, and they mean nothing in another `epoch`."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, JsonValue

from codestory.contracts.values import Value

#: The header in which a stream of server-sent events names its epoch.
EPOCH_HEADER = "Codestory-Epoch"
#: Bus sequences and epochs are whole numbers of this size at most.
LARGEST = 2**63 - 1

Sequence = Annotated[int, Field(ge=0, le=LARGEST)]


class JobEvent(Value):
    """One thing that happened, as the stream of events keeps it."""

    seq: int
    #: When the server stored it.
    at: datetime
    job: str
    #: Empty: it happened to the job itself.
    step: str = ""
    #: started, completed, failed, stopped, cancelled; of the job itself: ended. There may be others one day.
    kind: str
    #: 0: it is of no attempt.
    attempt: int = 0
    #: The event itself, by `kind`.
    data: dict[str, JsonValue] = {}


class EventList(Value):
    """`next_seq`: where the next page begins; it may be asked for again until there is something."""

    events: tuple[JobEvent, ...]
    next_seq: int
    #: There is more at this moment.
    more: bool
    #: Which life of the stream these sequences belong to.
    epoch: int = 0


class LogLine(Value):
    """One line that a step wrote, or a service about it or about its job: `service` in `fields` says which."""

    seq: int
    #: When the server stored it.
    at: datetime
    #: Empty: it is about the job itself.
    step: str
    level: str = "info"
    #: What it is about: `step.output` is a line of plain text, which is then in `fields` as `line`.
    event: str = ""
    attempt: int = 0
    fields: dict[str, JsonValue] = {}


class LogList(Value):
    """As `EventList`."""

    lines: tuple[LogLine, ...]
    next_seq: int
    more: bool
    epoch: int = 0
