"""Follows a job for a person: keeps the newest of what its messages tell, and shows it as bars or as lines."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from codestory.cli import moments
from codestory.cli.screen import animated
from codestory.cli.text import duration, plain
from codestory.contracts.api import JobView, StatusMessage, StepView
from codestory.contracts.values import JobState, StepState, now

#: Narrower than this, bars leave no room for words.
WIDE = 100
#: What a message of progress tells of a step.
TOLD = ("progress", "usage", "fraction", "rate", "eta_seconds", "stalled")
STYLES = {
    StepState.RUNNING: "cyan",
    StepState.COMPLETED: "green",
    StepState.FAILED: "red",
    StepState.STOPPED: "yellow",
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
            changed = {name: getattr(message, name) for name in TOLD}
            steps = tuple(s.model_copy(update=changed) if s.name == message.step else s for s in self.job.steps)
            whole = {"fraction": message.job_fraction, "eta_seconds": message.job_eta_seconds}
            self.job = self.job.model_copy(update={"steps": steps, **whole})
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
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: JobView) -> None:
        for step in job.steps:
            self._show(step, _said(job, step))
        if len(job.steps) > 1:
            self._show(_whole(job), "")

    def _show(self, step: StepView, said: str) -> None:
        total, done = _extent(step)
        self._progress.update(self._task(step), total=total, completed=done, step=step, said=said)

    def _task(self, step: StepView) -> TaskID:
        if step.name not in self._tasks:
            self._tasks[step.name] = self._progress.add_task(plain(step.name), step=step, said="")
        return self._tasks[step.name]


class Lines:
    """One line for each change of a state, and now and then one for progress: for files and pipes."""

    def __init__(self, console: Console, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._every = every
        self._clock = clock
        self._job_state: JobState | None = None
        self._states: dict[str, tuple[StepState, int, bool]] = {}
        self._counts: dict[str, str] = {}
        self._said_at: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, job: JobView) -> None:
        if job.state.ending and self._job_state is not job.state:
            self._console.print(f"job: {job.state}", soft_wrap=True)
        self._job_state = job.state
        for step in job.steps:
            state = (step.state, step.attempt, step.stalled is not None)
            if self._states.get(step.name) != state:
                self._states[step.name] = state
                self._say(step, " ".join(filter(None, (step.state, _took(step), _said(job, step)))))
            elif step.state is StepState.RUNNING and count(step) and self._due(step):
                self._say(step, " ".join(filter(None, (count(step), ahead(step), _said(job, step)))))

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


def left(seconds: float) -> str:
    """`2 min 05 s left`. Not to the tenth: it is an estimate."""
    return f"{duration(seconds) if seconds >= 10 else f'{seconds:.0f} s'} left"


def at_hand(step: StepView) -> str:
    """What a running step is at, `reading: src/app.py`; if it stands still, since when."""
    if step.stalled:
        what = ": ".join(filter(None, (step.stalled.phase, step.stalled.message)))
        return f"nothing new for {duration(step.stalled.seconds)}{plain(f', at {what}' if what else '')}"
    progress = step.progress
    return plain(": ".join(filter(None, (progress.phase, progress.message)))) if progress else ""


def ahead(step: StepView) -> str:
    """`(42 %, 2 min 05 s left)`, as far as it is known."""
    share = f"{step.fraction:.0%}".replace("%", " %") if step.fraction else ""
    known = filter(None, (share, "" if step.eta_seconds is None else left(step.eta_seconds)))
    said = ", ".join(known)
    return f"({said})" if said else ""


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
        step: StepView = task.fields["step"]
        speed = step.rate if step.state is StepState.RUNNING else None
        return Text(f"{speed:,.0f}/s" if speed and speed >= 1 else f"{speed:.2f}/s" if speed else "")


class _Elapsed(ProgressColumn):
    def render(self, task: Task) -> Text:
        seconds = elapsed(task.fields["step"])
        return Text("" if seconds is None else duration(seconds), justify="right")


class _Left(ProgressColumn):
    def render(self, task: Task) -> Text:
        step: StepView = task.fields["step"]
        return Text("" if step.eta_seconds is None else left(step.eta_seconds), justify="right")


def _columns(width: int) -> tuple[ProgressColumn, ...]:
    name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    said = TextColumn(
        "{task.fields[said]}",
        markup=False,
        table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
    )
    if width < WIDE:
        return name, _State(), _Count(), _Elapsed(), said
    return name, _State(), BarColumn(bar_width=24), _Count(), _Rate(), _Elapsed(), _Left(), said


def _extent(step: StepView) -> tuple[float | None, float]:
    """Total and done of the bar: full once the step has completed, moving to and fro while nothing is known."""
    known = step.fraction > 0 or bool(step.progress and (step.progress.total or step.progress.phase))
    return (None if step.state is StepState.RUNNING and not known else 1.0), step.fraction


def _whole(job: JobView) -> StepView:
    """The job as a bar of its own, below those of its steps."""
    states = {JobState.RUNNING: StepState.RUNNING, JobState.COMPLETED: StepState.COMPLETED}
    failed = StepState(job.state) if job.state in set(StepState) else StepState.WAITING
    return StepView(
        name="job",
        state=StepState.RUNNING if job.state.ending else states.get(job.state, failed),
        attempt=job.run,
        retries=0,
        max_retries=0,
        started_at=job.started_at,
        ended_at=job.ended_at,
        fraction=job.fraction,
        eta_seconds=job.eta_seconds,
    )


def _said(job: JobView, step: StepView) -> str:
    """What there is to say about the step now."""
    if job.state.ending and step.state.active:
        return "told to end"
    if step.state is StepState.WAITING and job.state is JobState.SCHEDULED and job.due_at:
        return f"due {moments.due(job.due_at)}"
    if step.state is StepState.WAITING and job.waits_for:
        return f"waits for job {', '.join(map(plain, job.waits_for))}"
    if step.state is StepState.WAITING and job.after and job.state is JobState.PENDING:
        return f"comes after job {', '.join(map(plain, job.after))}"
    if step.state is StepState.READY:
        return "in the queue"
    if step.state is StepState.RETRYING:
        return f"retry {step.retries} of {step.max_retries}: {plain(step.message)}"
    if step.state is StepState.RUNNING:
        return at_hand(step)
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
