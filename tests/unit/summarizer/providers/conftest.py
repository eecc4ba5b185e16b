"""What tests of the model providers share: a model server, providers that reach it, a budget, subjects."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from codestory.testing_models import ModelServer, Rules
from codestory_summarizer.providers import create
from codestory_summarizer.providers.chat import ChatProvider
from codestory_summarizer.settings import SummarizerSettings
from codestory_summarizer.subject import Subject

#: Waits that a test can afford.
QUICK: dict[str, Any] = {"llm_backoff_seconds": 0.01, "llm_backoff_limit_seconds": 0.05, "llm_timeout": 5}


class LocalBudget:
    """Of one process: who reserves waits until what was reserved before has passed at its rate."""

    def __init__(self) -> None:
        self._free: dict[str, float] = {}
        self._held = 0.0
        self.reserved: list[Mapping[str, float]] = []
        self.held: list[float] = []

    async def reserve(self, amounts: Mapping[str, float], per_minute: Mapping[str, float]) -> float:
        now = time.monotonic()
        start = max(now, self._held, *(self._free.get(name, 0.0) for name in amounts))
        for name, amount in amounts.items():
            self._free[name] = start + 60 * amount / per_minute[name]
        self.reserved.append(dict(amounts))
        return start - now

    async def hold_off(self, seconds: float) -> None:
        self.held.append(seconds)
        self._held = max(self._held, time.monotonic() + seconds)


@pytest.fixture
def rules() -> Rules:
    """A test that wants another endpoint gives its own."""
    return Rules()


@pytest.fixture
def server(rules: Rules) -> Iterator[ModelServer]:
    with ModelServer(rules) as server:
        yield server


@pytest.fixture
def budget() -> LocalBudget:
    return LocalBudget()


@pytest.fixture
async def provider(server: ModelServer, budget: LocalBudget) -> AsyncIterator[Callable[..., ChatProvider]]:
    """Makes one for the server, by name; keywords are settings."""
    async with AsyncExitStack() as closing:

        def make(name: str = "openai", **settings: Any) -> ChatProvider:
            reach = {"openai_url": server.openai_url, "azure_url": server.url}
            keys = {"openai_api_key": server.rules.key, "azure_api_key": server.rules.key}
            chosen = SummarizerSettings.model_validate({**QUICK, **reach, **keys, **settings})
            made = create(name, "m", chosen, lambda _name: budget)
            closing.push_async_callback(made.close)
            return made

        yield make


@pytest.fixture
def subject() -> Callable[..., Subject]:
    """A function that no other test's is like, if it is given a number."""

    def make(number: int = 0, code: str = "") -> Subject:
        code = code or f"def work_{number}(order):\n    return order.total * {number}\n"
        return Subject("function", f"work_{number}", "src/work.py", "Python", f"def work_{number}(order)", code=code)

    return make
