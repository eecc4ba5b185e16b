"""The parts of an orchestrator that admit commands, over a real broker, without the rest of it: for tests.

There is no API and there are no workers. A test plays the worker: what it ends is gone from RUN."""

import asyncio
from contextlib import suppress
from typing import Any

from codestory import cancelling
from codestory.bus import LOST, Bus
from codestory.contracts.api import StepInfo
from codestory.contracts.commands import RunStep
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import Priority
from codestory_orchestrator import pipeline
from codestory_orchestrator.dispatcher import Dispatcher
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.throttling.holders import Holders
from codestory_orchestrator.throttling.limits import Limits
from codestory_orchestrator.topology import Topology

REPOSITORY = Repository(id="r", name="shop", path="/srv/shop")
STEPS = {"a": 4, "b": 4}
FAST: dict[str, Any] = {
    "resource_max_tokens": 4,
    "dispatch_seconds": 0.05,
    "dispatch_lease_seconds": 1,
    "limits_seconds": 0.05,
    "nats_request_seconds": 2.0,
    "ack_wait_seconds": 1.0,
}


class Desk:
    """`tags`: the file's `resource_limits`; `steps`: the file's concurrencies."""

    def __init__(self, url: str, name: str = "one", **settings: Any) -> None:
        self.tags: dict[str, int] = settings.pop("tags", {})
        self.steps: dict[str, int] = settings.pop("steps", STEPS)
        values: dict[str, Any] = {"nats_url": url, "namespace": "desk"} | FAST | settings
        self.settings = OrchestratorSettings(**values)
        self.bus = Bus(self.settings, name)
        self.limits = Limits(self.bus, self.settings.limits_seconds)
        self.topology = Topology(self.bus, self.settings, self.limits)
        self.store = JobStore(self.bus, self.settings.priority_age_seconds)
        self.registry = Registry(self.bus, self._welcome, self.settings.limits_seconds)
        self.dispatcher = Dispatcher(self.bus, self.store, self.registry, self.limits, self.settings, me=name)
        self.holders = Holders(self.bus, self.store, self.limits)
        #: Of the job that was made last.
        self.commands: list[RunStep] = []
        self._work: list[asyncio.Task[None]] = []

    async def _welcome(self, step: str) -> None:
        await self.limits.configure(self.tags)
        await self.topology.declare_step(step, self.steps.get(step, 1))
        await self.dispatcher.serve(step)

    async def open(self) -> "Desk":
        await self.bus.connect()
        await self.topology.declare()
        self.bus.epoch = await self.bus.current_epoch()
        await self.store.mirror.start()
        await self.limits.start()
        await self.dispatcher.start()
        await self.registry.start()
        for step in self.steps:
            info = StepInfo(name=step, version="1")
            await self.bus.publish(self.bus.key("steps", step), info.model_dump_json().encode())
        self._work = [asyncio.create_task(self.registry.watch()), asyncio.create_task(self._dispatch())]
        return self

    async def knows_all(self) -> bool:
        """Every step of the file is served."""
        return self.registry.steps.keys() >= self.steps.keys()

    async def _dispatch(self) -> None:
        while not cancelling.cancelled():
            with suppress(*LOST):
                await self.dispatcher.dispatch()

    async def close(self) -> None:
        for work in self._work:
            await cancelling.end(work)
        await self.bus.close()

    # what others would do

    async def alive(self, *steps: str) -> None:
        for step in steps:
            await self.bus.publish(self.bus.key("workers", f"{step}.w"), {"slots": 1})

    async def dead(self, step: str) -> None:
        await self.bus.purge("KV_workers", self.bus.key("workers", f"{step}.w"))

    async def job(self, name: str, step: str = "a", *tags: str, priority: Priority = Priority.DEFAULT) -> Job:
        """One that has begun: its first command is decided, and sent nowhere yet."""
        plan = (StepPlan(name=step, resources=tags),)
        job = pipeline.make(name, REPOSITORY, plan, at=self.bus.now(), priority=priority)
        job, self.commands = pipeline.begin(job, self.bus.now())
        assert await self.store.write(job, 0)
        return job

    async def submit(self, name: str, step: str = "a", *tags: str, priority: Priority = Priority.DEFAULT) -> str:
        job = await self.job(name, step, *tags, priority=priority)
        await self.dispatcher.send(job, self.commands)
        return name

    async def end(self, *names: str) -> None:
        """These are done: their tokens are free."""
        for name in names:
            for step in self.steps:
                admitted = await self.bus.last("RUN", self.bus.subject("run", step, name))
                if admitted:
                    await self.dispatcher.free(step, admitted.sequence)

    # what there is

    async def admitted(self) -> list[str]:
        """The jobs in RUN, in the order in which they were admitted."""
        found = [
            await self.bus.last("RUN", subject) for subject in await self.bus.subjects("RUN", self.bus.subject("run.>"))
        ]
        ordered = sorted((admitted for admitted in found if admitted), key=lambda admitted: admitted.sequence)
        return [admitted.subject.rpartition(".")[2] for admitted in ordered]

    async def waiting(self) -> set[str]:
        subjects = await self.bus.subjects("READY", self.bus.subject("ready.>"))
        return {subject.rpartition(".")[2] for subject in subjects}

    async def tokens(self) -> int:
        return (await self.bus.js.stream_info(self.bus.stream("RUN"))).config.max_msgs or 0

    async def concurrency(self, step: str) -> int:
        info = await self.bus.js.consumer_info(self.bus.stream("RUN"), step)
        return info.config.max_ack_pending or 0
