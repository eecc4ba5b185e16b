"""What one attempt did, in parts with their times: phases, and what is timed inside them. Its host makes spans of it.

Bounded, and without a tracer, so that it costs a step next to nothing."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from codestory.contracts.values import Value

#: Parts of one name that are told one by one; the rest are told as one.
EACH = 20
#: Changes of phase. A step that goes to and fro stays in the last.
PHASES = 64
#: Different names.
NAMES = 32

#: What our own steps time beside their phases.
GRAPH_WRITE, MODEL_CALL, ORDER = "graph write", "model call", "order"
#: What their host does for them.
CHILD_START, SNAPSHOT = "child start", "unpack snapshot"

Said = str | int | float | bool


class Part(Value):
    """Times are nanoseconds since 1970. `count`: as many of that name, which took `seconds` together."""

    name: str
    started: int
    ended: int
    phase: bool = False
    count: int = 1
    seconds: float = 0.0
    failed: bool = False
    said: dict[str, Said] = {}


class Parts:
    def __init__(self) -> None:
        self._done: list[Part] = []
        self._counts: dict[str, int] = {}
        self._rest: dict[str, Part] = {}
        self._phase, self._since, self._changes = "", 0, 0

    def phase(self, name: str) -> None:
        """The step is in this phase now."""
        if name == self._phase or self._changes >= PHASES:
            return
        at = time.time_ns()
        self._end_phase(at)
        self._phase, self._since = name, at
        self._changes += 1

    def _end_phase(self, at: int) -> None:
        if self._phase:
            self._done.append(Part(name=self._phase, started=self._since, ended=at, phase=True))

    def add(self, part: Part) -> None:
        if part.name not in self._counts and len(self._counts) >= NAMES:
            return
        count = self._counts[part.name] = self._counts.get(part.name, 0) + 1
        if count <= EACH:
            self._done.append(part)
            return
        rest = self._rest.get(part.name)
        self._rest[part.name] = (
            rest.model_copy(
                update={
                    "started": min(rest.started, part.started),
                    "ended": max(rest.ended, part.ended),
                    "count": rest.count + 1,
                    "seconds": rest.seconds + part.seconds,
                    "failed": rest.failed or part.failed,
                    "said": _summed(rest.said, part.said),
                }
            )
            if rest
            else part
        )

    def all(self) -> tuple[Part, ...]:
        """So far; a phase that goes on ends now."""
        now = time.time_ns()
        going = (Part(name=self._phase, started=self._since, ended=now, phase=True),) if self._phase else ()
        return (*self._done, *self._rest.values(), *going)


def _summed(one: dict[str, Said], other: dict[str, Said]) -> dict[str, Said]:
    """Only what can be added up is said of many."""
    return {
        name: one[name] + other[name]  # type: ignore[operator]
        for name in one.keys() & other.keys()
        if isinstance(one[name], int | float) and isinstance(other[name], int | float)
    }


class _Now:
    """A step's process runs one attempt at a time."""

    parts: Parts | None = None


def begin() -> Parts:
    _Now.parts = Parts()
    return _Now.parts


@contextmanager
def part(name: str, of: Parts | None = None) -> Generator[dict[str, Said]]:
    """Times what is done inside. What is put into the dictionary is said of it. Outside of an attempt: nothing."""
    said: dict[str, Said] = {}
    if (parts := of or _Now.parts) is None:
        yield said
        return
    started, failed = time.time_ns(), True
    try:
        yield said
        failed = False
    finally:
        ended = time.time_ns()
        seconds = (ended - started) / 1e9
        parts.add(Part(name=name, started=started, ended=ended, seconds=seconds, failed=failed, said=said))
