"""Real servers, real processes and ways to wait for them, for our tests and for those of a step's author."""

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from codestory.local import ports

if TYPE_CHECKING:
    from codestory import testing_containers

NATS_SERVER = "nats-server"
#: Chooses where the servers of tests run.
SERVERS = "CODESTORY_TEST_SERVERS"
#: A container's first start takes most of a second, more on a busy machine.
START_SECONDS = 30


async def wait_until(true: Callable[[], Awaitable[bool]], what: str, limit: float = 20) -> float:
    """Poll until it is true; the seconds it took. A test that would sleep waits for what it is after instead."""
    start = time.monotonic()
    while time.monotonic() - start < limit:
        if await true():
            return time.monotonic() - start
        await asyncio.sleep(0.03)
    raise AssertionError(f"not within {limit} s: {what}")


def free_port() -> int:
    with ExitStack() as held:
        port = ports.hold_free(held)
    assert port
    return port


def executable(name: str) -> str:
    """A program of this environment, or of the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise AssertionError(f"{name} is not installed: run `make test`, which installs it")
    return found


class NatsServer:
    """A nats-server with JetStream on a free port, its data its own. `users`: a configuration that names them.

    A process of this machine, or a container: see `servers_in_containers`."""

    def __init__(self, sync_interval: str = "", users: Path | None = None) -> None:
        in_container = servers_in_containers()
        self.directory = Path(tempfile.mkdtemp(prefix="codestory-nats-"))
        self.port = free_port()
        self._runs = _nats_container(self.port) if in_container else NatsProcess(self.directory, self.port)
        self._sync = f", sync_interval: {sync_interval}" if sync_interval else ""
        self._users = users

    @property
    def url(self) -> str:
        return f"nats://{self._runs.host}:{self.port}"

    def start(self) -> None:
        self._runs.start(self._sync, self._users)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection((self._runs.host, self.port), 0.2) as connection:
                if connection.recv(4) == b"INFO":
                    return
            time.sleep(0.02)
        raise AssertionError(f"nats-server does not start: {self.log()[-2000:]}")

    def reload(self) -> None:
        """Its configuration has changed."""
        self._runs.reload(self._users)

    def log(self) -> str:
        return self._runs.log()

    def kill(self) -> None:
        self._runs.kill()

    def wipe(self) -> None:
        """As if its volume had been lost. Not while it runs."""
        self._runs.wipe()

    def close(self) -> None:
        self._runs.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def servers_in_containers() -> bool:
    """What CODESTORY_TEST_SERVERS says: `containers`, or `local`, which is also what it means when it is not set."""
    chosen = os.environ.get(SERVERS) or "local"
    if chosen not in {"local", "containers"}:
        raise AssertionError(f"{SERVERS}={chosen}: say containers, or local")
    return chosen == "containers"


def _nats_container(port: int) -> "testing_containers.NatsContainer":
    try:
        from codestory.testing_containers import NatsContainer  # noqa: PLC0415 - an extra of its own
    except ImportError as error:
        raise AssertionError(
            f"{SERVERS}=containers needs the package testcontainers, which is not installed"
        ) from error
    return NatsContainer(port)


class NatsProcess:
    """The server as a process of this machine."""

    host = "127.0.0.1"

    def __init__(self, directory: Path, port: int) -> None:
        self._directory, self._port = directory, port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, sync: str, users: Path | None) -> None:
        config = self._directory / "nats.conf"
        include = f'include "{os.path.relpath(users, self._directory)}"\n' if users else ""
        jetstream = f'jetstream {{ store_dir: "{self._directory / "js"}"{sync} }}'
        config.write_text(f"listen: {self.host}:{self._port}\n{jetstream}\n{include}")
        with (self._directory / "log").open("ab") as output:
            self._process = subprocess.Popen([executable(NATS_SERVER), "-c", str(config)], stderr=output)

    def reload(self, _: Path | None) -> None:
        assert self._process
        self._process.send_signal(signal.SIGHUP)

    def log(self) -> str:
        return (self._directory / "log").read_text(errors="replace")

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def wipe(self) -> None:
        shutil.rmtree(self._directory / "js", ignore_errors=True)

    def close(self) -> None:
        self.kill()


class Processes:
    """Children of a test. All of them, and their groups, are gone when it ends."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.environment, self.log = environment, log
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._all.append(process)
        return process

    def close(self) -> None:
        for process in self._all:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EmbeddedStack:
    """The embedded stack as a user has it: started by `codestory`, with a state directory of its own.

    What lies in `packages` is installed for it: `install_steps`, or `uv pip install --target`. `start` again, and the
    services of steps that are new there start too."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory, self.packages = directory, directory / "packages"
        self.packages.mkdir()
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CODESTORY_")}
        python_path = os.pathsep.join(filter(None, [str(self.packages), outside.get("PYTHONPATH")]))
        state = {"CODESTORY_STATE_DIR": str(directory / "state"), "PYTHONPATH": python_path}
        self.environment = {**outside, **state, **settings}

    def run(self, *arguments: str, limit: float = 170) -> subprocess.CompletedProcess[str]:
        """One `codestory` command, away from any pipeline_config.yml but its own."""
        return subprocess.run(
            [executable("codestory"), *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def answer(self, *arguments: str) -> Any:
        """What a command that must succeed says with `--json`."""
        ran = self.run(*arguments, "--json")
        if ran.returncode:
            raise AssertionError(f"codestory {' '.join(arguments)} ended with {ran.returncode}: {ran.stderr[-4000:]}")
        return json.loads(ran.stdout)

    def start(self) -> str:
        """The address of its REST API."""
        return self.answer("service", "start")["url"]

    def stop(self) -> None:
        self.answer("service", "stop")


def install_steps(directory: Path, module: str, source: str, steps: dict[str, str]) -> None:
    """Make a package of steps that a process with `directory` on its PYTHONPATH finds. Nothing is built or installed.

    `steps`: name of each step to its class in `source`."""
    (directory / f"{module}.py").write_text(source)
    metadata = directory / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    entries = "\n".join(f"{name} = {module}:{cls}" for name, cls in steps.items())
    (metadata / "entry_points.txt").write_text(f"[codestory.pipeline.steps]\n{entries}\n")


def has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
