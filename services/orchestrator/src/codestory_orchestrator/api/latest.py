"""What a watcher has not been told yet: of each kind only the newest, so that a slow one costs no memory."""

import asyncio
from dataclasses import dataclass, field

from codestory.contracts.api import StatusMessage


@dataclass
class Latest:
    """One writer, one reader. Messages keep the order of their last arrival."""

    _messages: dict[tuple[str, str], StatusMessage] = field(default_factory=dict[tuple[str, str], StatusMessage])
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _over: bool = False

    def put(self, message: StatusMessage) -> None:
        key = (message.kind, message.step)
        self._messages.pop(key, None)
        self._messages[key] = message
        self._news.set()

    def end(self) -> None:
        """No more will come."""
        self._over = True
        self._news.set()

    @property
    def over(self) -> bool:
        """Everything has been taken, and no more will come."""
        return self._over and not self._messages

    async def take(self, seconds: float) -> list[StatusMessage]:
        """What has come since the last time; empty after so many seconds of silence, or at the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return []
        taken = list(self._messages.values())
        self._messages.clear()
        if not self._over:
            self._news.clear()
        return taken
