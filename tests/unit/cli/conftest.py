"""A service that speaks the API from a script, and the command line run against it in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response, WebSocket
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
def answers() -> dict[str, Any]:
    """What the service answers to anything else, by method and path below /v1/ingest: content, a job, or a problem."""
    return {}


@pytest.fixture
def asked() -> list[tuple[str, Any]]:
    """What else was asked of the service, and with which body."""
    return []


@pytest.fixture
def queries() -> list[str]:
    """By what the jobs were listed, each time."""
    return []


@pytest.fixture
def url(
    serve: Callable[[FastAPI], str],
    make_job: Callable[..., JobView],
    jobs: dict[str, list[JobView]],
    *,
    submitted: list[SubmitJob],
    cancelled: list[str],
    answers: dict[str, Any],
    asked: list[tuple[str, Any]],
    queries: list[str],
) -> str:
    """The service. It names the job of a request `job1`, unless the test has put one under `next`."""
    app = FastAPI()

    @app.post("/v1/ingest")
    async def submit(body: SubmitJob) -> Response:
        submitted.append(body)
        if "POST" in answers:
            return _answer(answers["POST"])
        states = jobs.pop("next", None) or [make_job()]
        jobs[states[0].id] = states
        return _view(states[0])

    @app.get("/v1/ingest")
    async def listed(limit: int, request: Request) -> JobList:
        queries.append(request.url.query)
        return JobList(jobs=tuple(states[0] for states in list(jobs.values())[:limit]))

    @app.get("/v1/ingest/{job_id}")
    async def show(job_id: str) -> Response:
        if f"GET {job_id}" in answers:
            return _answer(answers[f"GET {job_id}"])
        return _view(jobs[job_id][0]) if job_id in jobs else _problem(404, f"There is no job '{job_id}'.")

    @app.post("/v1/ingest/{job_id}/cancel")
    async def cancel(job_id: str) -> Response:
        cancelled.append(job_id)
        if f"POST {job_id}/cancel" in answers:
            return _answer(answers[f"POST {job_id}/cancel"])
        if jobs[job_id][0].state.ended:
            return _problem(409, f"The job '{job_id}' is {jobs[job_id][0].state}: nothing was changed.")
        return _view(jobs[job_id][-1])

    @app.api_route("/v1/ingest/{rest:path}", methods=["GET", "POST", "PATCH", "DELETE"])
    async def other(rest: str, request: Request) -> Response:
        body = await request.body()
        what = f"{request.method} {rest}"
        asked.append((what, json.loads(body) if body else None))
        return _answer(answers.get(what, _problem(404, f"There is no '{what}'.")))

    @app.api_route("/v1/repositories{rest:path}", methods=["GET", "DELETE"])
    async def repositories(rest: str, request: Request) -> Response:
        what = f"{request.method} repositories{rest}"
        asked.append((what, None))
        return _answer(answers.get(what, _problem(404, f"There is no '{what}'.")))

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

    assert [submit, listed, show, cancel, other, repositories, feed]
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


def _answer(answer: Any) -> Response:
    match answer:
        case Response():
            return answer
        case JobView():
            return _view(answer)
        case None:
            return Response(status_code=204)
        case _:
            return Response(json.dumps(answer), media_type="application/json")


def _view(job: JobView) -> Response:
    return Response(job.model_dump_json(), media_type="application/json")


def _problem(status: int, detail: str) -> Response:
    problem = Problem(title="No", status=status, detail=detail, code="no")
    return Response(problem.model_dump_json(), status, media_type="application/problem+json")
