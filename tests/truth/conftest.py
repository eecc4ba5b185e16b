"""A graph server, and the steps that read a repository into it."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from neo4j import AsyncDriver

from codestory.contracts.jobs import Repository
from codestory.files.repository import RepositoryFiles
from codestory.graph import Fence, GraphSettings, GraphWriter, connect
from codestory.steps import PipelineStep, StepContext
from codestory_blarify.step import BlarifyStep
from codestory_filesystem.step import FileSystemStep

#: Reads the folder into the graph under this id, and gives the driver to look at it.
Ingested = Callable[[Path, str], Any]


@pytest.fixture
def ingested(graph_server: GraphSettings) -> Ingested:
    @asynccontextmanager
    async def ingested(root: Path, repository: str) -> AsyncGenerator[AsyncDriver]:
        async with connect(graph_server) as driver:
            for step in (BlarifyStep(), FileSystemStep()):
                await _run(step, root, repository, driver, graph_server)
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
