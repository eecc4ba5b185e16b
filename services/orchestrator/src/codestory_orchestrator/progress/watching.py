"""What one watcher of a job has been told, and so what is news to them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from codestory.contracts.api import JobView, StatusMessage, StepView
from codestory.contracts.values import StepState
from codestory_orchestrator.progress.estimates import Course, Heard


@dataclass
class Watching:
    """To one watcher nothing falls within a run of the job: not when the bus lost what had been said either."""

    _seq: int = 0
    _record: tuple[int, tuple[str, ...]] | None = None
    #: By step: the last word of its present attempt, and whether it counted as stalled.
    _told: dict[str, tuple[Heard | None, bool]] = field(default_factory=dict[str, tuple[Heard | None, bool]])
    _run: int = 0
    #: The highest fractions that were told: of the steps, and of the job under the empty name.
    _highest: dict[str, float] = field(default_factory=dict[str, float])

    def news(self, view: JobView, course: Course) -> Iterator[StatusMessage]:
        """The job, if its record has changed; else of each running step what has been said of it since."""
        view = self._never_less(view)
        told = {step.name: (course.heard.get(step.name), step.stalled is not None) for step in view.steps}
        record = (view.revision, view.waits_for)
        if record != self._record:
            self._record, self._told = record, told
            self._seq = max(self._seq + 1, view.revision)
            yield self._message("ended" if view.state.ended else "job", view, course, job=view)
            return
        for step in view.steps:
            if step.state is StepState.RUNNING and told[step.name] != self._told.get(step.name):
                self._seq += 1
                yield self._of_step(view, step, course)
        self._told = told

    def _of_step(self, view: JobView, step: StepView, course: Course) -> StatusMessage:
        return self._message(
            "progress",
            view,
            course,
            step=step.name,
            progress=step.progress,
            usage=step.usage,
            fraction=step.fraction,
            rate=step.rate,
            eta_seconds=step.eta_seconds,
            stalled=step.stalled,
        )

    def _message(
        self, kind: Literal["job", "progress", "ended"], view: JobView, course: Course, **more: Any
    ) -> StatusMessage:
        return StatusMessage(
            kind=kind,
            seq=self._seq,
            at=course.at,
            job_fraction=view.fraction,
            job_eta_seconds=view.eta_seconds,
            **more,
        )

    def _never_less(self, view: JobView) -> JobView:
        if view.run != self._run:
            self._run, self._highest = view.run, {}
        steps = tuple(step.model_copy(update={"fraction": self._most(step.name, step.fraction)}) for step in view.steps)
        return view.model_copy(update={"steps": steps, "fraction": self._most("", view.fraction)})

    def _most(self, name: str, fraction: float) -> float:
        self._highest[name] = max(fraction, self._highest.get(name, 0.0))
        return self._highest[name]
