"""Keeps the lease of an attempt while it is ours, and says when it is to stop."""

import asyncio
from contextlib import suppress
from enum import StrEnum

from nats.aio.msg import Msg
from pydantic import ValidationError

from codestory.bus import LOST, Bus
from codestory.contracts.commands import RunStep
from codestory.contracts.jobs import Tombstone
from codestory.contracts.values import Verb
from codestory.steps.settings import HostSettings


class Verdict(StrEnum):
    FENCED = "fenced"  # another's, or of a broker that is gone: write nothing, say nothing, acknowledge nothing
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    SHUTDOWN = "shutdown"


class Heartbeat:
    """The last event of the step must be our own `started`, in the same epoch, and no tombstone may lie. Only then is
    the command's lease prolonged: a stopped worker that comes back would else keep alive what is another's."""

    def __init__(self, bus: Bus, settings: HostSettings) -> None:
        self.bus, self.settings = bus, settings
        self._look: dict[str, asyncio.Event] = {}

    def hint(self, job: str) -> None:
        """Something may have changed for this job: look now."""
        if look := self._look.get(job):
            look.set()

    def hint_all(self) -> None:
        for look in self._look.values():
            look.set()

    async def beat(self, msg: Msg, command: RunStep, generation: int, epoch: int) -> Verdict:
        """Until the attempt is to stop. Cancelled by whoever saw it end."""
        look = self._look[command.job] = asyncio.Event()
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.settings.heartbeat_seconds):
                        await look.wait()
                look.clear()
                try:
                    if verdict := await self._verdict(command, generation, epoch):
                        return verdict
                    await msg.in_progress()
                except LOST:
                    continue  # the broker is away: on reconnection we are asked to look again
        finally:
            if self._look.get(command.job) is look:
                del self._look[command.job]

    async def told(self, command: RunStep) -> Verdict | None:
        """A tombstone lies on this attempt, or on a later one: how it is to end. As the leader has it now."""
        found = await self.bus.value("cancel", command.job)
        try:
            tombstone = Tombstone.model_validate_json(found.data) if found else Tombstone()
        except ValidationError:  # another version's: the reconciler writes it anew
            return None
        if command.attempt > tombstone.attempts.get(command.step, 0):
            return None
        return Verdict.STOPPED if tombstone.verb is Verb.STOP else Verdict.CANCELLED

    async def _verdict(self, command: RunStep, generation: int, epoch: int) -> Verdict | None:
        last = await self.bus.last("EVENTS", self.bus.events_of(command.job, command.step))
        if await self.bus.current_epoch() != epoch or not last or last.sequence != generation:
            return Verdict.FENCED
        return await self.told(command)
