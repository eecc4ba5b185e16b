"""Our pipeline as it is deployed: a server, an orchestrator, four steps' hosts with their child processes, REST."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil
from nats.aio.msg import Msg

from chain.figures import STEPS, Phase
from chain.http import Connection
from codestory.bus import Bus
from codestory.bus_settings import BusSettings
from codestory.testing import NatsServer, Processes, executable, free_port, install_steps, wait_until

#: For all of its processes to be there.
START_SECONDS = 300.0
#: For one job. Only a fault takes so long.
JOB_SECONDS = 300.0


class Pipeline:
    """`async with Pipeline("always", slots=8) as pipeline`. Every setting has its default but those named here.

    Not `alive`: the steps are registered, and no worker lives until `start_hosts`."""

    def __init__(self, sync_interval: str = "", *, slots: int, tokens: int = 64, alive: bool = True) -> None:
        self._sync, self._slots, self._tokens, self._alive = sync_interval, slots, tokens, alive
        self._stack = ExitStack()
        self._ended = defaultdict[str, asyncio.Future[float]](asyncio.get_running_loop().create_future)
        self._repositories = 0
        self._processes: dict[str, psutil.Process] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.bus.close()
        await asyncio.to_thread(self._stack.close)

    async def _start(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="codestory-benchmark-"))
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        server = NatsServer(self._sync)
        self._stack.callback(server.close)
        server.start()
        packages = self.directory / "packages"
        packages.mkdir()
        source = Path(__file__).with_name("steps.py").read_text()
        install_steps(packages, "benchmark_steps", source, {name: name.upper() for name in STEPS})
        config = self.directory / "pipeline_config.yml"
        config.write_text("steps:\n" + "".join(f"  - name: {s}\n    concurrency: {self._slots}\n" for s in STEPS))
        self.port = free_port()
        environment = {
            "CODESTORY_NATS_URL": server.url,
            "CODESTORY_PORT": str(self.port),
            "CODESTORY_PIPELINE_CONFIG": str(config),
            "CODESTORY_RESOURCE_MAX_TOKENS": str(self._tokens),
            "PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]),
        }
        self._started = self._stack.enter_context(Processes(environment, self.directory / "log"))
        self.orchestrator = psutil.Process(self._started.start(executable("codestory-orchestrator")).pid)
        [nats] = [one for one in psutil.Process().children() if str(server.directory) in " ".join(one.cmdline())]
        self._processes = {"orchestrator": self.orchestrator, "server": nats}
        if self._alive:
            await self.start_hosts()
        else:
            for step in STEPS:
                self._started.start(executable("codestory-step"), step, "--register")
            await wait_until(self._there, "the steps are registered", START_SECONDS)
        self.bus = Bus(BusSettings(nats_url=server.url), "benchmark")
        await self.bus.connect()
        await self.bus.nc.subscribe(self.bus.subject("live.evt.*.job.ended"), cb=self._heard)

    async def start_hosts(self) -> None:
        for step in STEPS:
            host = self._started.start(executable("codestory-step"), step)
            self._processes[f"host {step}"] = psutil.Process(host.pid)
        self._alive = True
        await wait_until(self._there, "the pipeline is there", START_SECONDS)

    async def _there(self) -> bool:
        if ended := [n for n, one in self._processes.items() if one.status() == psutil.STATUS_ZOMBIE]:
            log = (self.directory / "log").read_text(errors="replace")
            raise RuntimeError(f"{', '.join(ended)} ended by itself: {log[-4000:]}")
        connection = Connection(self.port)
        try:
            answer = await connection.ask("GET", "/v1/ingest/steps")
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            return False
        finally:
            connection.close()
        workers = {step["name"]: step["workers"] for step in answer["steps"]}
        return set(workers) == set(STEPS) and (all(workers.values()) or not self._alive)

    async def _heard(self, msg: Msg) -> None:
        self._ended[msg.subject.split(".")[-3]].set_result(time.perf_counter())

    # what is asked of it

    def repository(self) -> str:
        """A new one for each job: two jobs on one run one after the other."""
        self._repositories += 1
        path = self.directory / "repositories" / f"{self._repositories:06}"
        path.mkdir(parents=True)
        (path / "README.md").write_text("# A repository\n")
        return str(path)

    async def submit(self, connection: Connection, **request: Any) -> str:
        """Id of a job on a repository of its own, unless the request names one."""
        request = request if "repository" in request else {**request, "repository": self.repository()}
        return (await connection.ask("POST", "/v1/ingest", request))["id"]

    async def ended(self, job: str) -> float:
        """When the server told us that it ended."""
        async with asyncio.timeout(JOB_SECONDS):
            when = await self._ended[job]
        del self._ended[job]
        return when

    async def run(self, jobs: int, in_flight: int) -> Phase:
        latencies: list[float] = []
        left = iter(range(jobs))

        async def one_after_the_other() -> None:
            connection = Connection(self.port)
            for _ in left:
                repository = self.repository()
                born = time.perf_counter()
                job = await self.submit(connection, repository=repository)
                latencies.append(await self.ended(job) - born)
            connection.close()

        before, begun = self.cpu(), time.perf_counter()
        await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
        seconds = time.perf_counter() - begun
        cores = {name: round((cpu - before.get(name, 0.0)) / seconds, 3) for name, cpu in self.cpu().items()}
        return Phase(latencies, seconds, cores)

    async def cancels(self, count: int) -> list[float]:
        """Of a job whose first step sleeps in its process."""
        connection = Connection(self.port)
        taken: list[float] = []
        for number in range(count):
            mark = self.directory / f"asleep{number}-{time.monotonic_ns()}"
            job = await self.submit(connection, step_options={"a": {"sleep": str(mark)}})
            await wait_until(lambda mark=mark: _exists(mark), "the step sleeps", JOB_SECONDS)
            asked = time.perf_counter()
            await connection.ask("POST", f"/v1/ingest/{job}/cancel")
            taken.append(await self.ended(job) - asked)
        connection.close()
        return taken

    def cpu(self) -> dict[str, float]:
        """Seconds so far; a step's host with its children, which are many."""
        found: dict[str, float] = {}
        for name, process in self._processes.items():
            family = [process, *process.children(recursive=True)] if name.startswith("host") else [process]
            own = [_cpu(one) for one in family]
            found[name] = own[0]
            if len(own) > 1:
                found[f"children {name[-1]}"] = sum(own[1:])
        return found


def run(main: Coroutine[Any, Any, None]) -> None:
    """Told to end, too, it leaves no process behind."""

    async def ended_by_signal() -> None:
        task = asyncio.current_task()
        assert task
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await main

    asyncio.run(ended_by_signal())


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def _exists(path: Path) -> bool:
    return path.exists()  # noqa: ASYNC240  # a file of our own
