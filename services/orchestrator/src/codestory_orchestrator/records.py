"""Records of the bucket `jobs`: jobs, the lines on repositories, schedules. Every change is a compare-and-set."""

from codestory.bus import Bus, Refused
from codestory.mirror import Mirror

#: So long a removed record leaves a mark, for who was away when it went.
MARKER_SECONDS = 86_400
#: Tries of one compare-and-set. Each lost one means that another has moved on, so more is never needed.
TRIES = 100


class Records:
    """`mirror`: what this process remembers of the bucket. It learns of its own writes at once."""

    def __init__(self, bus: Bus, mirror: Mirror) -> None:
        self.bus, self.mirror = bus, mirror

    async def read(self, key: str) -> tuple[bytes, int] | None:
        """As it is now, and its revision."""
        found = await self.bus.value("jobs", key)
        return (found.data, found.sequence) if found else None

    async def removed(self, key: str) -> bool:
        """There was one, and it is gone. Known for MARKER_SECONDS."""
        return await self.mark(key) > 0

    async def mark(self, key: str) -> int:
        """The revision after which a record that was removed may be written anew. 0: it leaves no mark any more."""
        last = await self.bus.last("KV_jobs", self.bus.key("jobs", key))
        return last.sequence if last and "KV-Operation" in last.headers else 0

    async def write(self, key: str, data: bytes, revision: int, *, what: str) -> int | None:
        """The new revision. None: somebody else changed it first."""
        try:
            revision = await self.bus.publish(self.bus.key("jobs", key), data, after=revision, what=what)
        except Refused:
            found = await self.read(key)
            if not found or found[0] != data:
                return None
            revision = found[1]  # it had landed, only the answer was lost
        self.mirror.hold(key, revision, data)
        return revision

    async def remove(self, key: str, *, what: str, revision: int | None = None) -> None:
        """Raises Refused when somebody has changed it since `revision`. What marks it as gone goes too, in time."""
        headers = {"KV-Operation": "PURGE", "Nats-TTL": f"{MARKER_SECONDS}s"}
        gone = await self.bus.publish(self.bus.key("jobs", key), after=revision, headers=headers, what=what)
        self.mirror.hold(key, gone, b"")
