"""The SDK: talks to a Code Story service. Knows contracts, how a repository is packed, httpx and websockets."""

from codestory.client._async import AsyncClient
from codestory.client._calls import Again, Filters, Recurring, ScheduleChanges, Submission
from codestory.client._errors import (
    BadAddress,
    BadCredentials,
    ChangedMeanwhile,
    CodeStoryError,
    Conflict,
    Forbidden,
    Forgotten,
    Invalid,
    NotFound,
    ProblemError,
    RepositoryUnreadable,
    ServiceUnreachable,
    StillRunning,
    Throttled,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from codestory.client._sync import Client
from codestory.client._transport import Patience
from codestory.client._upload import UploadProgress

__all__ = [
    "Again",
    "AsyncClient",
    "BadAddress",
    "BadCredentials",
    "ChangedMeanwhile",
    "Client",
    "CodeStoryError",
    "Conflict",
    "Filters",
    "Forbidden",
    "Forgotten",
    "Invalid",
    "NotFound",
    "Patience",
    "ProblemError",
    "Recurring",
    "RepositoryUnreadable",
    "ScheduleChanges",
    "ServiceUnreachable",
    "StillRunning",
    "Submission",
    "Throttled",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "UploadProgress",
]
