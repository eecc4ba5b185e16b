"""Timers that the server keeps: a message on `due.<key>` at a time by the server's clock, whoever is alive then."""

from contextlib import suppress
from datetime import UTC, datetime

from codestory.bus import Bus, BusLost, Refused

#: Tries of one compare-and-set. Each lost one means that another has set the timer, or that it has fired.
TRIES = 100


class Timers:
    """One timer a key. A key is the id of a job or of a schedule."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def pending(self) -> set[str]:
        """The keys whose timer is set, or has fired and was not answered. In the order of travel."""
        scheduled = await self.bus.subjects("READY", self._scheduled("*"))
        due = await self.bus.subjects("READY", self._due("*"))
        return {subject.split(".")[-2] for subject in scheduled} | {key_of(subject) for subject in due}

    async def set(self, key: str, at: datetime, body: bytes = b"") -> None:
        """Fire once, at `at`; in the past: at once. It takes the place of the one that is set, if there is one."""
        subject = self._scheduled(key)
        schedule = f"@at {at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        headers = {"Nats-Schedule": schedule, "Nats-Schedule-Target": self._due(key)}
        after = 0
        for _ in range(TRIES):
            with suppress(Refused):
                await self.bus.publish(subject, body, after=after, headers=headers, what="timer")
                return
            held = await self.bus.last("READY", subject)
            if held and held.headers.get("Nats-Schedule") == schedule:
                return
            after = held.sequence if held else 0
        raise BusLost(f"the timer of {key} does not hold still")

    async def clear(self, key: str) -> None:
        """It does not fire any more; and if it has, whoever has not heard of it will not."""
        await self.bus.purge("READY", self._scheduled(key), self._due(key))

    def _scheduled(self, key: str) -> str:
        return self.bus.subject("sched", key, "job")  # no step may be called that

    def _due(self, key: str) -> str:
        return self.bus.subject("due", key)


def key_of(subject: str) -> str:
    """Of a message on `due.<key>`."""
    return subject.rpartition(".")[2]
