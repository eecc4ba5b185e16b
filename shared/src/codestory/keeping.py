"""Puts what this process says of jobs beside their events: its spans and its log lines, a moment after they came."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from codestory import cancelling, telemetry
from codestory.bus import LOST, Bus, encoded
from codestory.contracts.traces import SpanBatch

#: Spans of one message, which is far below what a server takes then.
BATCH = 100
#: In the place of a step: the job itself.
JOB = "job"


class Keeping:
    """`step`: all that this process says is about this one. Empty: about whatever the line names."""

    def __init__(self, bus: Bus, step: str = "") -> None:
        self.bus, self.step = bus, step

    async def keep(self) -> None:
        await asyncio.sleep(self.bus.settings.keep_seconds)
        await self.flush()

    async def run(self) -> None:
        while not cancelling.cancelled():
            with suppress(*LOST):
                await self.keep()

    async def flush(self) -> None:
        """What a broker that is away cannot take waits here, as far as there is room."""
        if not self.bus.connected:
            return
        for subject, data in self._waiting():
            await self.bus.record(subject, data)

    def _waiting(self) -> Iterator[tuple[str, bytes]]:
        for line in telemetry.lines().take():
            yield self.bus.subject("log", line.job, self.step or line.step or JOB), line.text
        for job, spans in telemetry.spans().take().items():
            for start in range(0, len(spans), BATCH):
                batch = SpanBatch(spans=tuple(spans[start : start + BATCH]))
                yield self.bus.subject("span", job, self.step or JOB), encoded(batch)
