"""Models behind an endpoint. Each sends code to where its settings say, so a job names it; none is the default."""

from collections.abc import Callable

from codestory.step_errors import StepError
from codestory_summarizer.providers import azure, openai
from codestory_summarizer.providers.budget import Budget
from codestory_summarizer.providers.chat import ChatProvider
from codestory_summarizer.providers.endpoint import Endpoint
from codestory_summarizer.settings import SummarizerSettings

ENDPOINTS: dict[str, Callable[[SummarizerSettings, str], Endpoint]] = {
    "azure": azure.endpoint,
    "openai": openai.endpoint,
}


def create(name: str, model: str, settings: SummarizerSettings, budget: Callable[[str], Budget]) -> ChatProvider:
    """The provider `name`, with `model` or the deployment's own. Nothing is sent yet.

    `budget` gives the one that all workers share, by the name of what it is for (`ctx.graph.budget`)."""
    make = ENDPOINTS.get(name)
    if make is None:
        known = ", ".join(["extractive", *ENDPOINTS])
        raise StepError(f"There is no provider of summaries called {name[:40]!r}; there are {known}.")
    endpoint = make(settings, model)
    return ChatProvider(endpoint, settings, budget(f"model {endpoint.url} {endpoint.model}"))


__all__ = ["Budget", "create"]
