"""When the next call may start: in this process by slots that shrink under pressure, among all by the shared budget."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from codestory_summarizer.providers.budget import Budget

#: Answers, times the slots there are, that win back one slot. Slow, for each try at more may cost a refused call.
GROWTH = 16
#: The longest that everybody is held off at once. An endpoint that asks for more is asked again in between.
HOLD_OFF = 600.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One call that may be made now."""

    began: float = field(default_factory=time.monotonic)


class Pace:
    """A burst of refusals halves the calls at once of this process; answers win slots back, one at a time.

    Until the first refusal there is no bound but the callers' own number."""

    def __init__(self, budget: Budget, per_minute: Mapping[str, float]) -> None:
        self._budget = budget
        self._per_minute = {name: amount for name, amount in per_minute.items() if amount}
        self._slots = math.inf
        self._active = 0
        self._most = 0
        self._left = asyncio.Condition()
        self._halved = -math.inf
        self._closed_until = -math.inf

    @property
    def slots(self) -> float:
        return self._slots

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncGenerator[Turn]:
        """Waits for a slot, for the budget, and for as long as the endpoint asked to be left alone."""
        async with self._left:
            await self._left.wait_for(lambda: self._active + 1 <= self._slots)
            self._active += 1
            self._most = max(self._most, self._active)
        try:
            await self._wait(tokens)
            yield Turn()
        finally:
            async with self._left:
                self._active -= 1
                self._left.notify_all()

    def answered(self) -> None:
        if self._slots < math.inf:
            self._slots += 1 / (GROWTH * self._slots)
            if self._slots > self._most:
                self._slots = math.inf

    async def refused(self, turn: Turn, seconds: float) -> None:
        """The endpoint has too much to do: nobody asks it before that time, and then fewer at once.

        Refusals of calls that began before the last halving belong to the same burst and halve nothing more."""
        now = time.monotonic()
        if turn.began > self._halved:
            self._slots, self._halved = max(1, self._active // 2), now
        seconds = min(seconds, HOLD_OFF)
        if now + seconds > self._closed_until:
            self._closed_until = now + seconds
            await self._budget.hold_off(seconds)

    async def _wait(self, tokens: int) -> None:
        amounts = {"requests": 1.0, "tokens": float(tokens)}
        wait = await self._budget.reserve({name: amounts[name] for name in self._per_minute}, self._per_minute)
        await asyncio.sleep(wait)
        # Others may move that time meanwhile.
        while (left := self._closed_until - time.monotonic()) > 0:  # noqa: ASYNC110  # a time, not a state
            await asyncio.sleep(left)
