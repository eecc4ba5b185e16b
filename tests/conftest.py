"""What every test has: an environment without the user's settings, and the whole stack where it is asked for."""

import asyncio
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from codestory.graph import GraphSettings, connect, schema, wait_ready
from codestory.local import graph as local_graph
from codestory.local.files import write_private
from codestory.local.paths import StatePaths
from codestory.testing import EmbeddedStack, free_port, servers_in_containers


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_user() -> Iterator[None]:
    """CODESTORY_* of the person who runs the tests changes none of them. CODESTORY_TEST_* is meant for tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("CODESTORY_") and not name.startswith("CODESTORY_TEST_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """The embedded stack: NATS, a graph server, the orchestrator and every step, started once for all."""
    stack = EmbeddedStack(tmp_path_factory.mktemp("stack"), CODESTORY_LOCAL_START_SECONDS="150")
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def graph_server(request: pytest.FixtureRequest) -> GraphSettings:
    """A graph server. Tests have repositories of their own in it."""
    return request.getfixturevalue("neo4j_container" if servers_in_containers() else "arcadedb_process")


@pytest.fixture(scope="session")
def neo4j_container() -> Iterator[GraphSettings]:
    """Neo4j as a container."""
    from codestory.testing_containers import Neo4jContainer

    password = secrets.token_urlsafe(18)
    with Neo4jContainer(password) as uri:
        settings = GraphSettings.model_validate({"neo4j_uri": uri, "neo4j_password": password})
        asyncio.run(_ready(settings))
        yield settings


@pytest.fixture(scope="session")
def arcadedb_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphSettings]:
    """The embedded graph server alone, a process of its own."""
    paths = StatePaths(tmp_path_factory.mktemp("graph"))
    password, bolt = paths.root / "password", free_port()
    write_private(password, secrets.token_urlsafe(18))
    paths.graph.mkdir()
    server = local_graph.spec(paths, bolt=bolt, http=free_port(), password_file=password, heap="512m")
    settings = GraphSettings(
        neo4j_uri=f"bolt://127.0.0.1:{bolt}", neo4j_user="root", neo4j_password_file=password, neo4j_database="neo4j"
    )
    with (paths.root / "server.out").open("wb") as out:
        process = subprocess.Popen(server.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=paths.graph)
    try:
        asyncio.run(_ready(settings))
        yield settings
    finally:
        process.terminate()
        process.wait(30)


async def _ready(settings: GraphSettings) -> None:
    async with connect(settings) as driver:
        await wait_ready(driver, settings, timeout=120)
        await schema.ensure(driver, settings)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository, another one for each test."""
    files = {
        "README.md": "# A small repository\n\nThe work is done in `src/work.py`.\n",
        "src/work.py": '"""Works."""\n\n\ndef work() -> int:\n    return 42\n',
        "src/rest.py": "REST = 0\n",
    }
    root = tmp_path / tmp_path.name
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root
