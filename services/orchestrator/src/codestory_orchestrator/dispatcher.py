"""Gets commands to where they run: into READY, and from there into RUN as far as there is room, the urgent first.

How much runs is the server's own limit (RUN's max_msgs); in which order is this dispatcher's. One orchestrator at a
time fills RUN, by a lease. The lease guards order, never safety: two at once could only mix up priorities."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC

from nats.aio.msg import Msg

from codestory import telemetry
from codestory.bus import AFTER, ATTEMPT, LOST, PRIORITIES, TRACE, Bus, Refused, attempt_in, encoded
from codestory.contracts.commands import RunStep
from codestory.contracts.events import JobEnded
from codestory.contracts.jobs import Job
from codestory.contracts.values import Priority, now
from codestory.puller import Puller
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore

log = telemetry.logger(__name__)

#: Rounds of one dispatch. Each admits something, so this is only a bound.
ROUNDS = 1000


@dataclass
class Left:
    """What one round may still admit."""

    tokens: int
    room: dict[str, int]
    admitted: bool = False
    waiting: bool = False

    def take(self, step: str, count: int) -> None:
        self.tokens -= count
        self.room[step] -= count
        self.admitted |= count > 0


class Dispatcher:
    def __init__(self, bus: Bus, store: JobStore, registry: Registry, settings: OrchestratorSettings, me: str) -> None:
        self.bus, self.store, self.registry, self.settings = bus, store, registry, settings
        self.me = me
        self._pullers: dict[tuple[Priority, str], Puller] = {}
        self._bell = asyncio.Event()
        #: Something may wait in READY that could run.
        self._waiting = True
        #: By the last look, less what was admitted since.
        self._room: dict[str, int] = {}
        self._tokens = self._backlog = 0
        #: Admissions, by step, that a look now under way may not see.
        self._in_flight = Counter[str]()
        self._unseen = Counter[str]()
        self._lease_until = 0.0
        #: Which step is the first to get its share; another one each time.
        self._turn = 0

    async def start(self) -> None:
        await self.bus.nc.subscribe(self.bus.subject("room.*"), cb=self._heard_room)
        await self.bus.nc.subscribe(self.bus.subject("bell"), cb=self._heard_bell)

    async def serve(self, step: str) -> None:
        """From now on, dispatch this step too. Its consumers exist."""
        for priority in PRIORITIES:
            if (priority, step) not in self._pullers:
                self._pullers[priority, step] = await Puller(self.bus, "READY", f"{priority}-{step}").start()
        self._ring()

    # into READY

    async def send(self, job: Job, commands: list[RunStep]) -> None:
        await asyncio.gather(*(self.enqueue(job, command) for command in commands))

    async def enqueue(self, job: Job, command: RunStep) -> None:
        """Into READY, once whatever the priority; straight into RUN when there is room and nothing waits."""
        subject = self.bus.subject
        headers = {ATTEMPT: str(command.attempt), AFTER: str(command.after), TRACE: command.traceparent}
        due = job.steps[command.step].due_at
        step, body = command.step, encoded(command)
        straight = due is None and not self._waiting and min(self._room.get(step, 0), self._tokens) > 0
        if straight and await self._admit(step, job.id, body, headers):
            return
        target = subject("ready", job.priority, step, job.id)
        with suppress(Refused):  # it waits already
            if due:
                at = due.astimezone(UTC)
                headers |= {"Nats-Schedule": f"@at {at:%Y-%m-%dT%H:%M:%S.%fZ}", "Nats-Schedule-Target": target}
                await self.bus.publish(subject("sched", job.id, step), body, after=0, headers=headers, what="sched")
            else:
                among = subject("ready", "*", step, job.id)
                await self.bus.publish(target, body, after=0, among=among, headers=headers, what="ready")
        await self.bus.say("bell")

    async def announce(self, job: Job) -> None:
        """The end of this run of the job, said once."""
        event = JobEnded(run=job.run, state=job.state, at=job.ended_at or now())
        last = await self.bus.last("EVENTS", self.bus.events_of(job.id, "job")) if job.run > 1 else None
        for _ in range(10):
            if last and last.body.get("run", 0) >= job.run:
                return
            try:
                await self.bus.publish(
                    self.bus.subject("evt", job.id, "job", event.kind),
                    event,
                    after=last.sequence if last else 0,
                    among=self.bus.events_of(job.id, "job"),
                    what="job-ended",
                )
            except Refused:
                last = await self.bus.last("EVENTS", self.bus.events_of(job.id, "job"))
            else:
                telemetry.JOBS_ENDED.labels(job.state).inc()
                log.info("job.ended", job_id=job.id, state=job.state, run=job.run)
                return

    # from READY into RUN

    async def dispatch(self) -> None:
        """One round: when a bell rings, or after the fallback interval."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.dispatch_seconds):
                await self._bell.wait()
        self._bell.clear()
        await self._look()
        if not await self._holds_lease():
            return
        for _ in range(ROUNDS):
            if not await self._fill():
                return
            await self._look()

    async def _look(self) -> None:
        """Room for more: in all, and for each step. A step without a living worker gets one command, to wake a scaler.

        Room and tokens come from one answer of the server; read apart they let a low one slip before a high one."""
        ready = await self.bus.js.stream_info(self.bus.stream("READY"))
        living = await self.registry.living()
        limits = {step: await self._concurrency(step) for step in self.registry.steps}
        self._unseen = Counter(self._in_flight)
        run = await self.bus.js.stream_info(self.bus.stream("RUN"), subjects_filter=self.bus.subject("run.>"))
        admitted: dict[str, int] = {}
        for subject, messages in (run.state.subjects or {}).items():
            step = subject.split(".")[-2]
            admitted[step] = admitted.get(step, 0) + messages
        self._backlog = ready.state.messages
        self._tokens = (run.config.max_msgs or 0) - run.state.messages - self._unseen.total()
        self._room = {
            step: (limit if step in living else 1) - admitted.get(step, 0) - self._unseen[step]
            for step, limit in limits.items()
        }
        telemetry.TOKENS.labels("available").set(max(self._tokens, 0))
        telemetry.TOKENS.labels("held").set(run.state.messages)

    async def _concurrency(self, step: str) -> int:
        info = await self.bus.js.consumer_info(self.bus.stream("RUN"), step)
        return info.config.max_ack_pending or 1

    async def _fill(self) -> bool:
        """Admit the highest priority first, of the steps that have room. True when it is worth another look.

        What frees up meanwhile is for the next round, so that it is highest first again."""
        self._waiting = False
        left = Left(self._tokens, dict(self._room))
        for priority in PRIORITIES:
            await self._fill_from(priority, left)
        self._waiting |= left.waiting or (
            self._backlog > 0 and (left.tokens <= 0 or min(left.room.values(), default=1) <= 0)
        )
        return left.admitted and self._waiting

    async def _fill_from(self, priority: Priority, left: "Left") -> None:
        """Each step in turn gets its share, so that one with a long queue does not take all there is."""
        steps = [step for step in left.room if (priority, step) in self._pullers]
        self._turn += 1
        first = self._turn % len(steps) if steps else 0
        steps = steps[first:] + steps[:first]
        while steps and left.tokens > 0:
            share = max(1, left.tokens // len(steps))
            for step in list(steps):
                most = min(left.room[step], left.tokens, share)
                messages = await self._pullers[priority, step].take(most) if most > 0 else []
                left.take(step, len(messages))
                if len(messages) < max(most, 1):
                    steps.remove(step)
                await asyncio.gather(*(self._forward(msg) for msg in messages))
        left.waiting |= bool(steps)

    async def _forward(self, msg: Msg) -> None:
        *_, step, job = msg.subject.split(".")
        headers = {key: value for key, value in (msg.headers or {}).items() if key in {ATTEMPT, AFTER, TRACE}}
        if await self._admit(step, job, msg.data, headers):
            await self.bus.ack(msg, "ack-ready")
        else:
            self._waiting = True
            await msg.nak()  # at once, and to the front: holding it here would let a later one overtake it

    async def _admit(self, step: str, job: str, body: bytes, headers: dict[str, str]) -> bool:
        self._room[step] = self._room.get(step, 0) - 1
        self._tokens -= 1
        self._in_flight[step] += 1
        self._unseen[step] += 1
        try:
            await self.bus.publish(self.bus.subject("run", step, job), body, headers=headers, what="run")
        except Refused as refused:
            if not refused.held:
                return False
            # Held by this very command: it is admitted. By an older attempt that has ended: out with that one first.
            return not await self.sweep(step, job, below=attempt_in(headers))
        finally:
            self._in_flight[step] -= 1
        return True

    async def _heard_room(self, msg: Msg) -> None:
        step = msg.subject.rpartition(".")[2]
        if step in self._room:
            self._room[step] += 1
        self._tokens += 1
        if self._waiting:
            self._bell.set()

    async def _heard_bell(self, _: Msg) -> None:
        self._ring()

    def _ring(self) -> None:
        self._waiting = True
        self._bell.set()

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

    # the lease

    async def _holds_lease(self) -> bool:
        """Take it, keep it, or leave it to another. The server forgets it when its holder is gone."""
        clock = asyncio.get_running_loop().time()
        if clock < self._lease_until:
            return True
        key = self.bus.key("lease", "dispatcher")
        held = await self.bus.last("KV_lease", key)
        if held and held.data != self.me.encode():
            return False
        seconds = self.settings.dispatch_lease_seconds
        try:
            await self.bus.publish(
                key,
                self.me.encode(),
                after=held.sequence if held else 0,
                headers={"Nats-TTL": f"{seconds}s"},
                what="lease",
            )
        except Refused:
            return False
        self._lease_until = clock + seconds / 2
        return True

    async def forget(self) -> None:
        """The broker lost its storage, or was away: what was seen counts no more."""
        self._lease_until = 0.0
        self._room, self._tokens = {}, 0
        self._ring()

    async def restart(self) -> None:
        for puller in self._pullers.values():
            puller.wake()
        with suppress(*LOST):
            await self.forget()
