"""What one contestant did in one phase, and what two of them make of each other. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Steps of a job: a hop is a job's time over these.
STEPS = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Phase:
    """Seconds that each job took, from its submission until its end was heard, and the seconds of all together."""

    latencies: Sequence[float]
    seconds: float
    #: Cores used meanwhile, by process.
    cores: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Of all its processes, for one job. Steadier than time where a machine is shared."""
        return sum(self.cores.values()) * 1000 / self.per_second

    def hop_ms(self, share: float) -> float:
        return percentile(self.latencies, share) * 1000 / len(STEPS)


@dataclass(frozen=True)
class Turn:
    """One contestant's part of a round."""

    loaded: Phase
    alone: Phase
    #: Seconds from the request to cancel until the end was heard; empty where it cannot be asked.
    cancels: Sequence[float] = ()

    def figures(self) -> dict[str, float]:
        """By the names under which they are compared; times in milliseconds."""
        found = {
            "jobs/s": self.loaded.per_second,
            "processor ms a job": self.loaded.cpu_ms,
            "jobs/s, one at a time": self.alone.per_second,
            "hop p50 ms": self.alone.hop_ms(0.5),
            "hop p95 ms": self.alone.hop_ms(0.95),
        }
        if self.cancels:
            found |= {"cancel p50 ms": percentile(self.cancels, 0.5) * 1000}
            found |= {"cancel p95 ms": percentile(self.cancels, 0.95) * 1000}
        return found


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]


def ratios(ours: Sequence[Turn], theirs: Sequence[Turn], figure: str) -> list[float]:
    """Ours over theirs in each round. A figure that one of them does not have gives none."""
    pairs = zip(ours, theirs, strict=True)
    return [
        mine[figure] / other[figure]
        for a, b in pairs
        if figure in (mine := a.figures()) and figure in (other := b.figures())
    ]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and the range where there is more than one."""
    if not values:
        return "-"
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def in_turn(names: Sequence[str], round_: int) -> list[str]:
    """Each round begins with another, so that none always runs on a machine that the same one has warmed."""
    first = round_ % len(names)
    return [*names[first:], *names[:first]]
