"""What may be asked of a step from Python, written once for all steps. It acts through the orchestrator's API."""

from typing import TYPE_CHECKING, ClassVar

from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.contracts.api import JobView, StepView, SubmitJob
from codestory.contracts.plans import ConfiguredStep, Options, PipelineConfig
from codestory.contracts.values import Priority
from codestory.steps.errors import StepError

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
        request = SubmitJob(
            repository=repository,
            name=name,
            priority=priority,
            step_options={self.name: options} if options else {},
            pipeline=PipelineConfig(steps=(ConfiguredStep(name=self.name),)),
        )
        async with self._client(service) as client:
            return await client.submit(request)

    async def status(self, job: str, *, service: str | None = None) -> StepView:
        """This step's part of a job: state, progress, attempts, outcome."""
        async with self._client(service) as client:
            view = await client.get(job)
        for step in view.steps:
            if step.name == self.name:
                return step
        raise StepError(f"the job {job} does not run {self.name}; it runs {', '.join(s.name for s in view.steps)}")

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

    @staticmethod
    def _client(service: str | None) -> "AsyncClient":
        from codestory.client import AsyncClient  # noqa: PLC0415  # a step's process, which never asks, starts sooner

        return AsyncClient(service or ServiceSettings().url)
