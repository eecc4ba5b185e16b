"""A whole pipeline of real processes around one broker, for tests that kill, stop and wipe its parts.

What a test asks goes through the REST API, what it checks is read from the bus."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import nats.js.errors
import psutil
from nats.aio.msg import Msg

from codestory.bus import LOST, ORCHESTRATOR, Bus, BusSettings, Puller, parsed
from codestory.contracts.events import TERMINAL, StepStarted
from codestory.contracts.values import now
from codestory.testing import NatsServer, Processes, free_port, install_steps, wait_until

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
#: For what must happen, however busy the machine is. Nothing waits so long when all is well.
LIMIT = 60.0
#: An orchestrator that has lost its bus, or has none yet, says so.
UNAVAILABLE = 503

Process = subprocess.Popen[bytes]
#: One step of a job's plan, as the API takes it.
Plan = dict[str, Any]


class Event(NamedTuple):
    sequence: int
    job: str
    step: str
    kind: str
    body: dict[str, Any]


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


class World:
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
        self.settings = BusSettings(
            nats_url=self.server.url, namespace="chaos", nats_request_seconds=2, nats_patience_seconds=10
        )
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
                self.directory / "log",
            )
        )
        stack.callback(self._kill_stopped)  # before the hosts: a stopped child cannot see that its host is gone
        self.ports: list[int] = []
        self.submitted: list[str] = []
        self._stopped: list[psutil.Process] = []
        self._hooks: dict[int, Path] = {}
        self._repositories = 0

    def configure(self, concurrency: int) -> None:
        steps = "".join(f"  - name: {name}\n    concurrency: {concurrency}\n" for name in STEPS)
        self.config.write_text(f"steps:\n{steps}")

    async def connect(self) -> None:
        self.bus = Bus(self.settings, "test")
        await self.bus.connect()

    async def close(self) -> None:
        await self.bus.close()

    # processes

    def orchestrator(self, point: str = "") -> Process:
        """`point`: see `arm`."""
        port = free_port()
        self.ports.append(port)
        return self._start("orchestrator", point, CODESTORY_PORT=str(port))

    def worker(self, step: str, point: str = "", **environment: str) -> Process:
        return self._start(step, point, **environment)

    def _start(self, what: str, point: str, *arguments: str, **environment: str) -> Process:
        hook = Path(tempfile.mkdtemp(prefix="hook-", dir=self.directory))
        (hook / "point").write_text(point)
        started = self.processes.start(
            sys.executable, str(self.scripts / "crashing.py"), what, *arguments, CHAOS_HOOK=str(hook), **environment
        )
        self._hooks[started.pid] = hook
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

        await self._until(there, f"{process.args} has written {name}")

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
                for line in map(parsed, self.processes.log.read_bytes().splitlines())
                if line.get("event") == "step.ended" and f"-{worker.pid}-" in line.get("worker", "")
            ]
            return bool(lines)

        await self._until(there, "an attempt has ended")
        return lines

    async def dead(self, process: Process, limit: float = LIMIT) -> None:
        async def ended() -> bool:
            return process.poll() is not None

        await wait_until(ended, f"{process.args} has ended", limit)

    async def paused(self, process: Process) -> None:
        """It has stopped, by its own hand."""

        async def still() -> bool:
            return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED

        await wait_until(still, "it has stopped", LIMIT)

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
            known = await self._steps()
            return known is not None and set(steps) <= {name for name, workers in known.items() if workers}

        await self._until(there, f"{steps} alive")

    async def known(self, step: str) -> None:
        async def there() -> bool:
            return step in (await self._steps() or {})

        await self._until(there, f"{step} known")

    async def _steps(self) -> dict[str, int] | None:
        """Living workers by step; None while no orchestrator answers."""
        answer = await self._ask("GET", "/v1/ingest/steps")
        if answer is None or not answer.is_success:
            return None
        return {step["name"]: step["workers"] for step in answer.json()["steps"]}

    # the API, of whichever orchestrator answers

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        for port in reversed(self.ports):
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

        await self._until(answered, f"{method} {path} answered")
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
    ) -> str:
        """Job id. `steps`: made by `plan`; in a chain."""
        body = {
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

    async def show(self, job: str) -> dict[str, Any]:
        return (await self.ask("GET", f"/v1/ingest/{job}")).json()

    async def step_of(self, job: str, name: str) -> dict[str, Any]:
        return next(step for step in (await self.show(job))["steps"] if step["name"] == name)

    async def step_state(self, job: str, name: str, state: str) -> float:
        async def there() -> bool:
            return (await self.step_of(job, name))["state"] == state

        return await self._until(there, f"{job}.{name} is {state}")

    async def jobs_on(self, repository: str) -> list[str]:
        """A request sent again, because no answer came, may have made more than one."""
        jobs = (await self.ask("GET", "/v1/ingest?limit=200")).json()["jobs"]
        return [job["id"] for job in jobs if job["repository"]["path"] == repository]

    async def cancel(self, job: str) -> httpx.Response:
        return await self.ask("POST", f"/v1/ingest/{job}/cancel")

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

    async def events(self, job: str, *kinds: str) -> list[Event]:
        return [event for event in await self.history(job) if event.kind in kinds]

    async def event(self, job: str, step: str, kind: str, count: int = 1, limit: float = LIMIT) -> float:
        async def there() -> bool:
            return sum((e.step, e.kind) == (step, kind) for e in await self.history(job)) >= count

        return await self._until(there, f"{count} {kind} of {job}.{step}", limit)

    async def register(self, step: str) -> None:
        """It exists, though no worker of it lives."""
        registering = self._start(step, "", "--register")
        await self.dead(registering)
        await self.known(step)

    async def begun_by_the_dead(self, job: str, step: str) -> None:
        """Leave on the bus what a worker leaves that dies in mid-step: a command in its hands, and its `started`."""
        commands = await Puller(self.bus, "RUN", step).start()
        taken: list[Msg] = []

        async def mine() -> bool:
            taken.extend(await commands.take(1, wait=1))
            return any(message.subject.endswith(f".{job}") for message in taken)

        await self._until(mine, f"the command of {job}.{step}")
        await commands.stop()
        meta = taken[-1].metadata
        delivery = meta.sequence.stream, meta.num_delivered
        started = StepStarted(attempt=1, worker="dead", at=now(), delivery=delivery)
        await self.bus.event(job, step, started, after=0)

    async def acknowledge_events(self) -> None:
        """Take what is meant for the orchestrators, and let it go."""
        events = await Puller(self.bus, "EVENTS", ORCHESTRATOR).start()

        async def none_left() -> bool:
            for message in await events.take(100):
                await message.ack_sync()
            info = await self.bus.js.consumer_info(self.bus.stream("EVENTS"), ORCHESTRATOR)
            return not info.num_pending and not info.num_ack_pending

        await self._until(none_left, "nothing is left for the orchestrators")
        await events.stop()

    async def running(self) -> set[str]:
        """What RUN holds: `<step>.<job>`."""
        return {".".join(s.split(".")[-2:]) for s in await self.bus.subjects("RUN", self.bus.subject("run.>"))}

    async def logs(self, job: str, step: str, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The lines of this event on the stream LOGS, once there are so many."""
        subject = self.bus.subject("log", job, step)
        lines: list[dict[str, Any]] = []

        async def said() -> bool:
            lines.clear()
            sequence = 1
            with suppress(nats.js.errors.NotFoundError):
                while True:
                    message = await self.bus.js.get_msg(self.bus.stream("LOGS"), sequence, subject, next=True)
                    lines.append(parsed(message.data or b""))
                    sequence = (message.seq or 0) + 1
            return sum(line.get("event") == event for line in lines) >= count

        await self._until(said, f"{event} on {subject}")
        return [line for line in lines if line.get("event") == event]

    async def settled(self, limit: float = LIMIT) -> float:
        """No token is held, nothing waits, and the orchestrators have heard everything."""

        async def empty() -> bool:
            infos = [await self.bus.js.stream_info(self.bus.stream(s)) for s in ("READY", "RUN")]
            heard = await self.bus.js.consumer_info(self.bus.stream("EVENTS"), ORCHESTRATOR)
            unheard = (heard.num_pending or 0) + (heard.num_ack_pending or 0)
            return not unheard and not any(info.state.messages for info in infos)

        return await self._until(empty, "READY and RUN are empty and all is heard", limit)

    async def sound(self, *jobs: str) -> None:
        """Each job ended once; each attempt has one terminal event; each step completed at most once, under the
        generation of the last start; nothing is left."""
        for job in jobs:
            await self.event(job, "job", "ended")
            history = await self.history(job)
            assert [e.body["run"] for e in history if e.kind == "ended"] == [1], history
            ends = Counter((e.step, e.body["attempt"]) for e in history if e.kind in TERMINAL)
            assert set(ends.values()) <= {1}, (job, ends)
            done = Counter(e.step for e in history if e.kind == "completed")
            assert set(done.values()) <= {1}, (job, done)
            for end in (e for e in history if e.kind == "completed"):
                last_start = max(e.sequence for e in history if (e.step, e.kind) == (end.step, "started"))
                assert end.body["generation"] == last_start, (job, history)
        await self.settled()

    # when it does not hold

    async def _until(self, true: Callable[[], Awaitable[bool]], what: str, limit: float = LIMIT) -> float:
        async def known_to_be_true() -> bool:
            with suppress(*LOST):  # the broker is away
                return await true()
            return False

        try:
            return await wait_until(known_to_be_true, what, limit)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.told()}") from error

    def told(self) -> str:
        """The end of what all processes have logged."""
        return self.processes.log.read_text(errors="replace")[-6000:]


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


def out_of_order(ranks: Collection[int]) -> int:
    """How many of these were overtaken by a later one that is less urgent: 0 is the most urgent."""
    return sum(any(later < now for later in list(ranks)[i + 1 :]) for i, now in enumerate(ranks))
