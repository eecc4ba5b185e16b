"""Worlds whose processes die at the points that a test names."""

from pathlib import Path

import pytest

from codestory.testing_world import Worlds


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return Worlds(Path(__file__).parent)
