"""Starts jobs and says how they are doing, with a pipeline file of the caller's own."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypedDict, Unpack

from codestory import local, pipeline_file
from codestory.client import Client, Filters, Submission
from codestory.contracts.api import JobView, StatusMessage, StepStatus, Why
from codestory.contracts.plans import Options, PipelineConfig
from codestory.contracts.values import Mode, OnFull, Priority, When
from codestory.repository_identity import is_elsewhere


class Wish(TypedDict, total=False):
    """What else `start_job` takes, for every way to start a job."""

    name: str | None
    ref: str | None
    credential: str | None
    submodules: bool
    options: Options | None
    step_options: dict[str, Options] | None
    priority: Priority | str
    eta: datetime | str | None
    countdown: float | None
    after: Sequence[str]
    when: When | str
    dependencies: Mapping[str, Sequence[str]] | None
    resources: Sequence[str]
    on_full: OnFull | str


class PipelineManager:
    """Ingests repositories through the service at `url`; otherwise the one that CODESTORY_URL names, otherwise the one
    that runs on this machine, which is started if none does. It runs on when this program ends.

    `config_path`: the pipeline of each job, read anew for each; otherwise the service's own.

    Each call has a connection of its own, so that threads may share one manager. A call blocks until it is answered:
    from a coroutine, `await asyncio.to_thread(manager.status, job_id)`.
    """

    def __init__(self, config_path: str | Path | None = None, url: str | None = None) -> None:
        self._config_path = None if config_path is None else Path(config_path).absolute()
        self._url = url
        self._pipeline()

    def start_job(
        self,
        repository_path: str | Path,
        *,
        name: str | None = None,
        ref: str | None = None,
        credential: str | None = None,
        submodules: bool = False,
        steps: Sequence[str] = (),
        options: Options | None = None,
        step_options: dict[str, Options] | None = None,
        priority: Priority | str = Priority.DEFAULT,
        mode: Mode | str = Mode.FULL,
        eta: datetime | str | None = None,
        countdown: float | None = None,
        after: Sequence[str] = (),
        when: When | str = When.SUCCESS,
        dependencies: Mapping[str, Sequence[str]] | None = None,
        resources: Sequence[str] = (),
        on_full: OnFull | str = OnFull.WAIT,
    ) -> str:
        """Start to ingest a repository; the id of the job.

        `repository_path`: a folder, or a git address that the service fetches; of such a one `ref` names branch, tag or
        commit, and `credential` the service's own secret for it; `submodules`: fetch them too.
        `mode="update"`: only what has changed since the last time. `eta` (which names its zone), `countdown` (seconds):
        not before then. `after`, `when`: not before these jobs have completed, or `always`, however they ended.
        `dependencies`: what each step waits for, instead of what the pipeline says. `resources`: tags that each step
        holds while it runs. `on_full="fail"`: Throttled, unless the first step can start at once."""
        request: Submission = {
            "repository": _where(repository_path),
            "name": name,
            "ref": ref,
            "credential": credential,
            "submodules": submodules,
            "steps": tuple(steps),
            "options": options or {},
            "step_options": step_options or {},
            "priority": priority,
            "pipeline": self._pipeline(),
            "mode": mode,
            "eta": eta,
            "countdown": countdown,
            "after": tuple(after),
            "when": when,
            "dependencies": {step: tuple(names) for step, names in (dependencies or {}).items()},
            "resources": tuple(resources),
            "on_full": on_full,
        }
        with self._service() as client:
            return client.submit(**request).id

    def update(self, repository_path: str | Path, **fields: Unpack[Wish]) -> str:
        """Ingest what has changed since the last time; the id of the job. `fields`: as those of `start_job`."""
        return self.start_job(repository_path, mode=Mode.UPDATE, **fields)

    def run_step(self, step: str, repository_path: str | Path, **fields: Unpack[Wish]) -> str:
        """Run one step alone; the id of the job. The others' part of the graph stays as it is."""
        return self.start_job(repository_path, steps=[step], **fields)

    def status(self, job_id: str) -> str:
        """The name of the job's state: SCHEDULED, PENDING, RUNNING, COMPLETED, FAILED, STOPPED, CANCELLED …"""
        return self.job(job_id).state.value

    def job(self, job_id: str) -> JobView:
        """All that is known of the job: its steps, their progress, what they did and skipped."""
        with self._service() as client:
            return client.get(job_id)

    def why(self, job_id: str) -> Why:
        """Why the job does not go on: `text` says it, `waits` has it as data."""
        with self._service() as client:
            return client.why(job_id)

    def stop(self, job_id: str) -> JobView:
        """Ask a job to halt and keep what is done. It can be resumed once it is STOPPED."""
        with self._service() as client:
            return client.stop(job_id)

    def resume(self, job_id: str) -> JobView:
        """Let a stopped job go on with what did not complete."""
        with self._service() as client:
            return client.resume(job_id)

    def cancel(self, job_id: str) -> JobView:
        """Ask for the end of a job."""
        with self._service() as client:
            return client.cancel(job_id)

    def retry(
        self,
        job_id: str,
        *,
        from_step: str = "",
        options: Options | None = None,
        step_options: dict[str, Options] | None = None,
    ) -> JobView:
        """Run a job again that failed, was stopped or was cancelled: what did not complete, or `from_step` and what
        depends on it too, or all of it (`from_step="start"`). Options go over those that it had."""
        with self._service() as client:
            return client.retry(job_id, from_step=from_step, options=options or {}, step_options=step_options or {})

    def prioritise(self, job_id: str, priority: Priority | str) -> JobView:
        """Change which jobs a waiting job goes before."""
        with self._service() as client:
            return client.change(job_id, priority=priority)

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """The job as it ended. StillRunning when it has not after `timeout` seconds."""
        with self._service() as client:
            return client.wait(job_id, timeout=timeout)

    def watch(self, job_id: str) -> Iterator[StatusMessage]:
        """What happens to the job, until it ends; the last message is of kind `ended`."""
        with self._service() as client:
            yield from client.watch(job_id)

    def jobs(self, limit: int = 50, **filters: Unpack[Filters]) -> tuple[JobView, ...]:
        """The newest jobs, newest first: all, or those to which the filters apply (`status="FAILED"`, `repository`,
        `step`, `priority`, `since`, `until`, `schedule`)."""
        with self._service() as client:
            return client.jobs(limit, **filters)

    def steps(self) -> tuple[StepStatus, ...]:
        """The steps that there are, their workers and queues."""
        with self._service() as client:
            return client.steps()

    def _pipeline(self) -> PipelineConfig | None:
        return None if self._config_path is None else pipeline_file.load(self._config_path)

    def _service(self) -> Client:
        """A connection to the service, looked for at each call: it may have moved since the last."""
        return Client(self._url or local.service(self._config_path))


def _where(repository: str | Path) -> str:
    """A folder from its root; an address as it is."""
    if isinstance(repository, str) and is_elsewhere(repository):
        return repository
    return str(Path(repository).expanduser().absolute())
