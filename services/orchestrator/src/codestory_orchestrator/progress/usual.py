"""How long the steps of a repository usually take: as long as the last time."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from codestory.contracts.jobs import Job
from codestory.contracts.values import JobState, Mode, StepState

#: Jobs whose steps' times are held fast.
HELD = 1000


@dataclass(frozen=True)
class Times:
    """Seconds by step, of one repository."""

    #: The last time that it was ingested in the same mode.
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    #: What each step's share of the whole goes by: the same, or else those of another mode.
    weights: Mapping[str, float] = field(default_factory=dict[str, float])


class Usual:
    def __init__(self) -> None:
        self._times: dict[tuple[str, Mode], dict[str, tuple[datetime, float]]] = {}
        self._held: OrderedDict[tuple[str, int], Times] = OrderedDict()

    def learn(self, job: Job) -> None:
        """The times of a job that has completed; of any other, nothing."""
        if job.state is not JobState.COMPLETED:
            return
        times = self._times.setdefault((job.repository.id, job.mode), {})
        for name, step in job.steps.items():
            last = step.attempts[-1] if step.attempts else None
            if step.state is not StepState.COMPLETED or last is None or last.ended_at is None:
                continue
            known = times.get(name)
            if known is None or known[0] < last.ended_at:
                times[name] = last.ended_at, last.usage.seconds

    def of(self, job: Job) -> Times:
        """The same as long as this run of the job lasts, so that its fraction does not fall when more becomes known."""
        key = (job.id, job.run)
        times = self._held.get(key)
        if times is None:
            seconds = self._seconds(job.repository.id, job.mode)
            other = self._seconds(job.repository.id, Mode.FULL if job.mode is Mode.UPDATE else Mode.UPDATE)
            weights = seconds if seconds.keys() & job.steps.keys() else other
            times = Times(seconds, weights)
            if job.started_at is not None and not job.state.ended:
                self._held[key] = times
                while len(self._held) > HELD:
                    self._held.popitem(last=False)
        return times

    def seconds(self, repository: str, mode: Mode) -> dict[str, float]:
        """By step, the last time that it was ingested in this mode."""
        return self._seconds(repository, mode)

    def _seconds(self, repository: str, mode: Mode) -> dict[str, float]:
        return {name: seconds for name, (_, seconds) in self._times.get((repository, mode), {}).items()}
