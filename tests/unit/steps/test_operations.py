"""The eight operations of a step: what each asks of the service, and what it gives."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from codestory.client import Conflict, NotFound
from codestory.contracts.api import JobView
from codestory.contracts.schedules import Schedule
from codestory.steps import PipelineStep, StepContext, StepError, StepResult

AT = datetime(2031, 5, 1, 12, tzinfo=UTC)
ALONE = {"steps": [{"name": "filesystem"}]}
SCHEDULE = {"id": "s1", "job": {"repository": "/srv"}, "cron": "0 3 * * *", "created_at": AT.isoformat()}


class NoOptions(BaseModel):
    pass


class FileSystem(PipelineStep[NoOptions]):
    """Stands for any step: the operations look at its name only."""

    name = "filesystem"

    async def execute(self, ctx: StepContext[NoOptions]) -> StepResult:
        return StepResult(f"attempt {ctx.attempt}")


class Service:
    def __init__(self, serve: Callable[[FastAPI], str], job: JobView) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self._job = job
        app = FastAPI()
        app.api_route("/v1/{rest:path}", methods=["GET", "POST", "PATCH", "DELETE"])(self.answer)
        self.url = serve(app)

    async def answer(self, rest: str, request: Request) -> Response:
        body = await request.body()
        what = f"{request.method} {rest}"
        self.asked.append((what, json.loads(body) if body else None))
        answer = self.answers.get(what)
        if isinstance(answer, Response):
            return answer
        content = json.dumps(answer) if answer else self._job.model_dump_json()
        return Response(content, media_type="application/json")


@pytest.fixture
def service(serve: Callable[[FastAPI], str], make_job: Callable[..., JobView]) -> Service:
    return Service(serve, make_job())


@pytest.fixture
def step() -> FileSystem:
    return FileSystem()


async def test_run_is_a_job_of_this_one_step(step: FileSystem, service: Service) -> None:
    job = await step.run("/srv", name="mine", options={"deep": True}, service=service.url)

    assert job.id == "job1"
    assert service.asked == [
        (
            "POST ingest",
            {"repository": "/srv", "name": "mine", "step_options": {"filesystem": {"deep": True}}, "pipeline": ALONE},
        )
    ]


async def test_ingestion_update_is_such_a_job_in_mode_update(step: FileSystem, service: Service) -> None:
    await step.ingestion_update("/srv", service=service.url)

    assert service.asked == [("POST ingest", {"repository": "/srv", "mode": "update", "pipeline": ALONE})]


async def test_schedule_once_is_such_a_job_later(step: FileSystem, service: Service) -> None:
    at = await step.schedule("/srv", eta=AT, service=service.url)
    later = await step.schedule("/srv", countdown=90, service=service.url)

    assert (at.id, later.id) == ("job1", "job1")
    assert service.asked == [
        ("POST ingest", {"repository": "/srv", "pipeline": ALONE, "eta": "2031-05-01T12:00:00Z"}),
        ("POST ingest", {"repository": "/srv", "pipeline": ALONE, "countdown": 90.0}),
    ]


async def test_schedule_again_and_again_is_a_schedule(step: FileSystem, service: Service) -> None:
    service.answers["POST ingest/schedules"] = SCHEDULE

    made = await step.schedule("/srv", cron="0 3 * * *", time_zone="Europe/Berlin", service=service.url)

    assert isinstance(made, Schedule)
    [(what, body)] = service.asked
    assert what == "POST ingest/schedules"
    assert body == {
        "job": {"repository": "/srv", "pipeline": ALONE},
        "cron": "0 3 * * *",
        "time_zone": "Europe/Berlin",
        "title": "filesystem",
    }


@pytest.mark.parametrize("times", [{}, {"eta": AT, "countdown": 3}, {"countdown": 3, "cron": "0 3 * * *"}])
async def test_schedule_takes_one_time(step: FileSystem, service: Service, times: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of them"):
        await step.schedule("/srv", **times, service=service.url)

    assert service.asked == []


@pytest.mark.parametrize("verb", ["stop", "cancel"])
async def test_the_job_of_the_step_is_ended(step: FileSystem, service: Service, verb: str) -> None:
    job = await getattr(step, verb)("job1", service=service.url)

    assert job.id == "job1"
    assert service.asked == [(f"POST ingest/job1/{verb}", None)]


async def test_retry_runs_this_step_again_with_other_options(step: FileSystem, service: Service) -> None:
    await step.retry("job1", options={"deep": True}, service=service.url)

    body = {"from_step": "filesystem", "step_options": {"filesystem": {"deep": True}}}
    assert service.asked == [("POST ingest/job1/retry", body)]


async def test_what_the_service_refuses_is_raised_as_the_clients_error(step: FileSystem, service: Service) -> None:
    problem = {"title": "No", "status": 409, "code": "job_conflict", "detail": "It is COMPLETED."}
    service.answers["POST ingest/job1/stop"] = Response(json.dumps(problem), 409)

    with pytest.raises(Conflict, match="It is COMPLETED"):
        await step.stop("job1", service=service.url)
    with pytest.raises(NotFound):
        await step.cancel("../steps", service=service.url)


async def test_status_is_this_steps_part(step: FileSystem, service: Service) -> None:
    assert (await step.status("job1", service=service.url)).state == "COMPLETED"


async def test_status_of_a_job_without_this_step_says_what_it_runs(service: Service) -> None:
    class Other(FileSystem):
        name = "other"

    with pytest.raises(StepError, match="it runs filesystem, documentation_grapher"):
        await Other().status("job1", service=service.url)


async def test_dependencies_are_those_of_the_services_pipeline(step: FileSystem, service: Service) -> None:
    known = {"name": "filesystem", "version": "1", "depends_on": ["blarify"]}
    service.answers["GET ingest/steps"] = {"steps": [known]}

    assert await step.dependencies(service=service.url) == ("blarify",)
