"""One place for an attempt: takes a command, claims it, has it done by a child, says how it ended, acknowledges."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import psutil
from nats.aio.msg import Msg
from pydantic import ValidationError

from codestory import cancelling, telemetry
from codestory.bus import LOST, TRACE, Bus, TooLarge, attempt_in
from codestory.contracts.api import StepInfo
from codestory.contracts.commands import RunStep
from codestory.contracts.events import (
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepProgressed,
    StepStopped,
    Terminal,
)
from codestory.contracts.jobs import Repository
from codestory.contracts.plans import Options
from codestory.contracts.results import Progress, Usage
from codestory.contracts.snapshots import snapshot_id
from codestory.contracts.values import Reason, now
from codestory.puller import Puller
from codestory.snapshots.cache import SnapshotAway, SnapshotCache, SnapshotUnusable
from codestory.steps import options
from codestory.steps.claim import Delivery, Overtaken, Unreadable, claim, parse, report
from codestory.steps.frames import DoneFrame, FailedFrame, RunFrame
from codestory.steps.heartbeat import Heartbeat, Verdict
from codestory.steps.output import Output
from codestory.steps.process import Child, ChildDied
from codestory.steps.progress import Gauge
from codestory.steps.settings import HostSettings
from codestory.steps.usage import Meter

log = telemetry.logger(__name__)

#: What an attempt that was told to end says.
INTERRUPTED = {Verdict.CANCELLED: StepCancelled, Verdict.STOPPED: StepStopped}
#: Without news, progress is said again after so many intervals, for its resource usage.
QUIET_INTERVALS = 10


@dataclass
class Running:
    """What is known of the attempt while it runs."""

    command: RunStep
    generation: int
    epoch: int
    #: Both from when its child begins.
    gauge: Gauge | None = None
    meter: Meter | None = None
    #: What its child has told of its phases meanwhile, and of all its parts at its end.
    heard: telemetry.Parts = field(default_factory=telemetry.Parts)
    told: tuple[telemetry.Part, ...] | None = None
    #: What the host did for it.
    own: telemetry.Parts = field(default_factory=telemetry.Parts)

    def hear(self, gauge: Gauge, progress: Progress, at: float) -> None:
        self.heard.phase(progress.phase)
        gauge.hear(progress, at)

    @property
    def parts(self) -> tuple[telemetry.Part, ...]:
        return (*self.own.all(), *(self.heard.all() if self.told is None else self.told))

    @property
    def usage(self) -> Usage:
        return self.meter.sample() if self.meter else Usage()


class Slot:
    def __init__(
        self,
        bus: Bus,
        settings: HostSettings,
        info: StepInfo,
        heartbeat: Heartbeat,
        snapshots: SnapshotCache,
        *,
        worker: str,
    ) -> None:
        self.bus, self.settings, self.info, self.heartbeat, self.worker = bus, settings, info, heartbeat, worker
        self.snapshots = snapshots
        self.stopping = asyncio.Event()
        self.running: Running | None = None
        self._child: Child | None = None

    async def serve(self, commands: Puller) -> None:
        """Until the host stops. Pulls expire within ack_wait, so that none swallows a redelivery after we are gone."""
        wait = min(5.0, self.settings.ack_wait_seconds)
        while not self.stopping.is_set():
            try:
                for msg in await commands.take(1, wait=wait):
                    await self.handle(msg)
            except LOST as error:
                log.warning("slot.interrupted", error=repr(error))
                await asyncio.sleep(0.2)
        await commands.stop()

    async def close(self) -> None:
        if self._child:
            await self._child.kill(self.settings.kill_grace_seconds)

    async def handle(self, msg: Msg) -> None:
        try:
            command = parse(msg)
        except Unreadable as error:
            await self._reject(msg, error)
            return
        if told := await self.heartbeat.told(command):
            event = INTERRUPTED[told](attempt=command.attempt, worker=self.worker, at=now())
            await self.bus.overrule(command.job, command.step, event)
        else:
            given, dropped = self._options(command)
            delivery = (msg.metadata.sequence.stream, msg.metadata.num_delivered)
            epoch = self.bus.epoch
            process = telemetry.process(_attempt(command), (msg.headers or {}).get(TRACE, ""))
            claimed = Delivery(command, delivery, self.worker, given, dropped, process.traceparent)
            try:
                generation = await claim(self.bus, self.settings, claimed, epoch)
            except Overtaken:
                log.info(
                    "step.overtaken", job_id=command.job, step=command.step, attempt=command.attempt, worker=self.worker
                )
                return
            if generation and not await self._work(msg, Running(command, generation, epoch), process):
                return  # somebody else's now
        await self.bus.ack(msg)
        await self.bus.say("room", command.step)

    async def _reject(self, msg: Msg, error: Unreadable) -> None:
        """Say why, then take it off the stream. Without a readable attempt the record's command is sent again."""
        *_, step, job = msg.subject.split(".")
        attempt = attempt_in(msg.headers)
        log.warning("command.unreadable", job_id=job, step=step, attempt=attempt, error=str(error))
        if attempt is not None:
            event = StepFailed(
                attempt=attempt, worker=self.worker, at=now(), reason=Reason.UNREADABLE, message=str(error)
            )
            await self.bus.overrule(job, step, event)
        await self.bus.terminate(msg, "unreadable")
        await self.bus.say("room", step)

    def _options(self, command: RunStep) -> tuple[Options, tuple[str, ...]]:
        return options.split(self.info.option_names, command.options)

    # the attempt

    async def _work(self, msg: Msg, running: Running, process: telemetry.Process) -> bool:
        """Have it done under a heartbeat. True: a terminal event of this attempt is stored."""
        command = running.command
        self.running = running
        output = Output(
            self.bus,
            self.settings.log_lines,
            job_id=command.job,
            step=command.step,
            attempt=command.attempt,
            trace_id=process.trace_id,
            span_id=process.span_id,
        )
        try:
            event = await self._end(msg, running, output, process)
            if self.bus.epoch != running.epoch:
                event = None  # of a broker that is gone
            said = event is not None and await self._reported(running, event)
        finally:
            self.running = None
            output.close()
        if event and not said and not self.stopping.is_set():
            telemetry.FENCED.labels("event").inc()
        self._say(running, event if said else None, process)
        return said

    async def _reported(self, running: Running, event: Terminal) -> bool:
        """Offered for long while the broker is away; a host that is told to stop lets it go: another does it anew."""
        reporting, stopping = asyncio.create_task(self._report(running, event)), asyncio.create_task(self._stopped())
        try:
            await asyncio.wait({reporting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return reporting.done() and reporting.result()
        finally:
            await cancelling.end(reporting, stopping)

    async def _report(self, running: Running, event: Terminal) -> bool:
        try:
            return await report(self.bus, self.settings, running.command, event, running.epoch)
        except TooLarge as error:
            event = self._failed(running, Reason.BUG, f"the step's result cannot be sent: {error}", usage=event.usage)
            return await report(self.bus, self.settings, running.command, event, running.epoch)

    async def _end(self, msg: Msg, running: Running, output: Output, process: telemetry.Process) -> Terminal | None:
        """How it ended; None: it is no longer ours to say."""
        doing = asyncio.create_task(self._do(running, output, process))
        beating = asyncio.create_task(self.heartbeat.beat(msg, running.command, running.generation, running.epoch))
        stopping = asyncio.create_task(self._stopped())
        telling = asyncio.create_task(self._tell(running))
        try:
            done, _ = await asyncio.wait({doing, beating, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if doing in done:
                return doing.result()
            usage = running.usage
            await self._interrupt(doing)
            verdict = beating.result() if beating in done else stopping.result()
            return self._stopped_by(verdict, running, usage)
        finally:
            await cancelling.end(doing, beating, stopping, telling)

    async def _do(self, running: Running, output: Output, process: telemetry.Process) -> Terminal | None:
        repository = running.command.repository
        if not (snapshot := snapshot_id(repository.path)):
            return await self._do_in(repository, running, output, process)
        try:
            async with AsyncExitStack() as stack:
                with telemetry.part(telemetry.SNAPSHOT, running.own):
                    directory = await stack.enter_async_context(self.snapshots.held(snapshot))
                at_hand = repository.model_copy(update={"path": str(directory)})
                return await self._do_in(at_hand, running, output, process)
        except SnapshotUnusable as error:
            return self._failed(running, Reason.GAVE_UP, str(error))
        except SnapshotAway as error:
            return self._failed(running, Reason.TEMPORARY, str(error), retryable=True)

    async def _do_in(
        self, repository: Repository, running: Running, output: Output, process: telemetry.Process
    ) -> Terminal | None:
        command = running.command
        given, _ = self._options(command)
        try:
            child = await self._warm_child(running)
            child.on_line = output.line
            with suppress(psutil.Error, OSError):
                running.meter = Meter(child.process.pid)
            frame = RunFrame(
                job=command.job,
                attempt=command.attempt,
                repository=repository,
                options=given,
                epoch=running.epoch,
                generation=running.generation,
                mode=command.mode,
                later=command.later,
                trace_id=process.trace_id,
                span_id=process.span_id,
            )
            end = await self._timed(child, frame, running)
            if end is None:
                return await self._timed_out(running)
            running.told = end.parts
            if child.leftovers():
                self._child = None
                await child.kill(0)
        except ChildDied as died:
            self._child = None
            reason = Reason.OUT_OF_MEMORY if died.out_of_memory else Reason.CRASHED
            return self._failed(running, reason, str(died), detail=died.tail, retryable=True)
        except TimeoutError:
            message = f"the step's process did not start within {self.settings.child_start_seconds:g} s"
            return self._failed(running, Reason.CRASHED, message, retryable=True)
        except OSError as error:  # no process, no memory, no file handle to be had now
            message = f"the step's process could not be started: {error}"
            return self._failed(running, Reason.CRASHED, message, retryable=True)
        return self._ended(running, end)

    async def _timed(self, child: Child, frame: RunFrame, running: Running) -> DoneFrame | FailedFrame | None:
        """None: it took longer than it may. The clock starts with a child that is ready."""
        clock = asyncio.get_running_loop().time
        gauge = running.gauge = Gauge(self.info.phases, started=clock())
        doing = asyncio.create_task(child.run(frame, lambda progress: running.hear(gauge, progress, clock())))
        try:
            await asyncio.wait({doing}, timeout=running.command.timeout_seconds)
            return doing.result() if doing.done() else None
        finally:
            await cancelling.end(doing)

    async def _timed_out(self, running: Running) -> StepFailed:
        usage, limit = running.usage, running.command.timeout_seconds
        await self._kill_child()
        return self._failed(running, Reason.TIMEOUT, f"it took longer than {limit:g} s", usage=usage)

    async def _warm_child(self, running: Running) -> Child:
        if self._child is None or not self._child.alive:
            with telemetry.part(telemetry.CHILD_START, running.own):
                self._child = await Child.start(self.info.name, self.settings)
        return self._child

    async def _interrupt(self, doing: "asyncio.Task[Terminal | None]") -> None:
        await cancelling.end(doing)
        await self._kill_child()

    async def _kill_child(self) -> None:
        """With its whole group. The next attempt gets a new one."""
        child, self._child = self._child, None
        if child:
            await child.kill(self.settings.kill_grace_seconds)

    async def _stopped(self) -> Verdict:
        await self.stopping.wait()
        await asyncio.sleep(self.settings.drain_seconds)
        return Verdict.SHUTDOWN

    async def _tell(self, running: Running) -> None:
        """Progress and usage, a few times a second at most; of a short attempt nothing."""
        told: Progress | None = None
        quiet = 0
        while True:
            await asyncio.sleep(self.settings.progress_seconds)
            usage = running.usage  # sampled each time: its peak is what the record shows
            if running.gauge is None:
                continue
            quiet = 0 if running.gauge.progress != told else quiet + 1
            if quiet % QUIET_INTERVALS == 0:
                with suppress(*LOST):
                    if told is None:
                        running.gauge.floor = await self._said_before(running.command)
                    progress = running.gauge.progress
                    await self._say_progress(running, running.gauge, usage)
                    told = progress

    async def _said_before(self, command: RunStep) -> float:
        """The fraction that an earlier attempt, or worker, had reached in this run of the job."""
        last = await self.bus.last("EVENTS", self.bus.subject("progress", command.job, command.step))
        with suppress(ValidationError):
            said = StepProgressed.model_validate_json(last.data) if last else None
            if said and said.run == command.run:
                return min(max(said.fraction or 0.0, 0.0), 1.0)
        return 0.0

    async def _say_progress(self, running: Running, gauge: Gauge, usage: Usage) -> None:
        """Under the fence, or a worker that was stopped for a while would say where it had been."""
        command, at, clock = running.command, now(), asyncio.get_running_loop().time()
        measured = gauge.measure(clock)
        news = StepProgressed(
            attempt=command.attempt,
            run=command.run,
            at=at,
            progress=gauge.progress,
            usage=usage,
            fraction=measured.fraction,
            rate=measured.rate,
            eta_seconds=measured.eta_seconds,
            moved_at=at - timedelta(seconds=max(0.0, clock - measured.moved)),
        )
        subject = self.bus.subject("progress", command.job, command.step)
        among = self.bus.events_of(command.job, command.step)
        await self.bus.record(subject, news, after=running.generation, among=among, alone=True)

    # how it ended

    def _ended(self, running: Running, end: DoneFrame | FailedFrame) -> Terminal:
        match end:
            case FailedFrame():
                return self._failed(running, end.reason, end.message, detail=end.detail, retryable=end.retryable)
            case DoneFrame():
                return StepCompleted(
                    attempt=running.command.attempt,
                    worker=self.worker,
                    at=now(),
                    generation=running.generation,
                    usage=running.usage,
                    outcome=end.outcome,
                )

    def _stopped_by(self, verdict: Verdict, running: Running, usage: Usage) -> Terminal | None:
        match verdict:
            case Verdict.FENCED:
                return None
            case Verdict.CANCELLED | Verdict.STOPPED:
                return INTERRUPTED[verdict](
                    attempt=running.command.attempt,
                    worker=self.worker,
                    at=now(),
                    generation=running.generation,
                    usage=usage,
                )
            case Verdict.SHUTDOWN:
                return self._failed(
                    running, Reason.SHUTDOWN, "its service was told to stop", retryable=True, usage=usage
                )

    def _failed(
        self,
        running: Running,
        reason: Reason,
        message: str,
        *,
        detail: str = "",
        retryable: bool = False,
        usage: Usage | None = None,
    ) -> StepFailed:
        return StepFailed(
            attempt=running.command.attempt,
            worker=self.worker,
            at=now(),
            generation=running.generation,
            usage=usage or running.usage,
            reason=reason,
            message=message[:4000],
            detail=detail[-16_000:],
            retryable=retryable,
        )

    def _say(self, running: Running, event: Terminal | None, process: telemetry.Process) -> None:
        """One line at the end of each attempt, and its span: of one that is another's now, the orchestrator tells."""
        usage = event.usage if event else running.usage
        failed = event if isinstance(event, StepFailed) else None
        if event:
            end = telemetry.End(event.kind, self.worker, usage)
            if failed:
                end = replace(end, reason=failed.reason, message=failed.message)
            telemetry.ended(process, end, running.parts)
        log.info(
            "step.ended",
            job_id=running.command.job,
            step=running.command.step,
            attempt=running.command.attempt,
            worker=self.worker,
            trace_id=process.trace_id,
            span_id=process.span_id,
            status=event.kind if event else Verdict.FENCED,
            seconds=usage.seconds,
            cpu_seconds=usage.cpu_seconds,
            peak_memory_bytes=usage.peak_memory_bytes,
            reason=failed.reason if failed else None,
            error=failed.message if failed else None,
        )


def _attempt(command: RunStep) -> telemetry.Attempt:
    return telemetry.Attempt(
        job=command.job,
        step=command.step,
        number=command.attempt,
        traceparent=command.traceparent,
        tracestate=command.tracestate,
        run=command.run,
    )
