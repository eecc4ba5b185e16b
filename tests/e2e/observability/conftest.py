"""The embedded stack, every process of it with its metrics, and a real Prometheus that looks at them."""

import json
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from codestory.local.paths import StatePaths
from codestory.local.record import StackRecord
from codestory.testing import EmbeddedStack, free_port, wait_until
from codestory.testing_models import ModelServer, Rules
from codestory.testing_prometheus import HOW, Prometheus, program

CONFIGURATION = Path(__file__).parents[3] / "observability"
STEPS = ("blarify", "filesystem", "summarizer", "documentation_grapher")
OK = 200
#: On a machine with other things to do.
START_SECONDS = 300


class Model:
    """A model's endpoint that can be taken away and comes back at the same address."""

    def __init__(self) -> None:
        self.rules = Rules(latency=0.3)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._server: ModelServer | None = None

    def start(self) -> None:
        self._server = self._server or ModelServer(self.rules, port=self.port)

    @property
    def asked(self) -> int:
        """How often, since it was started."""
        return len(self._server.requests) if self._server else 0

    def kill(self) -> None:
        if self._server:
            self._server.close()
            self._server = None


class WatchedStack(EmbeddedStack):
    """Its steps serve their metrics on free ports, which their logs name."""

    steps = STEPS

    def __init__(self, directory: Path, model: Model, prometheus: Prometheus) -> None:
        super().__init__(
            directory,
            CODESTORY_LOCAL_START_SECONDS=str(START_SECONDS),
            CODESTORY_PROBE_PORT="0",
            CODESTORY_DEPENDENCIES_SECONDS="1",
            CODESTORY_ACK_WAIT_SECONDS="2",
            CODESTORY_PRESENCE_SECONDS="3",
            CODESTORY_PROGRESS_SECONDS="0.2",
            CODESTORY_OPENAI_URL=model.url,
            CODESTORY_OPENAI_API_KEY=model.rules.key,
            CODESTORY_OPENAI_MODEL="small",
            CODESTORY_LLM_ATTEMPTS="20",
            CODESTORY_LLM_BACKOFF_LIMIT_SECONDS="0.5",
            CODESTORY_LLM_PRICE_INPUT="1",
            CODESTORY_LLM_PRICE_CACHED="1",
            CODESTORY_LLM_PRICE_OUTPUT="1",
        )
        self.model, self.prometheus, self.url = model, prometheus, ""
        self._paths = StatePaths(directory / "state")

    @staticmethod
    async def probe(address: str, path: str) -> int:
        """The status of the answer; 0: there is none."""
        async with httpx.AsyncClient(timeout=8) as client:
            try:
                return (await client.get(f"http://{address}{path}")).status_code
            except httpx.TransportError:
                return 0

    def start(self) -> str:
        ran = self.run("service", "start", "--json", limit=START_SECONDS + 30)
        assert ran.returncode == 0, ran.stderr[-4000:]
        self.url = json.loads(ran.stdout)["url"]
        return self.url

    @property
    def record(self) -> StackRecord:
        found = StackRecord.read(self._paths.record)
        assert found, "the stack does not run"
        return found

    def kill(self, name: str) -> None:
        psutil.Process(next(it.pid for it in self.record.processes if it.name == name)).kill()

    def addresses(self) -> dict[str, str]:
        """Where each process serves its metrics, by its name: a step's port stands in its log."""
        found = {"orchestrator": urlsplit(self.url).netloc}
        for name in (f"step-{step}" for step in STEPS):
            lines = self._paths.log(name).read_text(errors="replace").splitlines()
            said = [json.loads(line)["port"] for line in lines if '"probes.serving"' in line]
            if said:
                found[name] = f"127.0.0.1:{said[-1]}"
        return found

    async def up(self) -> None:
        """Every process is ready, and Prometheus looks at all of them."""

        async def all_ready() -> bool:
            addresses = self.addresses()
            return len(addresses) == 1 + len(STEPS) and all(
                [await self.probe(address, "/readyz") == OK for address in addresses.values()]
            )

        await wait_until(all_ready, "every process is ready", 120)
        addresses = self.addresses()
        orchestrator = addresses.pop("orchestrator")
        self.prometheus.watch({"orchestrator": [orchestrator], "steps": list(addresses.values())})

        async def seen() -> bool:
            return len(await self.prometheus.ask("up == 1")) == 1 + len(STEPS)

        await wait_until(seen, "Prometheus has seen every process", 60)

    @asynccontextmanager
    async def unmended(self) -> AsyncGenerator[None]:
        """What dies meanwhile stays dead; afterwards all is as before."""
        supervisor = psutil.Process(self.record.pid)
        supervisor.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            supervisor.send_signal(signal.SIGCONT)
            self.model.start()
        await self.up()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedStack]:
    """Of each file its own: an alert looks back over minutes, at what was killed too."""
    if not program("prometheus"):
        pytest.skip(f"prometheus is not here: {HOW}")
    model = Model()
    model.start()
    with Prometheus(CONFIGURATION) as prometheus:
        stack = WatchedStack(tmp_path_factory.mktemp("watched"), model, prometheus)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()
            model.kill()
