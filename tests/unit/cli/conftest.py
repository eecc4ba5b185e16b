"""A service that speaks the API from a script, and the command line run against it in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI, Response, WebSocket
from starlette.websockets import WebSocketDisconnect

from codestory.cli.main import main
from codestory.contracts.api import JobList, JobView, Problem, StatusMessage, SubmitJob
from codestory.contracts.values import now


@pytest.fixture
def jobs() -> dict[str, list[JobView]]:
    """What the service has: each job as it is now, and as it will be while it is watched."""
    return {}


@pytest.fixture
def submitted() -> list[SubmitJob]:
    """The requests that the service took."""
    return []


@pytest.fixture
def cancelled() -> list[str]:
    """The jobs whose end was asked for."""
    return []


@pytest.fixture
def url(
    serve: Callable[[FastAPI], str],
    make_job: Callable[..., JobView],
    jobs: dict[str, list[JobView]],
    submitted: list[SubmitJob],
    cancelled: list[str],
) -> str:
    """The service. It names the job of a request `job1`, unless the test has put one under `next`."""
    app = FastAPI()

    @app.post("/v1/ingest")
    async def submit(body: SubmitJob) -> JobView:
        submitted.append(body)
        states = jobs.pop("next", None) or [make_job()]
        jobs[states[0].id] = states
        return states[0]

    @app.get("/v1/ingest")
    async def listed(limit: int) -> JobList:
        return JobList(jobs=tuple(states[0] for states in list(jobs.values())[:limit]))

    @app.get("/v1/ingest/{job_id}")
    async def show(job_id: str) -> Response:
        return _view(jobs[job_id][0]) if job_id in jobs else _problem(404, f"There is no job '{job_id}'.")

    @app.post("/v1/ingest/{job_id}/cancel")
    async def cancel(job_id: str) -> Response:
        cancelled.append(job_id)
        if jobs[job_id][0].state.ended:
            return _problem(409, f"The job '{job_id}' is {jobs[job_id][0].state}: nothing was changed.")
        return _view(jobs[job_id][-1])

    @app.websocket("/ws/status/{job_id}")
    async def feed(socket: WebSocket, job_id: str) -> None:
        await socket.accept()
        for seq, job in enumerate(jobs[job_id]):
            kind = "ended" if job.state.ended else "job"
            await socket.send_text(StatusMessage(kind=kind, seq=seq, job=job, at=now()).model_dump_json())
        try:
            await socket.receive_text()
        except WebSocketDisconnect:
            return

    assert [submit, listed, show, cancel, feed]
    return serve(app)


@pytest.fixture
def run(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs one command; its exit code, stdout and stderr."""
    monkeypatch.setenv("CODESTORY_URL", url)
    monkeypatch.setenv("CODESTORY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def running(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert isinstance(ended.value.code, int)
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return running


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "flask"
    folder.mkdir()
    (folder / "app.py").write_text("import flask\n")
    return folder


def _view(job: JobView) -> Response:
    return Response(job.model_dump_json(), media_type="application/json")


def _problem(status: int, detail: str) -> Response:
    problem = Problem(title="No", status=status, detail=detail, code="no")
    return Response(problem.model_dump_json(), status, media_type="application/problem+json")
