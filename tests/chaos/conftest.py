"""Worlds whose processes die at the points that a test names."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from codestory.testing_world import World, Worlds


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return Worlds(Path(__file__).parent)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(worlds: Worlds) -> AsyncGenerator[World]:
    """One for a whole module of tests that leave its processes alone: an orchestrator, workers of a and b."""
    async with worlds() as shared:
        shared.orchestrator()
        shared.worker("a")
        shared.worker("b")
        await shared.ready("a", "b")
        yield shared
