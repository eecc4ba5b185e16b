"""What tests of the ways in share: a real server for an application of the test's own, and jobs to show."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from codestory.contracts.api import JobView


class Swapped:
    """Whichever application the running test serves: a server for each would cost each test 0.2 s."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[str, Swapped]]:
    """A real HTTP and WebSocket server on a free loopback port."""
    swapped = Swapped(FastAPI())
    config = uvicorn.Config(
        swapped, port=0, log_level="critical", ws="websockets-sansio", lifespan="off", timeout_graceful_shutdown=1
    )
    running = uvicorn.Server(config)
    socket = config.bind_socket()
    socket.listen()  # A test may ask before the thread does this.
    thread = threading.Thread(target=running.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}", swapped
    finally:
        running.should_exit = True
        thread.join(10)
        socket.close()


@pytest.fixture
def serve(server: tuple[str, Swapped]) -> Callable[[FastAPI], str]:
    """Serves an application for the length of a test; gives its address."""

    def serving(app: FastAPI) -> str:
        server[1].app = app
        return server[0]

    return serving


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
