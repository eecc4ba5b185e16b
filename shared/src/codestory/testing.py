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
from pathlib import Path
from typing import Any, Self

NATS_SERVER = "nats-server"


async def wait_until(true: Callable[[], Awaitable[bool]], what: str, limit: float = 20) -> float:
    """Poll until it is true; the seconds it took. A test that would sleep waits for what it is after instead."""
    start = time.monotonic()
    while time.monotonic() - start < limit:
        if await true():
            return time.monotonic() - start
        await asyncio.sleep(0.03)
    raise AssertionError(f"not within {limit} s: {what}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def executable(name: str) -> str:
    """A program of this environment, or of the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise AssertionError(f"{name} is not installed: run `make test`, which installs it")
    return found


class NatsServer:
    """A nats-server with JetStream on a free port and a folder of its own. `users`: a configuration that names them."""

    def __init__(self, sync_interval: str = "", users: Path | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="codestory-nats-"))
        self.port = free_port()
        self._sync = f", sync_interval: {sync_interval}" if sync_interval else ""
        self._include = f'include "{os.path.relpath(users, self.directory)}"\n' if users else ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.directory / "nats.conf"
        store = self.directory / "js"
        jetstream = f'jetstream {{ store_dir: "{store}"{self._sync} }}'
        config.write_text(f"listen: 127.0.0.1:{self.port}\n{jetstream}\n{self._include}")
        with (self.directory / "log").open("ab") as output:
            self._process = subprocess.Popen([executable(NATS_SERVER), "-c", str(config)], stderr=output)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 0.2) as connection:
                    if connection.recv(4) == b"INFO":
                        return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"nats-server does not start: {(self.directory / 'log').read_text()[-2000:]}")

    def reload(self) -> None:
        """Its configuration has changed."""
        assert self._process
        self._process.send_signal(signal.SIGHUP)

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def wipe(self) -> None:
        """As if its volume had been lost. Not while it runs."""
        shutil.rmtree(self.directory / "js", ignore_errors=True)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


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
