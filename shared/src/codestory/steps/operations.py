"""What may be asked of a step from Python, written once for all steps. It acts through the orchestrator's API."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, overload

from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.contracts.api import JobView, RetryJob, StepView, SubmitJob
from codestory.contracts.plans import ConfiguredStep, Options, PipelineConfig
from codestory.contracts.schedules import CreateSchedule, Schedule
from codestory.contracts.values import Mode, Priority
from codestory.step_errors import StepError

if TYPE_CHECKING:
    from codestory.client import AsyncClient


class ServiceSettings(BaseSettings):
    """Where the orchestrator's API is. `codestory service status` shows the address of the embedded one."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", extra="ignore")

    url: str = "http://127.0.0.1:8420"


class StepOperations:
    """`service`: the API's address; otherwise CODESTORY_URL. Errors are those of `codestory.client`."""

    name: ClassVar[str]

    async def run(
        self,
        repository: str,
        *,
        name: str | None = None,
        options: Options | None = None,
        priority: Priority = Priority.DEFAULT,
        service: str | None = None,
    ) -> JobView:
        """A job of this one step on a repository. Returns at once; the job goes on without its caller."""
        request = self._request(repository, name, options, priority)
        async with self._client(service) as client:
            return await client.submit(request)

    async def ingestion_update(
        self,
        repository: str,
        *,
        name: str | None = None,
        options: Options | None = None,
        priority: Priority = Priority.DEFAULT,
        service: str | None = None,
    ) -> JobView:
        """The same in mode `update`: only what has changed since this step last did its part is computed. What other
        steps wrote is left alone; those that build on this one are marked stale on the Repository."""
        request = self._request(repository, name, options, priority, mode=Mode.UPDATE)
        async with self._client(service) as client:
            return await client.submit(request)

    @overload
    async def schedule(
        self,
        repository: str,
        *,
        eta: datetime | None = None,
        countdown: float | None = None,
        cron: None = None,
        name: str | None = None,
        options: Options | None = None,
        priority: Priority = Priority.DEFAULT,
        mode: Mode = Mode.FULL,
        service: str | None = None,
    ) -> JobView: ...
    @overload
    async def schedule(
        self,
        repository: str,
        *,
        cron: str,
        time_zone: str = "UTC",
        title: str = "",
        name: str | None = None,
        options: Options | None = None,
        priority: Priority = Priority.DEFAULT,
        mode: Mode = Mode.FULL,
        service: str | None = None,
    ) -> Schedule: ...
    async def schedule(
        self,
        repository: str,
        *,
        eta: datetime | None = None,
        countdown: float | None = None,
        cron: str | None = None,
        time_zone: str = "UTC",
        title: str = "",
        name: str | None = None,
        options: Options | None = None,
        priority: Priority = Priority.DEFAULT,
        mode: Mode = Mode.FULL,
        service: str | None = None,
    ) -> JobView | Schedule:
        """A job of this one step later: at `eta` (which names its zone) or in `countdown` seconds. With `cron`: again
        and again, at each time that it names in `time_zone`, until the Schedule is deleted."""
        if sum(time is not None for time in (eta, countdown, cron)) != 1:
            raise ValueError("give eta, countdown or cron: one of them")
        request = self._request(repository, name, options, priority, mode=mode, eta=eta, countdown=countdown)
        async with self._client(service) as client:
            if cron is None:
                return await client.submit(request)
            return await client.create_schedule(
                CreateSchedule(job=request, cron=cron, time_zone=time_zone, title=title or self.name)
            )

    async def status(self, job: str, *, service: str | None = None) -> StepView:
        """This step's part of a job: state, progress, attempts, outcome."""
        async with self._client(service) as client:
            view = await client.get(job)
        for step in view.steps:
            if step.name == self.name:
                return step
        raise StepError(f"the job {job} does not run {self.name}; it runs {', '.join(s.name for s in view.steps)}")

    async def stop(self, job: str, *, service: str | None = None) -> JobView:
        """Stop the job that this step runs in; it keeps what is done and can be resumed. Stopped already: unchanged;
        ended otherwise: Conflict."""
        async with self._client(service) as client:
            return await client.stop(job)

    async def retry(self, job: str, *, options: Options | None = None, service: str | None = None) -> JobView:
        """Run this step of a job again, with it what depends on it, and whatever else did not complete. `options`: over
        those that it had. The job must have failed, been stopped or been cancelled: else Conflict."""
        request = RetryJob(from_step=self.name, step_options={self.name: options} if options else {})
        async with self._client(service) as client:
            return await client.retry(job, request)

    async def cancel(self, job: str, *, service: str | None = None) -> JobView:
        """Cancel the job that this step runs in. Cancelled already: unchanged; ended otherwise: Conflict."""
        async with self._client(service) as client:
            return await client.cancel(job)

    async def dependencies(self, *, service: str | None = None) -> tuple[str, ...]:
        """The steps that this one waits for, as the service's pipeline_config.yml has it."""
        async with self._client(service) as client:
            steps = await client.steps()
        for step in steps:
            if step.name == self.name:
                return step.depends_on
        raise StepError(f"the service knows no step {self.name}; it knows {', '.join(s.name for s in steps) or 'none'}")

    def _request(
        self, repository: str, name: str | None, options: Options | None, priority: Priority, **fields: Any
    ) -> SubmitJob:
        """`fields`: what else of SubmitJob."""
        return SubmitJob(
            repository=repository,
            name=name,
            priority=priority,
            step_options={self.name: options} if options else {},
            pipeline=PipelineConfig(steps=(ConfiguredStep(name=self.name),)),
            **fields,
        )

    @staticmethod
    def _client(service: str | None) -> "AsyncClient":
        from codestory.client import AsyncClient  # noqa: PLC0415  # a step's process, which never asks, starts sooner

        return AsyncClient(service or ServiceSettings().url)
