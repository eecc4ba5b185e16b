"""How often each may ask, at this orchestrator."""

import math
import time
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from codestory.contracts.access import Principal
from codestory_orchestrator.errors import RateLimited

_SHORTEST_WAIT: Final = 1


class Rates:
    """`requests` and `submissions` in a minute; 0: any number."""

    def __init__(self, requests: int, submissions: int) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._limits = {
            "requests": RateLimitItemPerMinute(requests) if requests else None,
            "submissions": RateLimitItemPerMinute(submissions) if submissions else None,
        }

    def take(self, principal: Principal, kind: str = "requests") -> None:
        """Count one. Raises RateLimited, and then it does not count."""
        limit = self._limits[kind]
        if limit is None or self._limiter.hit(limit, kind, principal.name):
            return
        reset = self._limiter.get_window_stats(limit, kind, principal.name).reset_time
        seconds = max(_SHORTEST_WAIT, math.ceil(reset - time.time()))
        raise RateLimited(f"{limit.amount} {kind} a minute", seconds)
