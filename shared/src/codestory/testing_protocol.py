"""The bus and its workers as a model, by the rules of docs/protocol.md: for tests in which all goes wrong that can.

Nothing here moves by itself: a test says what arrives, when, and what never does."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from codestory.contracts.commands import RunStep
from codestory.contracts.events import (
    TERMINAL,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepStarted,
    StepStopped,
)
from codestory.contracts.jobs import Tombstone
from codestory.contracts.plans import Retry, StepPlan
from codestory.contracts.values import JobId, Reason, StepName, Verb, When

MAX_STARTS = 3
#: How an attempt may end.
OUTCOMES = ("completed", "temporary", "bug", "shutdown")
SHUTDOWN = OUTCOMES[-1]
Key = tuple[JobId, StepName]
News = StepStarted | StepCompleted | StepFailed | StepStopped | StepCancelled


ONCE = Retry(max_retries=1, back_off_seconds=5)
#: Every way in which steps depend on each other.
PLANS: dict[str, tuple[StepPlan, ...]] = {
    "one": (StepPlan(name="a", retry=ONCE),),
    "chain": (
        StepPlan(name="a", retry=ONCE),
        StepPlan(name="b", depends_on=("a",), retry=ONCE),
        StepPlan(name="c", depends_on=("b",), retry=ONCE),
    ),
    "side by side": (
        StepPlan(name="a", retry=ONCE, optional=True),
        StepPlan(name="b", retry=ONCE),
        StepPlan(name="c", depends_on=("a", "b"), retry=ONCE),
    ),
    "always, and the last first": (
        StepPlan(name="d", depends_on=("c",), when=When.ALWAYS, retry=ONCE),
        StepPlan(name="c", depends_on=("b",), retry=ONCE),
        StepPlan(name="b", depends_on=("a",), retry=ONCE),
        StepPlan(name="a", retry=ONCE),
    ),
}


@dataclass(frozen=True)
class Working:
    """A worker that believes that this attempt is its own."""

    key: Key
    command: RunStep
    generation: int


@dataclass(frozen=True)
class Heard:
    sequence: int
    key: Key
    news: News

    def ends(self, attempt: int) -> bool:
        return self.news.kind in TERMINAL and self.news.attempt >= attempt


class ModelBus:
    """`sched`, `ready` and `run` hold one command of each step of each job, `events` all that was stored of it."""

    def __init__(self, at: datetime) -> None:
        self.now, self.sequence = at, 0
        self.events: dict[Key, list[Heard]] = {}
        self.sched: dict[Key, RunStep] = {}
        self.ready: dict[Key, RunStep] = {}
        self.run: dict[Key, RunStep] = {}
        self.tombstones: dict[JobId, Tombstone] = {}
        self.unheard: list[Heard] = []
        self.working: list[Working] = []

    def tick(self, seconds: float = 1.0) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    # commands

    def fire(self, key: Key) -> None:
        self.ready.setdefault(key, self.sched.pop(key))

    def admit(self, key: Key) -> None:
        command, held = self.ready[key], self.run.get(key)
        if held and held.attempt < command.attempt and self.ended(key, held.attempt):
            held = None
        if held is None:
            self.run[key] = command
        if held is None or held.attempt >= command.attempt:
            del self.ready[key]

    def sweep(self, key: Key) -> None:
        if key in self.run and self.ended(key, self.run[key].attempt):
            del self.run[key]

    # the history

    def last(self, key: Key) -> Heard | None:
        return self.events.get(key, [None])[-1]

    def ended(self, key: Key, attempt: int) -> bool:
        last = self.last(key)
        return last is not None and (last.news.attempt > attempt or last.ends(attempt))

    def say(self, key: Key, news: News, after: int) -> int | None:
        """Stored only behind the sequence that is expected."""
        last = self.last(key)
        if after != (last.sequence if last else 0):
            return None
        history = self.events.setdefault(key, [])
        same = [heard for heard in history if heard.news.attempt == news.attempt]
        assert not any(heard.news.kind in TERMINAL for heard in same), "an attempt ends once, and nothing follows"
        assert not history or history[-1].news.attempt <= news.attempt
        self.sequence += 1
        heard = Heard(self.sequence, key, news)
        history.append(heard)
        self.unheard.append(heard)
        return self.sequence

    def overrule(self, key: Key, news: News) -> None:
        last = self.last(key)
        if not self.ended(key, news.attempt):
            assert self.say(key, news, last.sequence if last else 0)

    # what the workers do

    def take(self, key: Key) -> None:
        """A delivery of what is admitted, the first one or another."""
        command = self.run[key]
        tombstone = self.tombstones.get(key[0])
        if tombstone and command.attempt <= tombstone.attempts.get(key[1], 0):
            self.overrule(key, interrupted(tombstone.verb)(attempt=command.attempt, worker="w", at=self.tick()))
            del self.run[key]
            return
        after, starts = command.after, 1
        last = self.last(key)
        if last and last.sequence != after:
            if self.ended(key, command.attempt):
                del self.run[key]
                return
            after = last.sequence
            if isinstance(last.news, StepStarted) and last.news.attempt == command.attempt:
                starts = last.news.starts + 1
        if starts > MAX_STARTS:
            self.overrule(key, failed(command.attempt, self.tick(), Reason.CRASHED, retryable=False))
            del self.run[key]
            return
        started = StepStarted(attempt=command.attempt, worker="w", at=self.tick(), delivery=(1, 1), starts=starts)
        generation = self.say(key, started, after)
        assert generation
        self.working.append(Working(key, command, generation))

    def end(self, working: Working, how: str, *, acknowledged: bool) -> None:
        """`how`: one of `OUTCOMES`; what was told to end may say so where it would have been shut down."""
        self.working.remove(working)
        stored = self.say(working.key, self._outcome(working, how), working.generation)
        if stored and acknowledged and self.run.get(working.key) is working.command:
            del self.run[working.key]

    def _outcome(self, working: Working, how: str) -> News:
        attempt, at = working.command.attempt, self.tick()
        tombstone = self.tombstones.get(working.key[0])
        if tombstone and how == SHUTDOWN and attempt <= tombstone.attempts.get(working.key[1], 0):
            return interrupted(tombstone.verb)(attempt=attempt, worker="w", at=at)
        match how:
            case "completed":
                return StepCompleted(attempt=attempt, worker="w", at=at)
            case "temporary" | "shutdown":
                return failed(attempt, at, Reason(how), retryable=True)
            case _:
                return failed(attempt, at, Reason(how), retryable=False)


def interrupted(verb: Verb) -> type[StepStopped] | type[StepCancelled]:
    return StepStopped if verb is Verb.STOP else StepCancelled


def failed(attempt: int, at: datetime, reason: Reason, *, retryable: bool) -> StepFailed:
    return StepFailed(attempt=attempt, worker="w", at=at, reason=reason, retryable=retryable)
