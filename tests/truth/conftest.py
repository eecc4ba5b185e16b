"""A graph server, and the steps that read a repository into it."""

import asyncio
import logging
import secrets
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from neo4j import AsyncDriver

from codestory.contracts.jobs import Repository
from codestory.graph import Fence, GraphSettings, GraphWriter, connect, schema, wait_ready
from codestory.local import graph as local_graph
from codestory.local.files import write_private
from codestory.local.paths import StatePaths
from codestory.steps import PipelineStep, StepContext
from codestory.steps.files import RepositoryFiles
from codestory.testing import free_port
from codestory_blarify.step import BlarifyStep
from codestory_filesystem.step import FileSystemStep

#: Reads the folder into the graph under this id, and gives the driver to look at it.
Ingested = Callable[[Path, str], Any]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphSettings]:
    """The embedded graph server, a process of its own."""
    paths = StatePaths(tmp_path_factory.mktemp("graph"))
    password, bolt = paths.root / "password", free_port()
    write_private(password, secrets.token_urlsafe(18))
    paths.graph.mkdir()
    spec = local_graph.spec(paths, bolt=bolt, http=free_port(), password_file=password, heap="512m")
    settings = GraphSettings(
        neo4j_uri=f"bolt://127.0.0.1:{bolt}", neo4j_user="root", neo4j_password_file=password, neo4j_database="neo4j"
    )
    with (paths.root / "server.out").open("wb") as out:
        process = subprocess.Popen(spec.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=paths.graph)
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
def ingested(server: GraphSettings) -> Ingested:
    @asynccontextmanager
    async def ingested(root: Path, repository: str) -> AsyncGenerator[AsyncDriver]:
        async with connect(server) as driver:
            for step in (BlarifyStep(), FileSystemStep()):
                await _run(step, root, repository, driver, server)
            yield driver

    return ingested


def _run(
    step: PipelineStep[Any], root: Path, repository: str, driver: AsyncDriver, settings: GraphSettings
) -> Awaitable[Any]:
    async def run() -> None:
        with RepositoryFiles(root) as files:
            await step.execute(
                StepContext(
                    job="truth",
                    attempt=1,
                    repository=Repository(id=repository, name=repository, path=str(root)),
                    options=step.options_model()(),
                    files=files,
                    graph=GraphWriter(
                        driver, settings, repository=repository, owner=step.name, fence=Fence(1, 1), labels=step.owns
                    ),
                    log=logging.getLogger("test"),
                    report=lambda _: None,
                )
            )

    return run()
