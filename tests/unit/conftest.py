"""What tests of the ways in share: a real server for an application of the test's own, and jobs to show."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from codestory.contracts.api import JobView


@pytest.fixture
def serve() -> Iterator[Callable[[FastAPI], str]]:
    """Serves an application on a free loopback port for the length of a test; gives its address."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(served(app))


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    config = uvicorn.Config(
        app, port=0, log_level="critical", ws="websockets-sansio", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        socket.close()


@pytest.fixture
def make_job() -> Callable[..., JobView]:
    """A job of two steps, the second of which runs; keywords change it."""

    def make(**changes: Any) -> JobView:
        at = datetime(2024, 5, 1, 12, tzinfo=UTC)
        job: dict[str, Any] = {
            "id": "job1",
            "repository": {"id": "r1", "name": "flask", "path": "/srv/flask"},
            "state": "RUNNING",
            "priority": "default",
            "run": 1,
            "created_at": at,
            "started_at": at,
            "complete": False,
            "gaps": 0,
            "steps": [
                step("filesystem", "COMPLETED", started_at=at, ended_at=at.replace(second=2)),
                step("documentation_grapher", "RUNNING", started_at=at.replace(second=2)),
            ],
        }
        return JobView.model_validate(job | changes)

    return make


@pytest.fixture
def make_step() -> Callable[..., dict[str, Any]]:
    return step


def step(name: str = "filesystem", state: str = "RUNNING", **changes: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "attempt": 1, "retries": 0, "max_retries": 3} | changes
