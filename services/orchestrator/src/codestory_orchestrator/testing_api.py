"""The API over an orchestrator that answers what it is told to: for tests of routes and refusals."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from codestory.contracts.access import Principal, Role
from codestory.contracts.api import (
    ChangeJob,
    ChangeResourceLimits,
    ChangeResources,
    ChangeStep,
    Check,
    Health,
    Holders,
    JobList,
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
from codestory.contracts.listing import BulkRequest, BulkResult, BulkRetry, ListJobs
from codestory.contracts.planning import PlannedStep, PlanView
from codestory.contracts.values import JobState, Priority, StepState, now
from codestory_orchestrator import errors
from codestory_orchestrator.api import ApiSettings, create_app

JOB = "0123456789abcdef"
MADE, REVISION = now(), 7
ASK = {"repository": "/srv/shop"}


def view(state: JobState = JobState.PENDING) -> JobView:
    repository = Repository(id="1", name="shop", path="/srv/shop")
    return JobView(
        id=JOB,
        repository=repository,
        state=state,
        priority=Priority.DEFAULT,
        run=1,
        created_at=MADE,
        steps=(),
        complete=False,
        gaps=0,
        revision=REVISION,
    )


Answer = TypeVar("Answer")


class ScriptedIngestion:
    """Answers with what it was given; `fails` is raised instead."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.asked: list[SubmitJob] = []
        #: By each submission: the id that was wished for, and the owner.
        self.named: list[tuple[str, str]] = []
        #: By each submission that is looked at: the secret that it names, and the role of who asks.
        self.secrets: list[tuple[str | None, Role]] = []
        #: Of jobs; JOB is nobody's.
        self.whose: dict[str, str] = {}
        #: Whose alone was asked for.
        self.owned: list[str | None] = []
        #: By each submission: its Idempotency-Key.
        self.keys: list[str] = []
        #: By each request for many jobs: whose.
        self.owners: list[str | None] = []
        self.listed: list[tuple[ListJobs, str | None]] = []
        #: By each verb: the revisions that it was asked of.
        self.revisions: list[frozenset[int] | None] = []
        self.said: list[BaseModel] = []
        self.state = JobState.CANCELLING
        self.is_ready = True
        self.checks = {"nats": Check(status="pass")}

    def _answer(self, answer: Answer) -> Answer:
        if self.fails:
            raise self.fails
        return answer

    async def submit(self, request: SubmitJob, *, job_id: str = "", owner: str = "", key: str = "") -> JobView:
        self.asked.append(request)
        self.keys.append(key)
        self.named.append((job_id, owner))
        return self._answer(view())

    def refuse_secret(self, request: SubmitJob, caller: Principal) -> None:
        self.secrets.append((request.credential, caller.role))
        if request.credential:
            self._answer(None)

    async def owner(self, job_id: str) -> str | None:
        return self.whose.get(job_id, "" if job_id == JOB else None)

    async def show(self, job_id: str) -> JobView:
        if job_id != JOB:
            raise errors.JobNotFound(job_id)
        return self._answer(view())

    async def list_jobs(self, query: ListJobs, owner: str | None = None) -> JobList:
        self.listed.append((query, owner))
        return self._answer(JobList(jobs=(view(),), next="next" if query.limit == 1 else None))

    async def cancel(self, job_id: str, revisions: frozenset[int] | None = None) -> JobView:
        await self._on_condition(job_id, revisions)
        return self._answer(view(self.state))

    async def _on_condition(self, job_id: str, revisions: frozenset[int] | None) -> JobView:
        shown = await self.show(job_id)
        self.revisions.append(revisions)
        if revisions is not None and shown.revision not in revisions:
            raise errors.ChangedMeanwhile(f"job {job_id}")
        return shown

    async def show_step(self, job_id: str, step: str) -> StepView:
        await self.show(job_id)
        return self._answer(StepView(name=step, state=StepState.READY, attempt=1, retries=0, max_retries=3))

    async def stop(self, job_id: str, revisions: frozenset[int] | None = None) -> JobView:
        await self._on_condition(job_id, revisions)
        return self._answer(view(self.state))

    async def resume(self, job_id: str, revisions: frozenset[int] | None = None) -> JobView:
        return await self._on_condition(job_id, revisions)

    async def retry(self, job_id: str, request: RetryJob, revisions: frozenset[int] | None = None) -> JobView:
        self.said.append(request)
        return await self._on_condition(job_id, revisions)

    async def change(self, job_id: str, request: ChangeJob, revisions: frozenset[int] | None = None) -> JobView:
        self.said.append(request)
        return await self._on_condition(job_id, revisions)

    async def cancel_all(self, request: BulkRequest, owner: str | None = None) -> BulkResult:
        return await self._bulk(request, owner)

    async def stop_all(self, request: BulkRequest, owner: str | None = None) -> BulkResult:
        return await self._bulk(request, owner)

    async def retry_all(self, request: BulkRetry, owner: str | None = None) -> BulkResult:
        return await self._bulk(request, owner)

    async def _bulk(self, request: BulkRequest, owner: str | None) -> BulkResult:
        self.said.append(request)
        self.owners.append(owner)
        return self._answer(BulkResult(matched=1, done=(JOB,)))

    async def why(self, job_id: str, owner: str | None = None) -> Why:
        self.owned.append(owner)
        await self.show(job_id)
        return self._answer(Why(job=job_id, state=JobState.RUNNING, text="It runs."))

    async def change_resources(self, request: ChangeResources) -> ResourceStatus:
        self.said.append(request)
        return self._answer(ResourceStatus(available_tokens=5, max_tokens=request.max_tokens))

    async def holders(self, owner: str | None = None) -> Holders:
        self.owned.append(owner)
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

    async def plan(self, request: SubmitJob, owner: str = "") -> PlanView:
        del owner
        self.asked.append(request)
        return self._answer(PlanView(repository=view().repository, steps=(PlannedStep(name="scan"),)))

    async def lag(self, step: str) -> int:
        if step != "scan":
            raise errors.StepNotOffered(step, ["scan"])
        return self._answer(3)

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
