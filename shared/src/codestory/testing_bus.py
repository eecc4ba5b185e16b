"""What a test reads from the bus, and what it leaves there in the place of others."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import nats.js.errors
from nats.aio.msg import Msg

from codestory.bus import LOST, ORCHESTRATOR, Bus, Refused, parsed
from codestory.bus_settings import BusSettings
from codestory.contracts.events import TERMINAL, StepStarted
from codestory.contracts.values import now
from codestory.puller import Puller
from codestory.testing import wait_until

#: For what must happen, however busy the machine is. Nothing waits so long when all is well.
LIMIT = 60.0


class Event(NamedTuple):
    sequence: int
    job: str
    step: str
    kind: str
    body: dict[str, Any]


class Watched:
    """The bus of a world. `log`: the file that its processes write to."""

    def __init__(self, settings: BusSettings, log: Path) -> None:
        self.settings, self.log = settings, log

    async def connect(self) -> None:
        self.bus = Bus(self.settings, "test")
        await self.bus.connect()

    async def close(self) -> None:
        await self.bus.close()

    async def history(self, job: str = "*") -> list[Event]:
        found: list[Event] = []
        sequence, subjects = 1, self.bus.subject("evt", job, ">")
        while True:
            try:
                message = await self.bus.js.get_msg(self.bus.stream("EVENTS"), sequence, subjects, next=True)
            except nats.js.errors.NotFoundError:
                return found
            *_, job_id, step, kind = (message.subject or "").split(".")
            found.append(Event(message.seq or 0, job_id, step, kind, parsed(message.data or b"")))
            sequence = (message.seq or 0) + 1

    async def events(self, job: str, *kinds: str) -> list[Event]:
        return [event for event in await self.history(job) if event.kind in kinds]

    async def event(self, job: str, step: str, kind: str, count: int = 1, limit: float = LIMIT) -> float:
        async def there() -> bool:
            return sum((e.step, e.kind) == (step, kind) for e in await self.history(job)) >= count

        return await self.until(there, f"{count} {kind} of {job}.{step}", limit)

    async def begun_by_the_dead(self, job: str, step: str) -> None:
        """Leave on the bus what a worker leaves that dies in mid-step: a command in its hands, and its `started`."""
        commands = await Puller(self.bus, "RUN", step).start()
        taken: list[Msg] = []

        async def mine() -> bool:
            taken.extend(await commands.take(1, wait=1))
            return any(message.subject.endswith(f".{job}") for message in taken)

        await self.until(mine, f"the command of {job}.{step}")
        await commands.stop()
        meta = taken[-1].metadata
        delivery = meta.sequence.stream, meta.num_delivered
        started = StepStarted(attempt=1, worker="dead", at=now(), delivery=delivery)
        await self.bus.event(job, step, started, after=0)

    async def exchange_waiting(self, step: str, job: str, body: bytes, headers: dict[str, str]) -> None:
        """Put this in the place of a command that waits in READY."""
        subject = self.bus.subject("ready", "default", step, job)
        among = self.bus.subject("ready", "*", step, job)

        async def exchanged() -> bool:
            await self.bus.purge("READY", among)
            with suppress(Refused):  # the reconciler saw the gap first
                await self.bus.publish(subject, body, after=0, among=among, headers=headers)
                return True
            return False

        await self.until(exchanged, f"the command of {job}.{step} is exchanged")

    async def acknowledge_events(self) -> None:
        """Take what is meant for the orchestrators, and let it go."""
        events = await Puller(self.bus, "EVENTS", ORCHESTRATOR).start()

        async def none_left() -> bool:
            for message in await events.take(100):
                await message.ack_sync()
            info = await self.bus.js.consumer_info(self.bus.stream("EVENTS"), ORCHESTRATOR)
            return not info.num_pending and not info.num_ack_pending

        await self.until(none_left, "nothing is left for the orchestrators")
        await events.stop()

    async def running(self) -> set[str]:
        """What RUN holds: `<step>.<job>`."""
        return {".".join(s.split(".")[-2:]) for s in await self.bus.subjects("RUN", self.bus.subject("run.>"))}

    async def logs(self, job: str, step: str, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The lines of this event on the stream LOGS, once there are so many."""
        subject = self.bus.subject("log", job, step)
        lines: list[dict[str, Any]] = []

        async def said() -> bool:
            lines.clear()
            sequence = 1
            with suppress(nats.js.errors.NotFoundError):
                while True:
                    message = await self.bus.js.get_msg(self.bus.stream("LOGS"), sequence, subject, next=True)
                    lines.append(parsed(message.data or b""))
                    sequence = (message.seq or 0) + 1
            return sum(line.get("event") == event for line in lines) >= count

        await self.until(said, f"{event} on {subject}")
        return [line for line in lines if line.get("event") == event]

    async def settled(self, limit: float = LIMIT) -> float:
        """No token is held, nothing waits, and the orchestrators have heard everything."""

        async def empty() -> bool:
            infos = [await self.bus.js.stream_info(self.bus.stream(s)) for s in ("READY", "RUN")]
            heard = await self.bus.js.consumer_info(self.bus.stream("EVENTS"), ORCHESTRATOR)
            unheard = (heard.num_pending or 0) + (heard.num_ack_pending or 0)
            return not unheard and not any(info.state.messages for info in infos)

        return await self.until(empty, "READY and RUN are empty and all is heard", limit)

    async def sound(self, *jobs: str) -> None:
        """Each run of each job ended once; each attempt has one terminal event; each step completed once at most, in
        the generation of the last start; nothing is left."""
        for job in jobs:
            await self.event(job, "job", "ended")
            history = await self.history(job)
            runs = [e.body["run"] for e in history if e.kind == "ended"]
            assert runs == list(range(1, len(runs) + 1)), history
            ends = Counter((e.step, e.body["attempt"]) for e in history if e.kind in TERMINAL)
            assert set(ends.values()) <= {1}, (job, ends)
            done = Counter(e.step for e in history if e.kind == "completed")
            assert set(done.values()) <= {1}, (job, done)
            for end in (e for e in history if e.kind == "completed"):
                last_start = max(e.sequence for e in history if (e.step, e.kind) == (end.step, "started"))
                assert end.body["generation"] == last_start, (job, history)
        await self.settled()

    # when it does not hold

    async def until(self, true: Callable[[], Awaitable[bool]], what: str, limit: float = LIMIT) -> float:
        async def known_to_be_true() -> bool:
            with suppress(*LOST):  # the broker is away
                return await true()
            return False

        try:
            return await wait_until(known_to_be_true, what, limit)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.told()}") from error

    def told(self) -> str:
        """The end of what all processes have logged."""
        return self.log.read_text(errors="replace")[-6000:]


def out_of_order(ranks: Collection[int]) -> int:
    """How many of these were overtaken by a later one that is less urgent: 0 is the most urgent."""
    return sum(any(later < now for later in list(ranks)[i + 1 :]) for i, now in enumerate(ranks))
