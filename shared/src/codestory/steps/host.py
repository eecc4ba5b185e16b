"""Serves one step: registers it, is present, and fills its slots. Keeps the bus, the heartbeats and the clock."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import nats.js.errors
from faststream.nats import NatsMessage

from codestory import cancelling, telemetry
from codestory.bus import LOST, Bus
from codestory.contracts.api import StepInfo
from codestory.contracts.services import Registration
from codestory.keeping import Keeping
from codestory.puller import Puller
from codestory.snapshots.cache import SnapshotCache
from codestory.snapshots.settings import CacheSettings
from codestory.steps.heartbeat import Heartbeat
from codestory.steps.settings import HostSettings
from codestory.steps.slot import Slot

log = telemetry.logger(__name__)

DESCRIBE_SECONDS = 120.0
#: Looks for what an orchestrator has yet to declare.
POLL_SECONDS = 0.1


class StepUnusable(Exception):
    """It is not installed, its package cannot be imported, or its probes cannot be served."""


async def describe(step: str) -> Registration:
    """What the step says of itself, asked in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "codestory.steps.describe", step),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DESCRIBE_SECONDS):
        out, err = await process.communicate()
    if process.returncode:
        raise StepUnusable(err.decode("utf-8", "replace").strip()[-4000:])
    return Registration.model_validate_json(out.splitlines()[-1])


async def _nothing() -> str:
    return ""


class Host:
    def __init__(self, bus: Bus, settings: HostSettings, info: StepInfo) -> None:
        self.bus, self.settings, self.info = bus, settings, info
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}".replace(".", "-")
        self.heartbeat = Heartbeat(bus, settings)
        self.snapshots = SnapshotCache(bus, CacheSettings())
        self.keeping = Keeping(bus, info.name)
        self.slots: list[Slot] = []
        #: What else it needs before it is ready, and has not. Empty: all there.
        self.needs: Callable[[], Awaitable[str]] = _nothing
        self._stop = asyncio.Event()
        bus.broker.subscriber(bus.subject("control", "*"))(self.control)
        bus.on_reconnect(self.back)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; then what runs may end within the drain time, and the rest is given back."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        serving = asyncio.create_task(self._serve())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for slot in self.slots:
            slot.stopping.set()
        for puller in self.bus.pullers:
            puller.wake()  # an idle slot waits for no command any more
        try:
            if self.slots or serving.done():
                await serving
            else:
                await cancelling.end(serving)
        finally:
            await asyncio.gather(*(slot.close() for slot in self.slots))
            with suppress(*LOST):
                await self.keeping.flush()
            await self._be_gone()
            await self.bus.close()

    async def _serve(self) -> None:
        await self.bus.connect()
        await self._declared()
        await self.register()
        await self.bus.broker.start()
        count = self.settings.slots or await self._consumer_limit()
        async with asyncio.TaskGroup() as group:
            await self._widen(group, count)
            log.info("step.serving", step=self.info.name, version=self.info.version, slots=count, worker=self.worker)
            present = asyncio.create_task(self._be_present(group))
            present.add_done_callback(self._broken)
            keeping = asyncio.create_task(self.keeping.run())
            self._measure()
            await self._stop.wait()
            present.remove_done_callback(self._broken)
            await cancelling.end(present, keeping)

    def _measure(self) -> None:
        clock = asyncio.get_running_loop().time

        def running() -> list[float]:
            """For each attempt the seconds since it made progress."""
            gauges = [slot.running.gauge for slot in self.slots if slot.running]
            return [max(0.0, clock() - gauge.moved) if gauge else 0.0 for gauge in gauges]

        telemetry.RUNNING.labels(self.info.name).set_function(lambda: len(running()))
        telemetry.QUIET.labels(self.info.name).set_function(lambda: max(running(), default=0.0))

    async def _widen(self, group: asyncio.TaskGroup, count: int) -> None:
        while len(self.slots) < count:
            slot = Slot(self.bus, self.settings, self.info, self.heartbeat, self.snapshots, worker=self.worker)
            self.slots.append(slot)
            group.create_task(slot.serve(await Puller(self.bus, "RUN", self.info.name).start()))

    def _broken(self, _: "asyncio.Task[None]") -> None:
        """Nobody would know that this host lives: it ends, and its supervisor starts it anew."""
        self._stop.set()

    async def _declared(self) -> None:
        """Wait until an orchestrator has declared the streams, the last of which is the consumer of EVENTS."""
        while True:
            try:
                await self.bus.js.stream_info(self.bus.stream("KV_workers"))
                self.bus.epoch = await self.bus.current_epoch()
                return
            except LOST:
                await asyncio.sleep(POLL_SECONDS)

    async def unready(self) -> str:
        """Why it cannot take a command now; empty: it can."""
        if self._stop.is_set():
            return "it has been told to stop"
        if not self.bus.connected:
            return "the message bus does not answer"
        if not self.slots:
            return "waiting for an orchestrator to declare the streams"
        return await self.needs()

    async def register(self) -> None:
        """Say that this step exists. The orchestrator then makes its consumers."""
        await self.bus.publish(
            self.bus.key("steps", self.info.name), self.info.model_dump_json().encode(), what="register"
        )

    async def _consumer_limit(self) -> int:
        while True:
            try:
                info = await self.bus.js.consumer_info(self.bus.stream("RUN"), self.info.name)
                return info.config.max_ack_pending or 1
            except nats.js.errors.NotFoundError:
                await asyncio.sleep(POLL_SECONDS)

    @property
    def _presence(self) -> str:
        return self.bus.key("workers", f"{self.info.name}.{self.worker}")

    async def _be_present(self, group: asyncio.TaskGroup) -> None:
        """Also has as many slots as the step's concurrency, which may be raised at any time."""
        while not cancelling.cancelled():
            with suppress(*LOST):
                await self._say_present()
                if self.settings.slots is None:
                    await self._widen(group, await self._consumer_limit())
            await asyncio.sleep(self.settings.presence_seconds / 3)

    async def _say_present(self) -> None:
        busy = sum(slot.running is not None for slot in self.slots)
        await self.bus.record(self._presence, {"slots": len(self.slots), "busy": busy, "version": self.info.version})

    async def _be_gone(self) -> None:
        with suppress(*LOST):
            async with asyncio.timeout(1):
                await self.bus.say("gone", self.info.name, self.worker)

    async def control(self, _: bytes, message: NatsMessage) -> None:
        """A hint that a job's state has changed; the tombstone is the truth."""
        self.heartbeat.hint(message.raw_message.subject.rpartition(".")[2])

    async def back(self) -> None:
        """Reconnected: is it the same broker, and what was said meanwhile? An empty one is first declared by others."""
        while self.bus.connected:  # else the next reconnection asks
            try:
                await self._catch_up()
                return
            except LOST:
                await asyncio.sleep(POLL_SECONDS)

    async def _catch_up(self) -> None:
        epoch = await self.bus.current_epoch()
        if epoch != self.bus.epoch:
            log.warning("bus.new_epoch", epoch=epoch)
            self.bus.epoch = epoch
        self.heartbeat.hint_all()  # attempts of another epoch find out at once
        await self._say_present()  # or a cancel would take us for dead
        await self.register()
