"""The API over an orchestrator that answers what it is told to: for tests of routes and refusals."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from codestory.contracts.api import (
    ChangeJob,
    ChangeResourceLimits,
    ChangeResources,
    ChangeStep,
    Check,
    Health,
    Holders,
    JobView,
    Problem,
    ResourceStatus,
    RetryJob,
    StatusMessage,
    StepStatus,
    StepView,
    SubmitJob,
    TagStatus,
    Why,
)
from codestory.contracts.jobs import Repository
from codestory.contracts.values import JobState, Priority, StepState, now
from codestory_orchestrator import errors
from codestory_orchestrator.api import ApiSettings, create_app

JOB = "0123456789abcdef"
ASK = {"repository": "/srv/shop"}


def view(state: JobState = JobState.PENDING) -> JobView:
    repository = Repository(id="1", name="shop", path="/srv/shop")
    return JobView(
        id=JOB,
        repository=repository,
        state=state,
        priority=Priority.DEFAULT,
        run=1,
        created_at=now(),
        steps=(),
        complete=False,
        gaps=0,
    )


Answer = TypeVar("Answer")


class ScriptedIngestion:
    """Answers with what it was given; `fails` is raised instead."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.asked: list[SubmitJob] = []
        #: By each submission: the id that was wished for, and the owner.
        self.named: list[tuple[str, str]] = []
        self.limits: list[int] = []
        self.said: list[BaseModel] = []
        self.state = JobState.CANCELLING
        self.is_ready = True
        self.checks = {"nats": Check(status="pass")}

    def _answer(self, answer: Answer) -> Answer:
        if self.fails:
            raise self.fails
        return answer

    async def submit(self, request: SubmitJob, *, job_id: str = "", owner: str = "") -> JobView:
        self.asked.append(request)
        self.named.append((job_id, owner))
        return self._answer(view())

    async def show(self, job_id: str) -> JobView:
        if job_id != JOB:
            raise errors.JobNotFound(job_id)
        return self._answer(view())

    async def list_jobs(self, limit: int) -> list[JobView]:
        self.limits.append(limit)
        return self._answer([view()])

    async def cancel(self, job_id: str) -> JobView:
        await self.show(job_id)
        return self._answer(view(self.state))

    async def show_step(self, job_id: str, step: str) -> StepView:
        await self.show(job_id)
        return self._answer(StepView(name=step, state=StepState.READY, attempt=1, retries=0, max_retries=3))

    async def stop(self, job_id: str) -> JobView:
        await self.show(job_id)
        return self._answer(view(self.state))

    async def resume(self, job_id: str) -> JobView:
        return await self.show(job_id)

    async def retry(self, job_id: str, request: RetryJob) -> JobView:
        self.said.append(request)
        return await self.show(job_id)

    async def change(self, job_id: str, request: ChangeJob) -> JobView:
        self.said.append(request)
        return await self.show(job_id)

    async def why(self, job_id: str) -> Why:
        await self.show(job_id)
        return self._answer(Why(job=job_id, state=JobState.RUNNING, text="It runs."))

    async def change_resources(self, request: ChangeResources) -> ResourceStatus:
        self.said.append(request)
        return self._answer(ResourceStatus(available_tokens=5, max_tokens=request.max_tokens))

    async def holders(self) -> Holders:
        return self._answer(Holders(available_tokens=3, max_tokens=4, holders=()))

    async def resource_limits(self) -> list[TagStatus]:
        return self._answer([TagStatus(tag="gpu", limit=1, held=1)])

    async def change_resource_limits(self, request: ChangeResourceLimits) -> list[TagStatus]:
        self.said.append(request)
        return self._answer([TagStatus(tag="gpu", limit=2, held=1)])

    async def change_step(self, step: str, request: ChangeStep) -> StepStatus:
        self.said.append(request)
        return self._answer(StepStatus(name=step, version="1", concurrency=request.concurrency))

    async def watch(self, job_id: str) -> AsyncIterator[StatusMessage]:
        yield StatusMessage(kind="ended", seq=1, job=await self.show(job_id), at=now())

    async def resource_status(self) -> ResourceStatus:
        return self._answer(ResourceStatus(available_tokens=3, max_tokens=4))

    async def steps(self) -> list[StepStatus]:
        return self._answer([StepStatus(name="scan", version="1", workers=2)])

    async def health(self) -> Health:
        worst = "fail" if any(check.status == "fail" for check in self.checks.values()) else "pass"
        return self._answer(Health(status=worst, version="1", checks=self.checks))

    async def ready(self) -> bool:
        return self._answer(self.is_ready)


#: One application for all, each test with an Ingestion of its own: to build one costs the first request 0.1 s.
APP = create_app(ScriptedIngestion(), ApiSettings())


def client(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8420")


async def call(method: str, path: str, ingestion: ScriptedIngestion | None = None, **more: Any) -> httpx.Response:
    APP.state.ingestion = ingestion or ScriptedIngestion()
    async with client(APP) as asking:
        return await asking.request(method, path, **more)


def problem(response: httpx.Response) -> Problem:
    """The problem that the response states; fails if it is no proper one."""
    assert response.headers["content-type"] == "application/problem+json"
    stated = Problem.model_validate_json(response.content)
    assert stated.status == response.status_code
    assert stated.code
    assert stated.title
    assert stated.detail
    assert stated.instance.startswith("/")
    return stated
