"""The SDK: talks to a Code Story service. Knows contracts, httpx and websockets, and nothing else of ours."""

from codestory.client._async import AsyncClient
from codestory.client._calls import Again, Recurring, ScheduleChanges, Submission
from codestory.client._errors import (
    BadAddress,
    CodeStoryError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    ProblemError,
    ServiceUnreachable,
    StillRunning,
    Throttled,
    Unavailable,
    UnexpectedAnswer,
)
from codestory.client._sync import Client
from codestory.client._transport import Patience

__all__ = [
    "Again",
    "AsyncClient",
    "BadAddress",
    "Client",
    "CodeStoryError",
    "Conflict",
    "Forbidden",
    "Invalid",
    "NotFound",
    "Patience",
    "ProblemError",
    "Recurring",
    "ScheduleChanges",
    "ServiceUnreachable",
    "StillRunning",
    "Submission",
    "Throttled",
    "Unavailable",
    "UnexpectedAnswer",
]
