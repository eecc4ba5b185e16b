"""Celery 5 on Redis, in an environment of its own: it is not among our dependencies."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil

from chain.figures import STEPS, Phase
from codestory.testing import Processes, free_port

#: Where Celery is looked for, unless the caller says otherwise.
HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codestory-benchmark" / "celery"
START_SECONDS = 60.0
PHASE_SECONDS = 300.0


def missing(home: Path) -> str:
    """What is to be done before Celery can be measured; empty: nothing."""
    wanted: list[str] = []
    if not (home / "bin" / "celery").exists():
        wanted.append(f"python3 -m venv {home} && {home}/bin/pip install 'celery[redis]>=5,<6'")
    if not shutil.which("redis-server"):
        wanted.append("sudo apt-get install -y redis-server   (elsewhere: Redis 7 on the path)")
    return "\n".join(wanted)


class Celery:
    """Four workers, one for each step's queue, with `pool` solo or prefork and one process each.

    `fsync` is Redis's appendfsync: everysec is more often than NATS's default of two minutes."""

    def __init__(self, home: Path, pool: str, fsync: str = "everysec") -> None:
        self._home, self._pool, self._fsync = home, pool, fsync
        self._stack = ExitStack()
        self._processes: dict[str, psutil.Process] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._stack.close)

    async def _start(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="codestory-benchmark-celery-"))
        self._stack.callback(shutil.rmtree, directory, ignore_errors=True)
        port = free_port()
        environment = {
            "CHAIN_REDIS": f"redis://127.0.0.1:{port}",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        self._log = directory / "log"
        processes = self._stack.enter_context(Processes(environment, self._log))
        kept = ("--appendonly", "yes", "--appendfsync", self._fsync, "--save", "")
        redis = processes.start("redis-server", "--port", str(port), "--dir", str(directory), *kept)
        worker = (str(self._home / "bin" / "celery"), "-A", "chain.celery_tasks", "worker", "-P", self._pool, "-c1")
        quiet = ("--without-gossip", "--without-mingle", "-lERROR")
        workers = {step: processes.start(*worker, *quiet, "-Q", step, "-n", step) for step in STEPS}
        self._processes = {"redis": psutil.Process(redis.pid)}
        self._processes |= {f"worker {step}": psutil.Process(one.pid) for step, one in workers.items()}
        self._client = subprocess.Popen(  # noqa: ASYNC220  # a start, once
            [str(self._home / "bin" / "python"), "-m", "chain.celery_client"],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(self._end_client)
        ready = await self._line(START_SECONDS)
        if ready != "ready\n":
            raise RuntimeError(f"Celery does not start: {self._log.read_text(errors='replace')[-4000:]}")

    def _end_client(self) -> None:
        self._client.kill()
        self._client.wait()

    async def _line(self, limit: float) -> str:
        assert self._client.stdout
        async with asyncio.timeout(limit):
            return await asyncio.to_thread(self._client.stdout.readline)

    async def _ask(self, *words: str | int) -> Any:
        assert self._client.stdin
        self._client.stdin.write(json.dumps(words) + "\n")
        self._client.stdin.flush()
        if line := await self._line(PHASE_SECONDS):
            return json.loads(line)
        raise RuntimeError(f"Celery's client has ended: {self._log.read_text(errors='replace')[-4000:]}")

    async def run(self, jobs: int, in_flight: int) -> Phase:
        before, begun = self.cpu(), time.perf_counter()
        said = await self._ask("run", jobs, in_flight)
        seconds = time.perf_counter() - begun
        cores = {name: round((cpu - before.get(name, 0.0)) / seconds, 3) for name, cpu in self.cpu().items()}
        return Phase(said["latencies"], said["seconds"], cores)

    async def cancels(self, count: int) -> list[float]:
        """A worker without a process of its own for the task cannot kill it."""
        return await self._ask("cancels", count) if self._pool == "prefork" else []

    def cpu(self) -> dict[str, float]:
        """Seconds so far, children included."""
        found: dict[str, float] = {}
        for name, process in self._processes.items():
            times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
            found[name] = sum(each.user + each.system for each in times)
        return found
