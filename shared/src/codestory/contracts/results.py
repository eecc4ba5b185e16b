"""What an attempt leaves behind: what it did, what it skipped, what it used."""

from typing import Annotated

from pydantic import Field, JsonValue

from codestory.contracts.values import Value

#: Names kept of each kind of gap. The counts are always whole; the names are examples, so that a record stays small.
EXAMPLES = 20
#: Different names kept of each kind of count.
NAMES = 100


class Gap(Value):
    """A file, or another part of the repository, that a step could not take in."""

    path: Annotated[str, Field(max_length=1024)]
    reason: Annotated[str, Field(max_length=1024)]


class Usage(Value):
    """What the operating system says an attempt took, all processes of the step together."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


class StepOutcome(Value):
    """What a step says it did.

    `counts`: what the step counts, by its own names (`files`, `parsed`, `links.path` …).
    `skipped` and `failed` count by reason; `gaps` names the first of them, failed ones first.
    `nodes` and `relationships`: how many of each label and type the step's content holds.
    `written`: what the graph writer changed (`nodes created` …); empty when nothing changed."""

    summary: Annotated[str, Field(max_length=1000)] = ""
    counts: dict[str, int] = {}
    skipped: dict[str, int] = {}
    failed: dict[str, int] = {}
    gaps: tuple[Gap, ...] = ()
    nodes: dict[str, int] = {}
    relationships: dict[str, int] = {}
    written: dict[str, int] = {}
    details: dict[str, JsonValue] = {}


class Progress(Value):
    """How far an attempt is in its phase. `total` is None while unknown. `message` names what is at hand: a file."""

    done: int = 0
    total: int | None = None
    unit: Annotated[str, Field(max_length=40)] = ""
    message: Annotated[str, Field(max_length=500)] = ""
    #: One of the step's `phases`; empty for a step that has none.
    phase: Annotated[str, Field(max_length=40)] = ""
