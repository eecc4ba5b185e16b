"""Puts commands into RUN. How many it holds is the server's own limit; tags are counted here, against the sequence of
what was counted, so that two orchestrators cannot both take the last one."""

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto

from codestory import telemetry
from codestory.bus import Bus, Refused, attempt_in
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.throttling.limits import Limits
from codestory_orchestrator.throttling.tags import Tags, fits

#: Looks of one exact admission. Each lost one means that another command was admitted in between.
LOOKS = 10


class Outcome(Enum):
    ADMITTED = auto()
    #: No token, or no room for the step.
    FULL = auto()
    #: A tag of it is held by as many as may.
    NO_TAG = auto()
    #: Not now, and it does not matter why: it is to be tried again.
    AGAIN = auto()


@dataclass(frozen=True)
class Look:
    """What RUN held, by one answer of the server."""

    max_tokens: int
    #: Of the last command that was admitted. What is listed may be newer than that, never older.
    sequence: int
    #: (step, job)
    admitted: frozenset[tuple[str, str]]
    #: Messages; the same number, unless something was admitted in between.
    held: int


class Admission:
    def __init__(self, bus: Bus, store: JobStore, registry: Registry, limits: Limits) -> None:
        self.bus, self.store, self.registry, self.limits = bus, store, registry, limits
        self.tags = Tags(store, limits)
        #: By the last look, less what was admitted since.
        self.room: dict[str, int] = {}
        self.tokens = 0
        #: Its steps' concurrency, which of them had a living worker, and what RUN held, by that look.
        self.most: dict[str, int] = {}
        self.living: frozenset[str] = frozenset()
        self._admitted: frozenset[tuple[str, str]] = frozenset()
        #: Admissions, by step, that a look now under way may not see.
        self._in_flight = Counter[str]()
        self._unseen = Counter[str]()
        self._looking, self._exactly = asyncio.Lock(), asyncio.Lock()

    def has_room(self, step: str) -> bool:
        return min(self.room.get(step, 0), self.tokens) > 0

    def forget(self) -> None:
        self.room, self.tokens = {}, 0

    def freed(self, step: str) -> None:
        """Somebody says so. A hint: the next look knows."""
        if step in self.room:
            self.room[step] += 1
        self.tokens += 1

    async def look(self) -> Look:
        """Room for more: in all, and for each step. A step without a living worker gets one command, to wake a scaler.

        Room and tokens come from one answer of the server; read apart they let a low one slip before a high one."""
        async with self._looking:
            living = await self.registry.lately_living()
            limits = await self.limits.concurrencies(list(self.registry.steps))
            self._unseen = Counter(self._in_flight)
            look = await self._run()
            admitted = Counter(step for step, _ in look.admitted)
            self.tokens = look.max_tokens - look.held - self._unseen.total()
            self.living, self.most, self._admitted = frozenset(living), limits, look.admitted
            self.room = {
                step: (limit if step in living else 1) - admitted[step] - self._unseen[step]
                for step, limit in limits.items()
            }
            telemetry.TOKENS.labels("available").set(max(self.tokens, 0))
            telemetry.TOKENS.labels("held").set(look.held)
            return look

    async def free_tags(self) -> dict[str, int]:
        """By the last look: good enough to leave a command where it is, not to admit it."""
        return await self.tags.free(self._admitted)

    async def _run(self) -> Look:
        run = await self.bus.js.stream_info(self.bus.stream("RUN"), subjects_filter=self.bus.subject("run.>"))
        admitted: set[tuple[str, str]] = set()
        for subject in run.state.subjects or {}:
            *_, step, job = subject.split(".")
            admitted.add((step, job))
        return Look(run.config.max_msgs or 0, run.state.last_seq, frozenset(admitted), run.state.messages)

    async def admit(self, step: str, job: str, body: bytes, headers: dict[str, str]) -> Outcome:
        tags = await self.tags.of(step, job)
        if tags:
            return await self.admit_exactly(step, job, body, headers, tags=tags)
        return await self._publish(step, job, body, headers) or Outcome.AGAIN

    async def admit_exactly(
        self, step: str, job: str, body: bytes, headers: dict[str, str], *, tags: Collection[str], room: bool = False
    ) -> Outcome:
        """Only if nothing else was admitted since it was seen that each tag is free; with `room`, the step and a token
        too. One at a time: they would only outrun each other."""
        async with self._exactly:
            for _ in range(LOOKS):
                look = await self.look()
                others = look.admitted - {(step, job)}  # if it is there itself, the server will say so
                if room and (step, job) not in look.admitted and not self.has_room(step):
                    return Outcome.FULL
                if tags and not fits(tags, await self.tags.free(others)):
                    return Outcome.NO_TAG
                outcome = await self._publish(step, job, body, headers, last=look.sequence)
                if outcome:
                    return outcome
        return Outcome.AGAIN

    async def _publish(
        self, step: str, job: str, body: bytes, headers: dict[str, str], last: int | None = None
    ) -> Outcome | None:
        """None: something else was admitted after `last`."""
        self.room[step] = self.room.get(step, 0) - 1
        self.tokens -= 1
        self._in_flight[step] += 1
        self._unseen[step] += 1
        epoch = None if last is None else self.bus.epoch or None
        try:
            subject = self.bus.subject("run", step, job)
            await self.bus.publish(subject, body, last=last, epoch=epoch, headers=headers, what="run")
        except Refused as refused:
            if refused.outrun:
                return None
            if not refused.held:
                return Outcome.FULL
            # Held by this very command: it is admitted. By an older attempt that has ended: out with that one first.
            swept = await self.sweep(step, job, below=attempt_in(headers))
            return Outcome.AGAIN if swept else Outcome.ADMITTED
        finally:
            self._in_flight[step] -= 1
        return Outcome.ADMITTED

    # tokens

    async def sweep(self, step: str, job_id: str, below: int | None = None) -> bool:
        """Free the token of a command that ended and that no worker will acknowledge. True: it is, or was, gone.

        `below`: it must be of an attempt older than this; otherwise as the record says."""
        admitted = await self.bus.last("RUN", self.bus.subject("run", step, job_id))
        if admitted is None:
            return True
        held = attempt_in(admitted.headers) or 0
        if below is None:
            found = await self.store.read(job_id, fresh=False)
            record = found[0].steps.get(step) if found else None
            below = record.attempt + (not record.state.active) if record else 0
            if not found and await self.bus.value("jobs", job_id) is None:
                # Of no job: a record is written before its commands. Nobody would ever end this one.
                await self.free(step, admitted.sequence)
                return True
        if held >= below:
            return False
        last = await self.bus.last("EVENTS", self.bus.events_of(job_id, step))
        if last and last.ends(held):
            await self.free(step, admitted.sequence)
            return True
        return False

    async def free(self, step: str, sequence: int) -> None:
        await self.bus.delete("RUN", sequence)
        await self.bus.say("room", step)
