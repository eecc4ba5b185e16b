"""The small synchronous way in, against a real server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

from codestory.client import BadAddress, Invalid, ServiceUnreachable
from codestory.contracts.api import ChangeJob, JobList, JobView, StepList, StepStatus, SubmitJob, Why
from codestory.contracts.values import JobState
from codestory.ingestion_pipeline.manager import PipelineManager
from codestory.pipeline_file import PipelineFileError

Serve = Callable[[FastAPI], str]
MakeJob = Callable[..., JobView]

FIRST = "steps:\n  - name: filesystem\n  - name: documentation_grapher\n"
REORDERED = "steps:\n  - name: documentation_grapher\n  - name: filesystem\n"


@pytest.fixture
def submitted() -> list[SubmitJob]:
    return []


@pytest.fixture
def asked() -> list[tuple[str, bytes]]:
    """The other verbs that the service was asked for, with their bodies."""
    return []


@pytest.fixture
def listed() -> list[str]:
    """The queries by which jobs were listed."""
    return []


@pytest.fixture
def url(
    serve: Serve,
    make_job: MakeJob,
    *,
    submitted: list[SubmitJob],
    asked: list[tuple[str, bytes]],
    listed: list[str],
) -> str:
    app = FastAPI()

    @app.post("/v1/ingest")
    async def submit(body: SubmitJob) -> JobView:
        submitted.append(body)
        return make_job()

    @app.get("/v1/ingest")
    async def jobs(request: Request) -> JobList:
        listed.append(request.url.query)
        return JobList(jobs=(make_job(),))

    @app.get("/v1/ingest/steps")
    async def steps() -> StepList:
        return StepList(steps=(StepStatus(name="filesystem", version="1"),))

    @app.get("/v1/ingest/{job_id}")
    async def show(job_id: str) -> JobView:
        return make_job(id=job_id, state="COMPLETED")

    @app.post("/v1/ingest/{job_id}/cancel")
    async def cancel(job_id: str) -> JobView:
        return make_job(id=job_id, state="CANCELLING")

    @app.post("/v1/ingest/{job_id}/{verb}")
    async def verb(job_id: str, verb: str, request: Request) -> JobView:
        asked.append((f"{verb} {job_id}", await request.body()))
        return make_job(id=job_id, state="STOPPING" if verb == "stop" else "PENDING")

    @app.patch("/v1/ingest/{job_id}")
    async def change(job_id: str, body: ChangeJob) -> JobView:
        return make_job(id=job_id, priority=body.priority)

    @app.get("/v1/ingest/{job_id}/why")
    async def why(job_id: str) -> Why:
        return Why(job=job_id, state=JobState.PENDING, text="It waits.")

    assert [submit, jobs, steps, show, cancel, verb, change, why]
    return serve(app)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline_config.yml"
    path.write_text(FIRST)
    return path


def test_a_job_is_started_with_the_pipeline_of_the_file(url: str, config: Path, submitted: list[SubmitJob]) -> None:
    manager = PipelineManager(config_path=str(config), url=url)

    job_id = manager.start_job(repository_path="/path/to/your/codebase")

    assert job_id == "job1"
    assert submitted[0].repository == "/path/to/your/codebase"
    assert submitted[0].pipeline is not None
    assert [step.name for step in submitted[0].pipeline.steps] == ["filesystem", "documentation_grapher"]


def test_the_file_is_read_anew_for_each_job(url: str, config: Path, submitted: list[SubmitJob]) -> None:
    manager = PipelineManager(config, url)
    manager.start_job("/srv")

    config.write_text(REORDERED)
    manager.start_job("/srv")

    orders = [[step.name for step in request.pipeline.steps] for request in submitted if request.pipeline]
    assert orders == [["filesystem", "documentation_grapher"], ["documentation_grapher", "filesystem"]]


def test_the_file_is_found_again_from_another_folder(
    url: str, config: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    manager = PipelineManager("pipeline_config.yml", url)

    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    assert manager.start_job("/srv") == "job1"


def test_a_mistake_in_the_file_is_said_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "pipeline_config.yml"
    path.write_text("steps:\n  - name: filesystem\n    concurrency: none\n")

    with pytest.raises(PipelineFileError, match=r"pipeline_config\.yml:3: "):
        PipelineManager(path)


def test_a_mistake_made_later_is_said_with_the_next_job(url: str, config: Path, submitted: list[SubmitJob]) -> None:
    manager = PipelineManager(config, url)

    config.write_text("steps: []\n")

    with pytest.raises(PipelineFileError):
        manager.start_job("/srv")
    assert submitted == []


def test_a_relative_path_is_made_absolute(
    url: str, submitted: list[SubmitJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    PipelineManager(url=url).start_job("flask")

    assert submitted == [SubmitJob(repository=str(tmp_path / "flask"))]


def test_what_is_asked_for_is_sent(url: str, submitted: list[SubmitJob]) -> None:
    PipelineManager(url=url).start_job(
        "/srv",
        name="mine",
        steps=["filesystem"],
        options={"parallel": 2},
        step_options={"filesystem": {"ignore": ["x"]}},
        priority="high",
    )

    assert submitted == [
        SubmitJob.model_validate(
            {
                "repository": "/srv",
                "name": "mine",
                "steps": ["filesystem"],
                "options": {"parallel": 2},
                "step_options": {"filesystem": {"ignore": ["x"]}},
                "priority": "high",
            }
        )
    ]


def test_a_job_can_be_looked_at_waited_for_and_cancelled(url: str) -> None:
    manager = PipelineManager(url=url)

    assert manager.status("job1") == "COMPLETED"
    assert manager.job("job1").repository.name == "flask"
    assert manager.wait("job1", timeout=10).id == "job1"
    assert manager.cancel("job1").state == "CANCELLING"
    assert [job.id for job in manager.jobs()] == ["job1"]


def test_a_job_can_be_started_later_after_others_and_in_part(url: str, submitted: list[SubmitJob]) -> None:
    fields: dict[str, Any] = {
        "mode": "update",
        "eta": "2031-05-01T12:00:00+02:00",
        "after": ["job0"],
        "when": "always",
        "dependencies": {"docs": []},
        "resources": ["gpu"],
    }

    PipelineManager(url=url).start_job("/srv", **fields)
    PipelineManager(url=url).start_job("/srv", countdown=90)
    PipelineManager(url=url).start_job("/srv", on_full="fail")

    assert submitted == [
        SubmitJob.model_validate({"repository": "/srv"} | fields),
        SubmitJob(repository="/srv", countdown=90),
        SubmitJob.model_validate({"repository": "/srv", "on_full": "fail"}),
    ]


def test_an_update_and_one_step_alone_are_asked_for_by_name(url: str, submitted: list[SubmitJob]) -> None:
    manager = PipelineManager(url=url)

    manager.update("/srv", priority="high")
    manager.run_step("summarizer", "/srv", step_options={"summarizer": {"provider": "extractive"}})

    assert submitted == [
        SubmitJob.model_validate({"repository": "/srv", "mode": "update", "priority": "high"}),
        SubmitJob.model_validate(
            {"repository": "/srv", "steps": ["summarizer"], "step_options": {"summarizer": {"provider": "extractive"}}}
        ),
    ]


def test_a_git_address_is_sent_as_it_is(url: str, submitted: list[SubmitJob]) -> None:
    PipelineManager(url=url).start_job("https://example.org/flask.git", ref="main", credential="github")

    request = submitted[0]
    assert (request.repository, request.ref, request.credential) == ("https://example.org/flask.git", "main", "github")


def test_jobs_are_listed_by_filters_and_watched_to_their_end(url: str, listed: list[str]) -> None:
    manager = PipelineManager(url=url)

    manager.jobs(5, status="FAILED", repository="flask")
    messages = list(manager.watch("job1"))

    assert listed == ["limit=5&status=FAILED&repository=flask"]
    assert [message.kind for message in messages] == ["ended"]
    assert [step.name for step in manager.steps()] == ["filesystem"]


def test_a_time_without_a_zone_is_refused(url: str, submitted: list[SubmitJob]) -> None:
    with pytest.raises(Invalid, match="eta"):
        PipelineManager(url=url).start_job("/srv", eta="2031-05-01T12:00:00")

    assert submitted == []


def test_a_job_can_be_stopped_resumed_retried_and_put_forward(url: str, asked: list[tuple[str, bytes]]) -> None:
    manager = PipelineManager(url=url)

    assert manager.stop("job1").state == "STOPPING"
    assert manager.resume("job1").state == "PENDING"
    assert manager.retry("job1", from_step="docs", step_options={"docs": {"deep": True}}).state == "PENDING"
    assert manager.prioritise("job1", "high").priority == "high"
    assert manager.why("job1").text == "It waits."
    assert asked == [
        ("stop job1", b""),
        ("resume job1", b""),
        ("retry job1", b'{"from_step":"docs","step_options":{"docs":{"deep":true}}}'),
    ]


def test_the_service_that_is_named_in_the_environment_is_used(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_URL", url)

    assert PipelineManager().status("job1") == "COMPLETED"


def test_a_service_that_moved_is_found_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_URL", "http://127.0.0.1:9")
    manager = PipelineManager()
    with pytest.raises(ServiceUnreachable):
        manager.status("job1")

    monkeypatch.setenv("CODESTORY_URL", url)

    assert manager.status("job1") == "COMPLETED"


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(BadAddress):
        PipelineManager(url="nonsense").jobs()
