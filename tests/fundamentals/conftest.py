"""The client that a program of your own would use."""

from collections.abc import Iterator

import pytest

from codestory.client import Client
from codestory.testing import EmbeddedStack


@pytest.fixture(scope="session")
def client(stack: EmbeddedStack) -> Iterator[Client]:
    with Client(stack.start()) as client:
        yield client
