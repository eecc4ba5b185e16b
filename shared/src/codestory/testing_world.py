"""A whole pipeline of real processes around one broker, for tests that kill, stop and wipe its parts.

What a test asks goes through the REST API, what it checks is read from the bus."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from codestory.bus import parsed
from codestory.bus_settings import BusSettings
from codestory.testing import NatsServer, Processes, free_port, install_steps, wait_until
from codestory.testing_bus import LIMIT, Watched

#: Steps of `steps.py` in the folder of scripts.
STEPS = {name: name.upper() for name in "abcd"}
#: Every interval at two seconds or less. Shorter ones would make a busy machine look like a dead worker.
FAST = {
    "CODESTORY_ACK_WAIT_SECONDS": "2",
    "CODESTORY_RECONCILE_SECONDS": "0.3",
    "CODESTORY_PRESENCE_SECONDS": "2",
    "CODESTORY_CANCEL_GRACE_SECONDS": "2",
    "CODESTORY_QUEUE_ENTRY_SECONDS": "2",
    "CODESTORY_NATS_REQUEST_SECONDS": "2",
    "CODESTORY_NATS_PATIENCE_SECONDS": "10",
    "CODESTORY_DISPATCH_LEASE_SECONDS": "1",
    "CODESTORY_DRAIN_SECONDS": "0.2",
    "CODESTORY_PROGRESS_SECONDS": "0.1",
    "CODESTORY_KILL_GRACE_SECONDS": "0.2",
}
#: A metric that is told only of what there is at this moment.
PASSING = "ingest_queue_commands"
#: An orchestrator that has lost its bus, or has none yet, says so.
UNAVAILABLE = 503

Process = subprocess.Popen[bytes]
#: One step of a job's plan, as the API takes it.
Plan = dict[str, Any]


def plan(name: str, **options: Any) -> Plan:
    """One step of a job, with the options that say how it behaves. In `of_step`: what is no option of its own."""
    of_step = options.pop("of_step", {})
    return {"name": name, "options": options, **of_step}


class Gate:
    """A file that a step waits for, or makes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.path = str(path)

    def open(self) -> None:
        self._path.touch()

    def close(self) -> None:
        self._path.unlink()

    async def opened(self) -> str:
        """What stands in it, once it is there."""

        async def there() -> bool:
            return self._path.exists()

        await wait_until(there, f"{self.path} is there", LIMIT)
        return self._path.read_text()


class World(Watched):
    """One broker, its orchestrators and workers. `scripts`: the folder that has `steps.py` and `crashing.py`."""

    def __init__(self, scripts: Path, stack: ExitStack, sync_interval: str, environment: dict[str, str]) -> None:
        self.scripts = scripts
        self.directory = Path(tempfile.mkdtemp(prefix="codestory-world-"))
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.server = NatsServer(sync_interval)
        stack.callback(self.server.close)
        self.server.start()
        packages = self.directory / "packages"
        packages.mkdir()
        install_steps(packages, "chaos_steps", (scripts / "steps.py").read_text(), STEPS)
        self.config = self.directory / "pipeline_config.yml"
        self.configure(concurrency=4)
        settings = BusSettings(
            nats_url=self.server.url, namespace="chaos", nats_request_seconds=2, nats_patience_seconds=10
        )
        super().__init__(settings, self.directory / "log")
        python_path = os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])
        self.processes = stack.enter_context(
            Processes(
                {
                    **FAST,
                    "CODESTORY_NATS_URL": self.server.url,
                    "CODESTORY_NAMESPACE": "chaos",
                    "CODESTORY_PIPELINE_CONFIG": str(self.config),
                    "CODESTORY_RESOURCE_MAX_TOKENS": "5",
                    "PYTHONPATH": python_path,
                    **environment,
                },
                self.log,
            )
        )
        stack.callback(self._kill_stopped)  # before the hosts: a stopped child cannot see that its host is gone
        self.ports: list[int] = []
        #: Where workers serve their metrics: those that were started with a CODESTORY_PROBE_PORT.
        self.probes: list[int] = []
        self.started: list[Process] = []
        self.submitted: list[str] = []
        self._stopped: list[psutil.Process] = []
        self._hooks: dict[int, Path] = {}
        self._repositories = 0

    def configure(self, concurrency: int) -> None:
        steps = "".join(f"  - name: {name}\n    concurrency: {concurrency}\n" for name in STEPS)
        self.config.write_text(f"steps:\n{steps}")

    # processes

    def orchestrator(self, point: str = "") -> Process:
        """`point`: see `arm`."""
        port = free_port()
        self.ports.append(port)
        return self._start("orchestrator", point, CODESTORY_PORT=str(port))

    def worker(self, step: str, point: str = "", **environment: str) -> Process:
        if port := environment.get("CODESTORY_PROBE_PORT"):
            self.probes.append(int(port))
        return self._start(step, point, **environment)

    async def register(self, step: str) -> None:
        """It exists, though no worker of it lives."""
        await self.dead(self._start(step, "", "--register"))
        await self.known(step)

    def _start(self, what: str, point: str, *arguments: str, **environment: str) -> Process:
        hook = Path(tempfile.mkdtemp(prefix="hook-", dir=self.directory))
        (hook / "point").write_text(point)
        started = self.processes.start(
            sys.executable, str(self.scripts / "crashing.py"), what, *arguments, CHAOS_HOOK=str(hook), **environment
        )
        self._hooks[started.pid] = hook
        self.started.append(started)
        return started

    def arm(self, process: Process, point: str) -> None:
        """From now on count its writes, and let it die just before this one: `record#2`, the second of that name.

        `stop record#2`: stop there, as if the machine had paused."""
        hook = self._hooks[process.pid]
        (hook / "next").write_text(point)
        (hook / "next").replace(hook / "point")

    def writes(self, process: Process) -> list[str]:
        """What it has written since it was armed, or started."""
        log = self._hooks[process.pid] / "log"
        return log.read_text().split() if log.exists() else []

    async def wrote(self, process: Process, name: str) -> None:
        async def there() -> bool:
            return name in self.writes(process)

        await self.until(there, f"{process.args} has written {name}")

    def gate(self) -> Gate:
        """What a step may wait for: `plan("a", gate=gate.path)`, then `gate.open()`."""
        return Gate(self._new("gate"))

    def _new(self, what: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{what}-", dir=self.directory)) / what

    async def ended_attempts(self, worker: Process) -> list[dict[str, Any]]:
        """What this worker says at the end of each attempt, once it has ended one. Fenced ones are told only there."""
        lines: list[dict[str, Any]] = []

        async def there() -> bool:
            lines[:] = [
                line
                for line in map(parsed, self.log.read_bytes().splitlines())
                if line.get("event") == "step.ended" and f"-{worker.pid}-" in line.get("worker", "")
            ]
            return bool(lines)

        await self.until(there, "an attempt has ended")
        return lines

    async def dead(self, process: Process, limit: float = LIMIT) -> None:
        async def ended() -> bool:
            return process.poll() is not None

        await self.until(ended, f"{process.args} has ended", limit)

    async def paused(self, process: Process) -> None:
        """It has stopped, by its own hand."""

        async def still() -> bool:
            return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED

        await self.until(still, "it has stopped")

    def stop(self, process: Process, *, children: bool = False) -> None:
        """As if its machine had paused; `children`: those of a host too."""
        itself = psutil.Process(process.pid)
        for one in [itself, *(itself.children(recursive=True) if children else [])]:
            self._stopped.append(one)
            one.suspend()

    def resume(self, process: Process) -> None:
        process.send_signal(signal.SIGCONT)
        for one in self._stopped:
            with suppress(psutil.Error):
                one.resume()

    def _kill_stopped(self) -> None:
        for one in self._stopped:
            with suppress(psutil.Error):
                one.kill()

    async def ready(self, *steps: str) -> None:
        """An orchestrator answers, and each of these steps has a living worker."""

        async def there() -> bool:
            assert not self._broken(), "a process has ended by itself"
            known = await self._steps()
            return known is not None and set(steps) <= {name for name, workers in known.items() if workers}

        await self.until(there, f"{steps} alive")

    def _broken(self) -> bool:
        return any(process.poll() == 1 for process in self.started)

    async def known(self, step: str) -> None:
        async def there() -> bool:
            return step in (await self._steps() or {})

        await self.until(there, f"{step} known")

    async def known_to_all(self, step: str) -> None:
        """Every orchestrator that was started answers, and knows this step."""

        async def there() -> bool:
            told = [await self._steps(port) for port in self.ports]
            return all(step in (steps or {}) for steps in told)

        await self.until(there, f"{step} known to all")

    async def _steps(self, *ports: int) -> dict[str, int] | None:
        """Living workers by step; None while no orchestrator answers, or none at these ports."""
        answer = await self._ask("GET", "/v1/ingest/steps", ports=ports)
        if answer is None or not answer.is_success:
            return None
        return {step["name"]: step["workers"] for step in answer.json()["steps"]}

    # the API, of whichever orchestrator answers

    async def _ask(self, method: str, path: str, *, ports: Sequence[int] = (), **more: Any) -> httpx.Response | None:
        for port in ports or reversed(self.ports):
            try:
                async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                    answer = await client.request(method, f"http://127.0.0.1:{port}{path}", **more)
            except httpx.HTTPError:
                continue
            if answer.status_code != UNAVAILABLE:
                return answer
        return None

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer: httpx.Response | None = None

        async def answered() -> bool:
            nonlocal answer
            answer = await self._ask(method, path, **more)
            return answer is not None

        await self.until(answered, f"{method} {path} answered")
        assert answer is not None
        return answer

    def repository(self) -> str:
        """A new one each time: two jobs on one repository run one after the other."""
        self._repositories += 1
        path = self.directory / f"repository{self._repositories}"
        path.mkdir()
        (path / "README.md").write_text("# A repository\n")
        return str(path)

    async def submit(
        self,
        *steps: Plan,
        priority: str = "default",
        retries: int = 3,
        back_off: float = 0.5,
        repository: str = "",
        **fields: Any,
    ) -> str:
        """Job id. `steps`: made by `plan`; in a chain. `fields`: others of SubmitJob."""
        body = {
            **fields,
            "repository": repository or self.repository(),
            "priority": priority,
            "pipeline": {"steps": steps, "retry": {"max_retries": retries, "back_off_seconds": back_off}},
        }
        answer = await self.ask("POST", "/v1/ingest", json=body)
        assert answer.is_success, answer.text
        job: str = answer.json()["id"]
        self.submitted.append(job)
        return job

    async def hold_all_tokens(self) -> tuple[Gate, list[str]]:
        """Jobs that run until the gate opens, as many as may. Four of a and the rest of b."""
        gate = self.gate()
        tokens = int(self.processes.environment["CODESTORY_RESOURCE_MAX_TOKENS"])
        holders = {await self.submit(plan("ab"[i >= 4], gate=gate.path)): "ab"[i >= 4] for i in range(tokens)}
        for job, step in holders.items():
            await self.event(job, step, "started")
        return gate, list(holders)

    async def series(self) -> set[str]:
        """Name and labels of all that its processes count. What a queue holds at this moment is left out: it is told of
        those steps and priorities in which something waits."""
        found = set[str]()
        for port in (*self.ports, *self.probes):
            async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            lines = (line for line in text.splitlines() if line and not line.startswith("#"))
            found |= {f"{port} {line.rpartition(' ')[0]}" for line in lines if not line.startswith(PASSING)}
        return found

    async def show(self, job: str) -> dict[str, Any]:
        return (await self.ask("GET", f"/v1/ingest/{job}")).json()

    async def step_of(self, job: str, name: str) -> dict[str, Any]:
        return next(step for step in (await self.show(job))["steps"] if step["name"] == name)

    async def step_state(self, job: str, name: str, state: str) -> float:
        async def there() -> bool:
            return (await self.step_of(job, name))["state"] == state

        return await self.until(there, f"{job}.{name} is {state}")

    async def jobs_on(self, repository: str) -> list[str]:
        """A request sent again, because no answer came, may have made more than one."""
        jobs = (await self.ask("GET", "/v1/ingest?limit=200")).json()["jobs"]
        return [job["id"] for job in jobs if job["repository"]["path"] == repository]

    async def cancel(self, job: str) -> httpx.Response:
        return await self.verb(job, "cancel")

    async def verb(self, job: str, verb: str, **body: Any) -> httpx.Response:
        """cancel, stop, resume or retry."""
        return await self.ask("POST", f"/v1/ingest/{job}/{verb}", **({"json": body} if body else {}))

    async def state(self, job: str, *states: str, limit: float = LIMIT) -> float:
        seen = ""

        async def there() -> bool:
            nonlocal seen
            answer = await self._ask("GET", f"/v1/ingest/{job}")
            seen = answer.json().get("state", "") if answer else seen
            return seen in states

        try:
            return await wait_until(there, f"{job} is {states}", limit)
        except AssertionError as error:
            history = [(*event[2:4], event.body.get("attempt")) for event in await self.history(job)]
            raise AssertionError(f"{error}, it is {seen}: {history}\n{self.told()}") from error


class Worlds:
    """Makes worlds, and ends them: `async with worlds(CODESTORY_…=…) as world`."""

    def __init__(self, scripts: Path) -> None:
        self.scripts = scripts

    def __call__(self, sync_interval: str = "", **environment: str) -> "OpenWorld":
        return OpenWorld(self.scripts, sync_interval, environment)


class OpenWorld:
    def __init__(self, scripts: Path, sync_interval: str, environment: dict[str, str]) -> None:
        self._of = scripts, sync_interval, environment

    async def __aenter__(self) -> World:
        self._stack = ExitStack()
        scripts, sync_interval, environment = self._of
        try:
            self._world = World(scripts, self._stack, sync_interval, environment)
            await self._world.connect()
        except BaseException:
            self._stack.close()
            raise
        return self._world

    async def __aexit__(self, *_: object) -> None:
        await self._world.close()
        await asyncio.to_thread(self._stack.close)
        await self._all_gone()

    async def _all_gone(self) -> None:
        """Children end when their host is gone; one that does not is a fault of the product, and is ended here."""

        async def gone() -> bool:
            return not _processes_of(self._world.directory)

        try:
            await wait_until(gone, "no process of this world is left", LIMIT)
        finally:
            for process in _processes_of(self._world.directory):
                process.kill()


def _processes_of(directory: Path) -> list[psutil.Process]:
    """Those that were started with a package folder below it."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = str(directory) in process.environ().get("PYTHONPATH", "")
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
