"""Follows a job for a person: keeps the newest of what its messages tell, and shows it as bars or as lines."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from codestory.cli.screen import animated
from codestory.cli.text import duration, plain
from codestory.contracts.api import JobView, StatusMessage, StepView
from codestory.contracts.values import StepState, now

#: Narrower than this, bars leave no room for words.
WIDE = 100
STYLES = {
    StepState.RUNNING: "cyan",
    StepState.COMPLETED: "green",
    StepState.FAILED: "red",
    StepState.CANCELLED: "yellow",
    StepState.RETRYING: "yellow",
}


class Newest:
    """A job as its last messages tell it."""

    def __init__(self) -> None:
        self.job: JobView | None = None

    def hear(self, message: StatusMessage) -> JobView | None:
        """The job after this message. A record says nothing of progress that is newer than itself: keep that."""
        if message.job is not None:
            self.job = _with_progress_of(self.job, message.job)
        elif message.kind == "progress" and self.job is not None:
            changed = {"progress": message.progress, "usage": message.usage}
            steps = tuple(s.model_copy(update=changed) if s.name == message.step else s for s in self.job.steps)
            self.job = self.job.model_copy(update={"steps": steps})
        return self.job


class Display(Protocol):
    """Shows a job again and again."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, job: JobView) -> None: ...


class Bars:
    """One bar a step, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(*_columns(console.width), console=console, expand=True)
        self._tasks: dict[str, tuple[TaskID, int]] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: JobView) -> None:
        for step in job.steps:
            total, done = _extent(step)
            self._progress.update(self._task(step), total=total, completed=done, step=step, said=_said(job, step))

    def _task(self, step: StepView) -> TaskID:
        """The step's bar. It begins anew with each attempt, or the rate would be that of two together."""
        if step.name not in self._tasks:
            task = self._progress.add_task(plain(step.name), step=step, said="")
            self._tasks[step.name] = (task, step.attempt)
        task, attempt = self._tasks[step.name]
        if attempt != step.attempt:
            self._progress.reset(task)
            self._tasks[step.name] = (task, step.attempt)
        return task


class Lines:
    """One line for each change of a state, and now and then one for progress: for files and pipes."""

    def __init__(self, console: Console, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._every = every
        self._clock = clock
        self._states: dict[str, tuple[StepState, int]] = {}
        self._counts: dict[str, str] = {}
        self._said_at: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, job: JobView) -> None:
        for step in job.steps:
            state = (step.state, step.attempt)
            if self._states.get(step.name) != state:
                self._states[step.name] = state
                self._say(step, " ".join(filter(None, (step.state, _took(step), _said(job, step)))))
            elif step.state is StepState.RUNNING and count(step) and self._due(step):
                self._say(step, " ".join(filter(None, (count(step), _said(job, step)))))

    def _due(self, step: StepView) -> bool:
        waited = self._clock() - self._said_at[step.name] >= self._every
        return waited and self._counts.get(step.name) != count(step)

    def _say(self, step: StepView, words: str) -> None:
        self._said_at[step.name] = self._clock()
        self._counts[step.name] = count(step)
        self._console.print(f"{plain(step.name)}: {words}", soft_wrap=True)


def display(console: Console, every: float) -> Display:
    return Bars(console) if animated(console) else Lines(console, every)


def count(step: StepView) -> str:
    """`12/340 files`, or nothing while nothing is known."""
    progress = step.progress
    if progress is None or (not progress.done and not progress.total):
        return ""
    extent = f"{progress.done:,}" if progress.total is None else f"{progress.done:,}/{progress.total:,}"
    return f"{extent} {plain(progress.unit)}".rstrip()


def elapsed(step: StepView) -> float | None:
    """Seconds since the step began, or that it took."""
    if step.started_at is None:
        return None
    return max(0.0, ((step.ended_at or now()) - step.started_at).total_seconds())


class _State(ProgressColumn):
    def render(self, task: Task) -> Text:
        step: StepView = task.fields["step"]
        return Text(step.state.lower(), style=STYLES.get(step.state, ""))


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(count(task.fields["step"]))


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed and speed >= 1 else f"{speed:.2f}/s" if speed else "")


class _Elapsed(ProgressColumn):
    def render(self, task: Task) -> Text:
        seconds = elapsed(task.fields["step"])
        return Text("" if seconds is None else duration(seconds), justify="right")


def _columns(width: int) -> tuple[ProgressColumn, ...]:
    name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    said = TextColumn(
        "{task.fields[said]}",
        markup=False,
        table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
    )
    if width < WIDE:
        return name, _State(), _Count(), _Elapsed(), said
    return name, _State(), BarColumn(bar_width=24), _Count(), _Rate(), _Elapsed(), said


def _extent(step: StepView) -> tuple[float | None, float]:
    """Total and done of the bar: full once the step has completed, moving to and fro while the total is unknown."""
    done = float(step.progress.done) if step.progress else 0.0
    total = step.progress.total if step.progress else None
    if step.state is StepState.COMPLETED:
        full = float(total or done or 1)
        return full, full
    if step.state is StepState.RUNNING:
        return (float(total) if total else None), done
    return float(total or 1), min(done, float(total or 1))


def _said(job: JobView, step: StepView) -> str:
    """What there is to say about the step now."""
    if step.state is StepState.WAITING and job.waits_for:
        return f"waits for job {', '.join(map(plain, job.waits_for))}"
    if step.state is StepState.READY:
        return "in the queue"
    if step.state is StepState.RETRYING:
        return f"retry {step.retries} of {step.max_retries}: {plain(step.message)}"
    if step.state is StepState.RUNNING:
        return plain(step.progress.message) if step.progress else ""
    if step.state is StepState.COMPLETED and step.outcome:
        return plain(step.outcome.summary)
    return plain(step.message)


def _took(step: StepView) -> str:
    seconds = elapsed(step)
    return f"in {duration(seconds)}" if step.state is StepState.COMPLETED and seconds is not None else ""


def _with_progress_of(old: JobView | None, new: JobView) -> JobView:
    before = {step.name: step for step in old.steps} if old else {}
    return new.model_copy(update={"steps": tuple(_progress_kept(before.get(step.name), step) for step in new.steps)})


def _progress_kept(old: StepView | None, new: StepView) -> StepView:
    if old is None or new.progress is not None or old.attempt != new.attempt:
        return new
    return new.model_copy(update={"progress": old.progress, "usage": new.usage or old.usage})
