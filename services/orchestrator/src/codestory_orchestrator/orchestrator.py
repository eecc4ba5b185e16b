"""All parts of one orchestrator, started and stopped together. Run as many as you like, kill any."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import nats.js.errors

from codestory import cancelling, telemetry
from codestory.bus import LOST, ORCHESTRATOR, Bus, BusLost
from codestory.graph.health import GraphHealth
from codestory.graph.settings import GraphSettings
from codestory.keeping import Keeping
from codestory.puller import Puller
from codestory_orchestrator import telling
from codestory_orchestrator.access.door import Door
from codestory_orchestrator.access.tickets import Tickets
from codestory_orchestrator.bundles.bundler import Bundler, Sources
from codestory_orchestrator.deletions import Deletions
from codestory_orchestrator.deployment import Deployment
from codestory_orchestrator.dispatcher import Dispatcher
from codestory_orchestrator.feed import Feed
from codestory_orchestrator.fetching.fetcher import Fetcher
from codestory_orchestrator.fetching.settings import FetchSettings
from codestory_orchestrator.handlers import Handlers
from codestory_orchestrator.history.history import History
from codestory_orchestrator.ingestion import Ingestion
from codestory_orchestrator.operators import Operators
from codestory_orchestrator.operators.verbs import Desk
from codestory_orchestrator.reconciler import Reconciler
from codestory_orchestrator.registry import Registry
from codestory_orchestrator.replicas import Replicas
from codestory_orchestrator.repositories import Repositories
from codestory_orchestrator.retention import Retention
from codestory_orchestrator.scheduling.schedules import Schedules
from codestory_orchestrator.scheduling.timers import Timers
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.snapshot_keeping import SnapshotKeeping
from codestory_orchestrator.snapshots import Snapshots
from codestory_orchestrator.store import JobStore
from codestory_orchestrator.throttling.limits import Limits
from codestory_orchestrator.topology import Topology

log = telemetry.logger(__name__)


class Orchestrator:
    def __init__(self, bus: Bus, settings: OrchestratorSettings, graph: GraphSettings) -> None:
        me = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}".replace(".", "-")
        self.bus, self.settings = bus, settings
        self.limits = Limits(bus, settings.limits_seconds)
        self.topology = Topology(bus, settings, self.limits)
        self.store = JobStore(bus, settings.priority_age_seconds)
        self.timers = Timers(bus)
        self.registry = Registry(bus, self._welcome, settings.limits_seconds)
        self.dispatcher = Dispatcher(bus, self.store, self.registry, self.limits, settings, me=me)
        self.reconciler = Reconciler(
            self.topology, self.store, self.registry, self.dispatcher, self.timers, settings=settings
        )
        self.retention = Retention(bus, self.store, settings)
        self.handlers = Handlers(bus, self.store, self.dispatcher, self.reconciler)
        self.feed = Feed(bus, self.store, settings.stalled_seconds)
        self.graph = GraphHealth(graph)
        self.deployment = Deployment(bus, self.registry, self.topology, settings)
        self.snapshots = Snapshots(bus, self.store, settings)
        fetching = FetchSettings()
        self.fetcher = Fetcher(bus, self.store, self.snapshots, self.reconciler, fetching, me=me)
        self.ingestion = Ingestion(
            bus=bus,
            store=self.store,
            registry=self.registry,
            reconciler=self.reconciler,
            feed=self.feed,
            timers=self.timers,
            deployment=self.deployment,
            snapshots=self.snapshots,
            fetching=fetching,
            graph=self.graph,
            settings=settings,
        )
        self.ingestion.on_fetch = self.fetcher.ring
        self.schedules = Schedules(bus, self.store, self.timers, self.ingestion, self.reconciler.due)
        self.reconciler.on_timers = self.schedules.mend
        self.deletions = Deletions(
            bus, self.store, self.registry, self.reconciler, graph=graph, settings=settings, me=me
        )
        self.repositories = Repositories(self.store, self.deletions, graph, settings)
        self.reconciler.on_deletions = self.deletions.mend
        self.history = History(bus, self.store, settings)
        self.keeping = Keeping(bus)
        keeping = SnapshotKeeping(self.snapshots)
        desk = Desk(self.ingestion, self.schedules, self.history, self.repositories, keeping)
        self.operators = Operators(bus, desk, settings)
        self.replicas = Replicas(bus, me, self.deployment.config)
        sources = Sources(
            self.store,
            self.ingestion,
            self.history,
            self.deployment,
            self.replicas,
            self.graph,
            graph_settings=graph,
            fetching=fetching,
        )
        self.bundler = Bundler(sources, settings)
        self.door = Door(settings, Tickets(bus, settings.tickets_seconds))
        self.ingestion.report.access = self.door.check
        self.ingestion.report.differing = lambda: self.replicas.differing

    async def run(self) -> None:
        """Connect, declare, then work until cancelled. A bug in any part ends all of them, and so the process."""
        bus = self.bus
        bus.on_reconnect(self._back)
        telemetry.DEPENDENCY.labels("nats").set_function(lambda: bus.connected)
        telling.begin()
        await bus.connect()
        await self.dispatcher.start()
        epoch = await self._learn()
        await bus.broker.start()
        await self.handlers.start(await Puller(bus, "EVENTS", ORCHESTRATOR).start())
        await self.schedules.start()
        bus.epoch = epoch
        await self.operators.start()
        log.info("orchestrator.ready", namespace=self.settings.namespace, steps=sorted(self.registry.steps))
        async with asyncio.TaskGroup() as group:
            group.create_task(self.registry.watch())
            group.create_task(self.replicas.be_present())
            for work in (
                self.handlers.hear,
                self.schedules.hear,
                self.dispatcher.dispatch,
                self.reconciler.reconcile,
                self.retention.forget_old,
                self.snapshots.forget_old,
                self.fetcher.fetch_due,
                self.keeping.keep,
                self.measure,
            ):
                group.create_task(self._forever(work))

    async def close(self) -> None:
        await self.door.close()
        await self.fetcher.close()
        await self.dispatcher.close()
        await self.deletions.close()
        with suppress(*LOST):
            await self.keeping.flush()
        await self.bus.close()
        await self.repositories.close()
        await self.graph.close()

    async def measure(self) -> None:
        """What it depends on, for who watches its metrics."""
        telemetry.DEPENDENCY.labels("graph").set(not await self.graph.problem())
        await asyncio.sleep(self.settings.dependencies_seconds)

    async def _learn(self) -> int:
        """Declare everything, and hear of all that there is; the epoch. A broker that is slow to answer is asked again:
        to end this process, and begin anew, would take longer still."""
        while True:
            try:
                await self.topology.declare()
                epoch = await self.bus.current_epoch()
                await self.bus.sync_clock()
                await self.store.mirror.start()
                await self.limits.start()
                await self.registry.start()
                return epoch
            except nats.js.errors.BadRequestError:
                raise  # the server refuses what we ask for: no waiting mends that
            except LOST as error:
                log.warning("orchestrator.waiting", error=repr(error))
                await asyncio.sleep(0.2)

    async def _welcome(self, step: str) -> None:
        await self.deployment.tune(step)
        await self.dispatcher.serve(step)
        await self.operators.serve(step)

    async def _back(self) -> None:
        """Reconnected: hear what was said meanwhile. An empty broker is the reconciler's business."""
        await self.dispatcher.forget()
        with suppress(BusLost):  # of an empty broker there is nothing to ask
            await self.bus.sync_clock()
        await self.store.mirror.list()
        await self.limits.relist()
        await self.registry.relist()

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while not cancelling.cancelled():
            try:
                await work()
            except LOST as error:
                log.warning("orchestrator.interrupted", part=work.__qualname__, error=repr(error))
                await asyncio.sleep(0.2)
