"""Starts jobs and says how they are doing, with a pipeline file of the caller's own."""

from collections.abc import Sequence
from pathlib import Path

from codestory import local, pipeline_file
from codestory.client import Client, Submission
from codestory.contracts.api import JobView
from codestory.contracts.plans import Options, PipelineConfig
from codestory.contracts.values import Priority


class PipelineManager:
    """Ingests repositories through the service at `url`; otherwise the one that CODESTORY_URL names, otherwise the one
    that runs on this machine, which is started if none does. It runs on when this program ends.

    `config_path`: the pipeline of each job, read anew for each; otherwise the service's own.
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
        steps: Sequence[str] = (),
        options: Options | None = None,
        step_options: dict[str, Options] | None = None,
        priority: Priority | str = Priority.DEFAULT,
    ) -> str:
        """Start to ingest a repository; the id of the job."""
        request: Submission = {
            "repository": str(Path(repository_path).expanduser().absolute()),
            "name": name,
            "steps": tuple(steps),
            "options": options or {},
            "step_options": step_options or {},
            "priority": priority,
            "pipeline": self._pipeline(),
        }
        with self._service() as client:
            return client.submit(**request).id

    def status(self, job_id: str) -> str:
        """The name of the job's state: PENDING, RUNNING, COMPLETED, FAILED …"""
        return self.job(job_id).state.value

    def job(self, job_id: str) -> JobView:
        """All that is known of the job: its steps, their progress, what they did and skipped."""
        with self._service() as client:
            return client.get(job_id)

    def cancel(self, job_id: str) -> JobView:
        """Ask for the end of a job."""
        with self._service() as client:
            return client.cancel(job_id)

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """The job as it ended. StillRunning when it has not after `timeout` seconds."""
        with self._service() as client:
            return client.wait(job_id, timeout=timeout)

    def jobs(self, limit: int = 50) -> tuple[JobView, ...]:
        """The newest jobs, newest first."""
        with self._service() as client:
            return client.jobs(limit)

    def _pipeline(self) -> PipelineConfig | None:
        return None if self._config_path is None else pipeline_file.load(self._config_path)

    def _service(self) -> Client:
        """A connection to the service, looked for at each call: it may have moved since the last."""
        return Client(self._url or local.service_url() or local.start(self._config_path).url)
