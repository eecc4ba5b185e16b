"""One broker, its orchestrators and workers, and a client that only knows the REST API and the bus."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import nats.js.errors
import pytest

from codestory.bus import Bus, BusSettings, parsed
from codestory.contracts.events import TERMINAL
from codestory.testing import NatsServer, Processes, free_port, install_steps, wait_until

HERE = Path(__file__).parent
STEPS = {name: name.upper() for name in "abcd"}
#: Every interval at a second or less.
FAST = {
    "CODESTORY_ACK_WAIT_SECONDS": "1",
    "CODESTORY_RECONCILE_SECONDS": "0.3",
    "CODESTORY_PRESENCE_SECONDS": "1.5",
    "CODESTORY_CANCEL_GRACE_SECONDS": "1",
    "CODESTORY_NATS_REQUEST_SECONDS": "1",
    "CODESTORY_NATS_PATIENCE_SECONDS": "5",
    "CODESTORY_DISPATCH_LEASE_SECONDS": "1",
    "CODESTORY_DRAIN_SECONDS": "0.2",
    "CODESTORY_PROGRESS_SECONDS": "0.1",
    "CODESTORY_KILL_GRACE_SECONDS": "0.2",
}


class Event(NamedTuple):
    sequence: int
    job: str
    step: str
    kind: str
    body: dict[str, Any]


class World:
    def __init__(self, stack: ExitStack, sync_interval: str, environment: dict[str, str]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="codestory-world-"))
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.server = NatsServer(sync_interval)
        stack.callback(self.server.close)
        self.server.start()
        packages = self.directory / "packages"
        packages.mkdir()
        install_steps(packages, "chaos_steps", (HERE / "steps.py").read_text(), STEPS)
        self.config = self.directory / "pipeline_config.yml"
        self.configure(concurrency=4)
        self.settings = BusSettings(nats_url=self.server.url, namespace="chaos", nats_request_seconds=1, nats_patience_seconds=5)
        python_path = os.pathsep.join([str(packages), str(HERE), os.environ.get("PYTHONPATH", "")])
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
                self.directory / "log",
            )
        )
        self.ports: list[int] = []
        self.repositories = 0

    def configure(self, concurrency: int) -> None:
        steps = "".join(f"  - name: {name}\n    concurrency: {concurrency}\n" for name in STEPS)
        self.config.write_text(f"steps:\n{steps}")

    # processes

    def orchestrator(self, crash_at: str = "", write_log: Path | None = None) -> subprocess.Popen[bytes]:
        port = free_port()
        self.ports.append(port)
        extra = {"CODESTORY_PORT": str(port), "CRASH_AT": crash_at, "WRITE_LOG": str(write_log or "")}
        return self.processes.start(sys.executable, str(HERE / "crashing.py"), "orchestrator", **extra)

    def worker(self, step: str, crash_at: str = "", write_log: Path | None = None, **more: str) -> subprocess.Popen[bytes]:
        extra = {"CRASH_AT": crash_at, "WRITE_LOG": str(write_log or ""), **more}
        return self.processes.start(sys.executable, str(HERE / "crashing.py"), step, **extra)

    async def connect(self) -> None:
        self.bus = Bus(self.settings, "test")
        await self.bus.connect()

    async def close(self) -> None:
        await self.bus.close()

    async def ready(self, *steps: str) -> None:
        """An orchestrator answers, and each of these steps has a living worker."""

        async def there() -> bool:
            answer = await self._ask("GET", "/v1/ingest/steps")
            alive = {step["name"] for step in answer.json()["steps"] if step["workers"]} if answer else set()
            return answer is not None and set(steps) <= alive

        await wait_until(there, f"{steps} alive", 30)

    # the API, of whichever orchestrator answers

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        for port in reversed(self.ports):
            try:
                async with httpx.AsyncClient(trust_env=False, timeout=3) as client:
                    answer = await client.request(method, f"http://127.0.0.1:{port}{path}", **more)
            except httpx.HTTPError:
                continue
            if answer.status_code != 503:
                return answer
        return None

    async def ask(self, method: str, path: str, limit: float = 30, **more: Any) -> httpx.Response:
        answer: httpx.Response | None = None

        async def answered() -> bool:
            nonlocal answer
            answer = await self._ask(method, path, **more)
            return answer is not None

        await wait_until(answered, f"{method} {path} answered", limit)
        assert answer is not None
        return answer

    def repository(self) -> str:
        """A new one each time: two jobs on one repository would run one after the other."""
        self.repositories += 1
        path = self.directory / f"repository{self.repositories}"
        path.mkdir()
        (path / "README.md").write_text("# A repository\n")
        return str(path)

    async def submit(self, *steps: dict[str, Any], priority: str = "default", retries: int = 3, back_off: float = 0.5) -> str:
        """Job id. `steps`: made by `step`; in a chain."""
        retry = {"max_retries": retries, "back_off_seconds": back_off}
        body = {"repository": self.repository(), "priority": priority, "pipeline": {"steps": steps, "retry": retry}}
        answer = await self.ask("POST", "/v1/ingest", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    async def show(self, job: str) -> dict[str, Any]:
        return (await self.ask("GET", f"/v1/ingest/{job}")).json()

    async def cancel(self, job: str) -> httpx.Response:
        return await self.ask("POST", f"/v1/ingest/{job}/cancel")

    async def state(self, job: str, *states: str, limit: float = 20) -> float:
        seen = ""

        async def there() -> bool:
            nonlocal seen
            answer = await self._ask("GET", f"/v1/ingest/{job}")
            seen = answer.json().get("state", "") if answer else seen
            return seen in states

        try:
            return await wait_until(there, f"{job} is {states}", limit)
        except AssertionError as error:
            history = [tuple(event[2:4]) for event in await self.history(job)]
            tail = self.processes.log.read_text()[-3000:]
            raise AssertionError(f"{error}, it is {seen}: {history}\n{tail}") from error

    # the bus

    async def history(self, job: str = "*") -> list[Event]:
        found: list[Event] = []
        sequence, subjects = 1, self.bus.subject("evt", job, ">")
        while True:
            try:
                message = await self.bus.js.get_msg(self.bus.stream("EVENTS"), sequence, subjects, next=True)
            except nats.js.errors.NotFoundError:
                return found
            *_, job_id, step, kind = (message.subject or "").split(".")
            found.append(Event(message.seq or 0, job_id, step, kind, parsed(message.data or b"")))
            sequence = (message.seq or 0) + 1

    async def event(self, job: str, step: str, kind: str, count: int = 1, limit: float = 20) -> float:
        async def there() -> bool:
            return sum((e.step, e.kind) == (step, kind) for e in await self.history(job)) >= count

        try:
            return await wait_until(there, f"{count} {kind} of {job}.{step}", limit)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.processes.log.read_text()[-3000:]}") from error

    async def settled(self, limit: float = 20) -> float:
        async def empty() -> bool:
            infos = [await self.bus.js.stream_info(self.bus.stream(s)) for s in ("READY", "RUN")]
            return not any(info.state.messages for info in infos)

        return await wait_until(empty, "READY and RUN are empty", limit)

    async def sound(self, *jobs: str) -> None:
        """Each job ended once; each attempt has one terminal event; each step completed at most once; nothing is left."""
        for job in jobs:
            await self.event(job, "job", "ended")
            history = await self.history(job)
            assert [e.body["run"] for e in history if e.kind == "ended"] == [1], history
            ends = Counter((e.step, e.body["attempt"]) for e in history if e.kind in TERMINAL)
            assert set(ends.values()) <= {1}, (job, ends)
            done = Counter(e.step for e in history if e.kind == "completed")
            assert set(done.values()) <= {1}, (job, done)
        await self.settled()


def step(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "options": options}


@pytest.fixture
def plan() -> Callable[..., dict[str, Any]]:
    """`plan("a", seconds=1)`: a step of a job, with the options that say how it behaves."""
    return step


class Worlds:
    """Makes worlds, and ends them. `async with worlds(...)` where a test needs more than one."""

    def __call__(self, sync_interval: str = "", **environment: str) -> "_Open":
        return _Open(sync_interval, environment)


class _Open:
    def __init__(self, sync_interval: str, environment: dict[str, str]) -> None:
        self.sync_interval, self.environment = sync_interval, environment

    async def __aenter__(self) -> World:
        self.stack = ExitStack()
        self.world = World(self.stack, self.sync_interval, self.environment)
        await self.world.connect()
        return self.world

    async def __aexit__(self, *_: object) -> None:
        await self.world.close()
        await asyncio.to_thread(self.stack.close)


@pytest.fixture
def worlds() -> Worlds:
    return Worlds()


