"""A small Compose project that looks like Code Story's: two services that read repositories, one with a port."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from codestory.containers.auto_mount import AutoMount
from codestory.containers.settings import ContainersSettings
from codestory.testing import executable, free_port

SERVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{}')
    def log_message(self, *_): pass
HTTPServer(('', 8420), Handler).serve_forever()
"""
ASK = "import urllib.request as r; r.urlopen('http://127.0.0.1:8420/readyz', timeout=5)"
#: A repository of this name makes a step ill.
SICK = "import os, sys; sys.exit(os.path.exists('/repositories/sick'))"
#: Many retries: on a loaded machine a program may take seconds to start.
HEALTH = "interval: 1s, timeout: 60s, start_period: 1s"
COMPOSE = f"""\
x-reader: &reader
  image: python:3.13-slim
  user: "10001:10001"
  init: true
  read_only: true
  stop_grace_period: 5s
  labels: {{org.codestory.reads-repositories: "true"}}
  volumes: ["${{REPOSITORY_SOURCE:-./repositories}}:/repositories:ro"]
services:
  orchestrator:
    <<: *reader
    command: [python, -S, -c, {SERVER!r}]
    ports: ["127.0.0.1:${{CODESTORY_PORT:-8420}}:8420"]
    healthcheck: {{test: [CMD, python, -S, -c, {ASK!r}], {HEALTH}, retries: 60}}
  filesystem:
    <<: *reader
    command: [python, -S, -c, "import signal; signal.pause()"]
    healthcheck: {{test: [CMD, python, -S, -c, {SICK!r}], {HEALTH}, retries: 2}}
  graph:
    image: python:3.13-slim
    init: true
    command: [python, -S, -c, "import signal; signal.pause()"]
"""


class SmallProject:
    """In `folder`, under a name and a port of its own. Its variables are in .env, as a user has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"mounts-{uuid.uuid4().hex[:10]}"
        self.port = free_port()
        self._used: list[AutoMount] = []
        folder.mkdir()
        (folder / "repositories").mkdir()
        (folder / "compose.yaml").write_text(COMPOSE)
        (folder / ".env").write_text(f"COMPOSE_PROJECT_NAME={self.name}\nCODESTORY_PORT={self.port}\n")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def override(self) -> Path:
        return self.folder / "compose.override.yaml"

    def compose(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        ended = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=self.folder,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def up(self, *arguments: str) -> None:
        self.compose("up", "--detach", "--wait", *arguments)

    def down(self) -> None:
        for mounting in self._used:
            mounting.close()
        self.compose("down", "--volumes", "--timeout", "2", "--remove-orphans")

    def containers(self) -> dict[str, str]:
        """The id of each, by name."""
        lines = self.compose("ps", "--format", "{{.Name}} {{.ID}}").split("\n")
        return dict(line.removeprefix(f"{self.name}-").split() for line in lines if line)

    def names(self, service: str, path: str) -> list[str]:
        """What a container sees in a folder."""
        return self.compose("exec", "-T", service, "ls", "-A", path).split()

    def refused(self, service: str, command: str) -> str:
        """What a container's shell says of a command that fails."""
        command_line = ["docker", "compose", "exec", "-T", service, "sh", "-c", command]
        ended = subprocess.run(command_line, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode != 0
        return ended.stderr.lower()

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """One `codestory` command."""
        return subprocess.run(
            [executable("codestory"), *arguments],
            cwd=self.folder.parent,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "CODESTORY_URL": self.url, "CODESTORY_STATE_DIR": str(self.folder / "state"), **more}

    def mounting(self, **more: Any) -> AutoMount:
        """Closed with the project."""
        settings = ContainersSettings(mount_seconds=150, mount_settle_seconds=0.5)
        self._used.append(AutoMount(self.url, settings=settings, **more))
        return self._used[-1]


def _made(folder: Path) -> SmallProject:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no Docker engine answers: start one, then `make test-compose`")
    return SmallProject(folder)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[SmallProject]:
    """Not up yet. Nothing of it stays."""
    made = _made(tmp_path / "stack")
    try:
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallProject]:
    """Up, the same for all tests of a module: each mounts a repository of its own."""
    made = _made(tmp_path_factory.mktemp("running") / "stack")
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Path]:
    """Makes a repository that anybody may read, and that no container sees yet."""

    def making(name: str = "flask", below: str = "src") -> Path:
        folder = tmp_path / below / name
        folder.mkdir(parents=True)
        (folder / "app.py").write_text("import flask\n")
        folder.chmod(0o755)
        return folder

    return making
