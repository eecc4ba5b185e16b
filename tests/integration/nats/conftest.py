"""A world whose orchestrators are asked over NATS, as an operator asks."""

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import nats
import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from codestory.bus import Bus
from codestory.bus_settings import BusSettings
from codestory.graph import GraphSettings
from codestory.nats_users import folder
from codestory.nats_users.permissions import inbox_prefix
from codestory.testing import NatsServer, Processes, free_port, install_steps, wait_until
from codestory.testing_world import FAST, World, Worlds

SCRIPTS = Path(__file__).parents[2] / "chaos"


class Said(NamedTuple):
    """An answer. `status`: 200, or what its header says."""

    status: int
    body: Any
    error: str


async def ask(bus: Bus, subject: str, body: dict[str, Any] | bytes | None = None, *, wait: float = 20) -> Said:
    data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    answer = await bus.nc.request(bus.subject(subject), data, timeout=wait)
    headers = answer.headers or {}
    status = int(headers.get("Nats-Service-Error-Code", "200"))
    return Said(status, json.loads(answer.data), headers.get("Nats-Service-Error", ""))


@pytest.fixture(scope="session")
def worlds() -> Worlds:
    return Worlds(SCRIPTS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(worlds: Worlds) -> AsyncGenerator[World]:
    """An orchestrator, a worker of a; b is known and has no worker."""
    async with worlds() as shared:
        shared.orchestrator()
        shared.worker("a")
        await shared.ready("a")
        await shared.register("b")
        yield shared


class Guarded:
    """A server with users, and their keys."""

    def __init__(self, directory: Path, namespace: str) -> None:
        self.written = folder.write(directory, ("a", "b"), namespace)
        self.server = NatsServer(users=self.written.config)
        self.server.start()

    def seed(self, user: str) -> Path:
        return self.written.seeds[user]

    @asynccontextmanager
    async def client(self, user: str) -> AsyncGenerator[tuple[Client, list[Exception]]]:
        """A connection, and what the server has refused it."""
        refused: list[Exception] = []

        async def error(problem: Exception) -> None:
            refused.append(problem)

        seed, prefix = str(self.seed(user)), inbox_prefix(user)
        client = await nats.connect(self.server.url, nkeys_seed=seed, inbox_prefix=prefix, error_cb=error)
        try:
            yield client, refused
        finally:
            await client.close()


@dataclass(frozen=True)
class GuardedStack:
    """An orchestrator and workers of a and b, each as its own user; and a connection of the operator."""

    guarded: Guarded
    operator: Bus
    directory: Path
    repository: Path
    #: Of the REST API.
    url: str


def reaching(graph: GraphSettings) -> dict[str, str]:
    """What a process has to be told of the graph."""
    return {
        "CODESTORY_NEO4J_URI": graph.neo4j_uri,
        "CODESTORY_NEO4J_USER": graph.neo4j_user,
        "CODESTORY_NEO4J_PASSWORD": graph.password(),
        "CODESTORY_NEO4J_DATABASE": graph.neo4j_database,
    }


@asynccontextmanager
async def guarded_stack(
    directory: Path, namespace: str, graph: GraphSettings | None = None
) -> AsyncGenerator[GuardedStack]:
    """Once a and b have living workers. `graph`: the orchestrator's; otherwise it has none."""
    with ExitStack() as closing:
        guarded = Guarded(directory / "nats-auth", namespace)
        closing.callback(guarded.server.close)
        packages, repository, port = directory / "packages", directory / "repository", free_port()
        packages.mkdir()
        repository.mkdir()
        (repository / "README.md").write_text("# A repository\n")
        install_steps(packages, "chaos_steps", (SCRIPTS / "steps.py").read_text(), {"a": "A", "b": "B"})
        (directory / "pipeline_config.yml").write_text("steps:\n  - name: a\n  - name: b\n")
        environment = {
            **FAST,
            "CODESTORY_NATS_URL": guarded.server.url,
            "CODESTORY_NAMESPACE": namespace,
            "CODESTORY_PIPELINE_CONFIG": str(directory / "pipeline_config.yml"),
            "CODESTORY_PORT": str(port),
            "PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]),
            **(reaching(graph) if graph else {}),
        }
        processes = closing.enter_context(Processes(environment, directory / "log"))
        for module, arguments, user in (
            ("codestory_orchestrator.main", (), "orchestrator"),
            ("codestory.steps.main", ("a",), "step-a"),
            ("codestory.steps.main", ("b",), "step-b"),
        ):
            seed = str(guarded.seed(user))
            processes.start(sys.executable, "-m", module, *arguments, CODESTORY_NATS_NKEY_SEED_FILE=seed)
        seed_file = guarded.seed("operator")
        operator = Bus(
            BusSettings(nats_url=guarded.server.url, namespace=namespace, nats_nkey_seed_file=seed_file), "operator"
        )
        await operator.connect()

        async def workers_live() -> bool:
            with suppress(nats.errors.Error):
                steps = (await ask(operator, "api.steps", wait=2)).body["steps"]
                return {step["name"] for step in steps if step["workers"]} == {"a", "b"}
            return False

        try:
            try:
                await wait_until(workers_live, "a and b live", 60)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{(directory / 'log').read_text()[-6000:]}") from error
            yield GuardedStack(guarded, operator, directory, repository, f"http://127.0.0.1:{port}")
        finally:
            await operator.close()
