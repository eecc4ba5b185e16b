"""How far an attempt is, from what its step says of itself. Pure: times come in, as seconds of one clock."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from codestory.contracts.results import Progress

#: The rate is that of the last so many seconds, and unknown before the first so many.
RATE_WINDOW, RATE_FROM = 15.0, 1.0
#: Before so much is done, in so many seconds, what is left would be a guess.
ETA_FROM, ETA_AFTER = 0.02, 2.0
#: A step may count to any number; a larger one is taken for this.
MOST = 2**53


class PhasesInvalid(ValueError):
    """A step declares phases that cannot be: it says which, and what is wrong."""


@dataclass(frozen=True)
class Measured:
    """None: not known."""

    #: 0 to 1, of the whole step.
    fraction: float | None
    #: Units a second.
    rate: float | None
    eta_seconds: float | None
    #: When the step last said something new.
    moved: float


def normalised(phases: Mapping[str, float]) -> dict[str, float]:
    """The shares, in order, so that they sum to 1. Raises PhasesInvalid."""
    for name, share in phases.items():
        if not name or len(name) > 40:
            raise PhasesInvalid(f"phase {name!r}: a name has 1 to 40 characters")
        if not math.isfinite(share) or share <= 0:
            raise PhasesInvalid(f"phase {name!r}: its share is {share!r}; give a number greater than 0")
    total = math.fsum(phases.values())
    return {name: share / total for name, share in phases.items()}


@dataclass
class Gauge:
    """Of one attempt, which began at `started`. `phases`: of its step, empty for one that has none.

    The fraction never falls: not when a phase is gone through again, not when a total turns out to be larger."""

    phases: Mapping[str, float]
    started: float
    #: What it was said to be before this attempt, which it does not fall below.
    floor: float = 0.0
    progress: Progress = field(default_factory=Progress, init=False)
    _reached: float | None = field(default=None, init=False)
    _moved: float = field(init=False)
    _samples: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]], init=False)

    def __post_init__(self) -> None:
        self.phases = normalised(self.phases)
        self._moved = self.started

    def hear(self, progress: Progress, at: float) -> None:
        last = self.progress
        if progress == last:
            return
        self.progress, self._moved = progress, at
        if (last.phase, last.unit) != (progress.phase, progress.unit) or progress.done < last.done:
            self._samples.clear()
        self._samples.append((at, min(max(progress.done, 0), MOST)))
        self._forget(at)
        fraction = self._fraction(progress)
        if fraction is not None:
            self._reached = max(fraction, self._reached or 0.0)

    def measure(self, at: float) -> Measured:
        known = self._reached is not None or self.floor > 0
        fraction = round(max(self._reached or 0.0, self.floor), 4) if known else None
        rate, eta = self._rate(at), self._eta(at)
        return Measured(fraction, _short(rate), _short(eta), self._moved)

    @property
    def moved(self) -> float:
        """When the step last said something new."""
        return self._moved

    def _fraction(self, progress: Progress) -> float | None:
        """None: what it says does not tell."""
        if not self.phases:
            return _part(progress) if (progress.total or 0) > 0 else None
        before = 0.0
        for name, share in self.phases.items():
            if name == progress.phase:
                return min(before + share * _part(progress), 1.0)
            before += share
        return None

    def _rate(self, at: float) -> float | None:
        self._forget(at)
        if not self._samples:
            return None
        (since, first), (_, last) = self._samples[0], self._samples[-1]
        span = at - since
        return max(0, last - first) / span if span >= RATE_FROM else None

    def _eta(self, at: float) -> float | None:
        """By how long this attempt took for what it has done: what an earlier one did is not its own."""
        done, elapsed = self._reached or 0.0, at - self.started
        return elapsed * (1 - done) / done if done >= ETA_FROM and elapsed >= ETA_AFTER else None

    def _forget(self, at: float) -> None:
        """What is older than the window, but for the newest of it: from there on it was so."""
        while len(self._samples) > 1 and self._samples[1][0] <= at - RATE_WINDOW:
            self._samples.popleft()


def _short(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def _part(progress: Progress) -> float:
    """How much of its phase is done. Of nothing, all."""
    done, total = progress.done, progress.total
    if total is None:
        return 0.0
    if total <= 0 or done >= total:
        return 1.0
    return max(0, done) / total
