"""Gets commands to where they run: into READY, and from there into RUN as far as there is room, the urgent first.

How much runs is the server's own limit (RUN's max_msgs); in which order is this dispatcher's. One orchestrator at a
time fills RUN, by a lease. The lease guards order, never safety: two at once could only mix up priorities."""

import asyncio
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nats.aio.msg import Msg

from codestory import telemetry
from codestory.bus import AFTER, ATTEMPT, LOST, PRIORITIES, TRACE, TRACE_STATE, Bus, Refused, attempt_in, encoded
from codestory.contracts.commands import RunStep
from codestory.contracts.events import JobEnded
from codestory.contracts.jobs import Job
from codestory.contracts.values import Priority
from codestory.puller import Puller
from codestory_orchestrator import control, pipeline, telling
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.throttling.admission import Admission, Outcome
from codestory_orchestrator.throttling.held_back import HeldBack, HeldCommand
from codestory_orchestrator.throttling.limits import Limits
from codestory_orchestrator.throttling.reclaim import Reclaim
from codestory_orchestrator.throttling.tags import fits

log = telemetry.logger(__name__)

#: Rounds of one dispatch. Each admits something, so this is only a bound.
ROUNDS = 1000


@dataclass
class Left:
    """What one round may still admit."""

    tokens: int
    room: dict[str, int]
    tags: dict[str, int]
    admitted: bool = False
    #: The steps that were not found empty.
    waiting: set[str] = field(default_factory=set[str])

    def take(self, step: str, count: int, tags: Collection[str] = ()) -> None:
        self.tokens -= count
        self.room[step] -= count
        self.tags |= {tag: self.tags[tag] - count for tag in tags if tag in self.tags}
        self.admitted |= count > 0


class Dispatcher:
    def __init__(
        self,
        bus: Bus,
        store: JobStore,
        registry: Registry,
        limits: Limits,
        settings: OrchestratorSettings,
        *,
        me: str,
    ) -> None:
        self.bus, self.store, self.registry, self.limits, self.settings = bus, store, registry, limits, settings
        self.me = me
        self.admission = Admission(bus, store, registry, limits)
        self.reclaim = Reclaim(self.admission, settings, me)
        self._pullers: dict[tuple[Priority, str], Puller] = {}
        self._bell = asyncio.Event()
        #: Steps of which something may wait in READY, and those that are being asked for it now.
        self._maybe: set[str] = set()
        self._asked: frozenset[str] = frozenset()
        self._held_back = HeldBack(settings.ack_wait_seconds)
        self._lease_until = self._renew_lease_at = 0.0
        #: Which step is the first to get its share; another one each time.
        self._turn = 0

    async def start(self) -> None:
        self.limits.changed = lambda _: self._ring()
        await self.bus.nc.subscribe(self.bus.subject("room.*"), cb=self._heard_room)
        await self.bus.nc.subscribe(self.bus.subject("bell"), cb=self._heard_bell)

    async def serve(self, step: str) -> None:
        """From now on, dispatch this step too. Its consumers exist."""
        for priority in PRIORITIES:
            if (priority, step) not in self._pullers:
                self._pullers[priority, step] = await Puller(self.bus, "READY", f"{priority}-{step}").start()
        self._ring(step)

    # into READY

    async def send(self, job: Job, commands: list[RunStep]) -> None:
        await asyncio.gather(*(self.enqueue(job, command) for command in commands))

    def priority_of(self, job: Job, step: str) -> Priority:
        """Under which its command is to wait by now."""
        return self.aged(job.priority, pipeline.waits_since(job, step))

    def aged(self, priority: Priority, since: datetime | None) -> Priority:
        return control.aged(priority, since, self.bus.now(), self.settings.priority_age_seconds)

    async def enqueue(self, job: Job, command: RunStep) -> None:
        """Into READY, once whatever the priority; straight into RUN when there is room and nothing waits."""
        subject, headers = self.bus.subject, _headers(command)
        due = job.steps[command.step].due_at
        step, body = command.step, encoded(command)
        if due is None and self._straight(job, step):
            outcome = await self.admission.admit(step, job.id, body, headers)
            if outcome is Outcome.ADMITTED:
                telling.admitted(job, step, command.attempt, self.bus.now())
                return
        target = subject("ready", self.priority_of(job, step), step, job.id)
        with suppress(Refused):  # it waits already
            if due:
                at = due.astimezone(UTC)
                headers |= {"Nats-Schedule": f"@at {at:%Y-%m-%dT%H:%M:%S.%fZ}", "Nats-Schedule-Target": target}
                await self.bus.publish(subject("sched", job.id, step), body, after=0, headers=headers, what="sched")
            else:
                among = self._ready(step, job.id)
                await self.bus.publish(target, body, after=0, among=among, headers=headers, what="ready")
        await self.bus.say("bell", body=step.encode())

    def _straight(self, job: Job, step: str) -> bool:
        """Only who fills RUN knows that nothing waits that could take the room."""
        if not self.leads or not self.admission.has_room(step):
            return False
        if len(self._held_back) and set(job.plan_of(step).resources) & self.limits.tags.keys():
            return False
        room = self.admission.room
        return all(room.get(other, 0) <= 0 for other in self._maybe | self._asked)

    async def announce(self, job: Job) -> None:
        """The end of this run of the job, said once."""
        event = JobEnded(run=job.run, state=job.state, at=job.ended_at or self.bus.now())
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
                telling.job_ended(job)
                trace_id = telemetry.trace_id_in(job.traceparent)
                log.info("job.ended", job_id=job.id, state=job.state, run=job.run, trace_id=trace_id)
                return

    # at once or not at all

    async def room_for(self, steps: list[str], job: Job | None = None) -> str:
        """Why these first steps, of a job that nobody may know yet, cannot all be admitted at once; empty: they can.

        What waits for the same room is in front of them."""
        look = await self.admission.look()
        room, tokens = self.admission.room, self.admission.tokens
        if tokens <= 0:
            return f"all {look.max_tokens} tokens are held"
        waiting = [(s.split(".")[-2], s.split(".")[-1]) for s in await self.bus.subjects("READY", self._ready("*"))]
        counts = Counter(step for step, _ in waiting)
        before = sum(min(count, max(room.get(step, 0), 0)) for step, count in counts.items())
        if tokens - before < len(steps):
            return f"{tokens} of {look.max_tokens} tokens are free, and {before} commands wait for them before it"
        for step, count in Counter(steps).items():
            if room.get(step, 0) - counts[step] < count:
                most = self.admission.most.get(step, 1) if step in self.admission.living else 1
                return f"as many runs of the step '{step}' are admitted, or wait before it, as may be at once ({most})"
        wanted = Counter(tag for step in steps for tag in (job.plan_of(step).resources if job else ()))
        held = await self.admission.tags.held([*look.admitted, *waiting])
        for tag, limit in self.limits.tags.items():
            if wanted[tag] and held[tag] + wanted[tag] > limit:
                return f"the resource '{tag}' is held, or waited for, by {held[tag]} steps, and {limit} may hold it"
        return ""

    async def admit_now(self, job: Job, command: RunStep) -> bool:
        """Straight into RUN, past READY. False: there is no room for it, in all, for the step, or for a tag."""
        step, body = command.step, encoded(command)
        tags = await self.admission.tags.of(step, job.id)
        outcome = await self.admission.admit_exactly(step, job.id, body, _headers(command), tags=tags, room=True)
        if outcome is Outcome.ADMITTED:
            telling.admitted(job, step, command.attempt, self.bus.now())
        return outcome is Outcome.ADMITTED

    def _ready(self, step: str, job: str = "*") -> str:
        """Where its command waits, under whatever priority."""
        return self.bus.subject("ready", "*", step, job)

    # from READY into RUN

    async def dispatch(self) -> None:
        """One round: when a bell rings, or after the fallback interval."""
        rung = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.dispatch_seconds):
                rung = await self._bell.wait()
        self._bell.clear()
        if not await self._holds_lease():
            await self._held_back.give_back()
            if not rung:
                await self.admission.look()  # for who watches its metrics
            return
        await self._held_back.keep()
        if not rung:
            await self._anything_waits()
        for _ in range(ROUNDS):
            await self.admission.look()
            if not await self._fill() or not await self._holds_lease():
                return
            await self._held_back.keep()

    async def _anything_waits(self) -> None:
        """Bells are hints, and a retry that is due rings none."""
        _, count = await self.bus.waiting("READY", self._ready("*"))
        if count:
            self._maybe |= self.registry.steps.keys()

    async def _fill(self) -> bool:
        """Admit the highest priority first, of the steps that have room. True when it is worth another look.

        Steps without a living worker get what the others leave. What frees up meanwhile is for the next round, so that
        it is highest first again."""
        room = self.admission.room
        self._asked, self._maybe = frozenset(self._maybe & room.keys()), set()
        try:
            left = Left(self.admission.tokens, dict(room), await self.admission.free_tags())
            living = self.admission.living
            for steps in (room.keys() & living, room.keys() - living):
                for priority in PRIORITIES:
                    await self._fill_from_held_back(priority, steps, left)
                    await self._fill_from(priority, steps & self._asked, left)
        except BaseException:
            self._maybe |= self._asked
            raise
        else:
            self._maybe |= left.waiting
        finally:
            self._asked = frozenset()
        return left.admitted and bool(self._maybe)

    async def _fill_from(self, priority: Priority, asked: Collection[str], left: Left) -> None:
        """Each step in turn gets its share, so that one with a long queue does not take all there is."""
        steps = [step for step in left.room if step in asked and (priority, step) in self._pullers]
        self._turn += 1
        first = self._turn % len(steps) if steps else 0
        steps = steps[first:] + steps[:first]
        while steps and left.tokens > 0 and self.leads:
            share = max(1, left.tokens // len(steps))
            for step in list(steps):
                most = min(left.room[step], left.tokens, share)
                messages = await self._pullers[priority, step].take(most) if most > 0 else []
                if most <= 0:
                    left.waiting.add(step)
                if len(messages) < max(most, 1):
                    steps.remove(step)
                await self._forward(priority, messages, left)
        left.waiting.update(steps)

    async def _forward(self, priority: Priority, messages: list[Msg], left: Left) -> None:
        """In the order in which they came; those without a limited tag all at once."""
        free: list[Msg] = []
        for msg in messages:
            *_, step, job = msg.subject.split(".")
            tags = await self.admission.tags.of(step, job)
            if not tags:
                left.take(step, 1)
                free.append(msg)
                continue
            await asyncio.gather(*(self._forward_one(msg) for msg in free))
            free = []
            await self._forward_tagged(HeldCommand(msg, priority, step, job, tags), left)
        await asyncio.gather(*(self._forward_one(msg) for msg in free))

    async def _forward_one(self, msg: Msg) -> None:
        *_, step, job = msg.subject.split(".")
        if await self.admission.admit(step, job, msg.data, _kept(msg)) is Outcome.ADMITTED:
            self._tell(msg, step, job)
            await self.bus.ack(msg, "ack-ready")
        else:
            self._maybe.add(step)
            await msg.nak()  # at once, and to the front: holding it here would let a later one overtake it

    def _tell(self, msg: Msg, step: str, job: str) -> None:
        remembered = self.store.remembered(job)
        telling.admitted(remembered[0] if remembered else None, step, attempt_in(msg.headers), self.bus.now())

    # those with limited tags

    async def _forward_tagged(self, command: HeldCommand, left: Left) -> None:
        """Held back when a tag is not free, or when an older one waits for it: those behind it go on."""
        if not fits(command.tags, left.tags) or command.tags & self._held_back.wanted(command.priority):
            self._held_back.add(command)
            return
        match await self._admit_tagged(command, left):
            case Outcome.NO_TAG:
                self._held_back.add(command)
            case Outcome.FULL | Outcome.AGAIN:
                self._maybe.add(command.step)
                await command.msg.nak()
            case Outcome.ADMITTED:
                pass

    async def _fill_from_held_back(self, priority: Priority, steps: Collection[str], left: Left) -> None:
        """The oldest first. One whose step has room keeps its tags from those behind it."""
        blocked: set[str] = set()
        for command in self._held_back.of(priority):
            if all(tag in blocked or not fits({tag}, left.tags) for tag in self._held_back.wanted(priority)):
                return
            if command.step not in steps or left.room.get(command.step, 0) <= 0:
                continue
            if left.tokens <= 0 or not self.leads:
                return
            waits = bool(blocked & command.tags) or not fits(command.tags, left.tags)
            if waits or await self._admit_held_back(command, left) is not Outcome.ADMITTED:
                blocked |= command.tags

    async def _admit_held_back(self, command: HeldCommand, left: Left) -> Outcome:
        """Unless it has been taken out of READY meanwhile: by a cancel, or for another priority."""
        waits = await self.bus.last("READY", self._ready(command.step, command.job))
        if waits is None or waits.sequence != command.sequence:
            self._held_back.drop(command)
            return Outcome.ADMITTED  # nothing waits any more
        outcome = await self._admit_tagged(command, left)
        if outcome is Outcome.ADMITTED:
            self._held_back.drop(command)
        return outcome

    async def _admit_tagged(self, command: HeldCommand, left: Left) -> Outcome:
        outcome = await self.admission.admit(command.step, command.job, command.msg.data, _kept(command.msg))
        match outcome:
            case Outcome.ADMITTED:
                left.take(command.step, 1, command.tags)
                self._tell(command.msg, command.step, command.job)
                await self.bus.ack(command.msg, "ack-ready")
            case Outcome.NO_TAG:
                left.tags.update(dict.fromkeys(command.tags, 0))
            case Outcome.FULL:
                left.tokens = 0
            case Outcome.AGAIN:
                pass
        return outcome

    # hints

    async def _heard_room(self, msg: Msg) -> None:
        self.admission.freed(msg.subject.rpartition(".")[2])
        if self._maybe or self._asked or len(self._held_back):
            self._bell.set()

    async def _heard_bell(self, msg: Msg) -> None:
        self._ring(msg.data.decode(errors="replace"))

    def _ring(self, step: str = "") -> None:
        """Something may wait: of this step, or of any."""
        self._maybe |= {step} if step else self.registry.steps.keys()
        self._bell.set()

    # tokens

    async def sweep(self, step: str, job_id: str) -> bool:
        return await self.admission.sweep(step, job_id)

    async def free(self, step: str, sequence: int) -> None:
        await self.admission.free(step, sequence)

    async def tend(self) -> None:
        """What the reconciler has to ask for in each of its rounds. Only one orchestrator does anything."""
        if self.leads:
            await self.reclaim.from_the_dead()
            await self.limits.observe(list(self.registry.steps))

    # the lease

    @property
    def leads(self) -> bool:
        """It is this orchestrator that fills RUN."""
        return asyncio.get_running_loop().time() < self._lease_until

    async def _holds_lease(self) -> bool:
        """Take it, keep it, or leave it to another. The server forgets it when its holder is gone."""
        clock = asyncio.get_running_loop().time()
        if clock < self._renew_lease_at:
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
        self._renew_lease_at, self._lease_until = clock + seconds / 2, clock + seconds * 3 / 4
        return True

    async def forget(self) -> None:
        """The broker lost its storage, or was away: what was seen counts no more."""
        self._lease_until = self._renew_lease_at = 0.0
        self.admission.forget()
        self.limits.forget_concurrencies()
        self.registry.forget_silence()
        self._ring()
        await self.close()

    async def close(self) -> None:
        """What is held back here goes to another at once; what cannot be given back, after ack_wait."""
        with suppress(*LOST):
            await self._held_back.give_back()


def _headers(command: RunStep) -> dict[str, str]:
    trace = {TRACE: telemetry.dispatch_context(telling.of_command(command))}
    state = {TRACE_STATE: command.tracestate} if command.tracestate else {}
    return {ATTEMPT: str(command.attempt), AFTER: str(command.after), **trace, **state}


def _kept(msg: Msg) -> dict[str, str]:
    """Of a command's headers in READY those that go with it into RUN."""
    return {key: value for key, value in (msg.headers or {}).items() if key in {ATTEMPT, AFTER, TRACE, TRACE_STATE}}
