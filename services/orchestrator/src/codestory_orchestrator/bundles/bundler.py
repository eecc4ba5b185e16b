"""Makes a support bundle. What cannot be had of it is named, with the reason: where help is wanted, much is down."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from prometheus_client import REGISTRY, generate_latest
from pydantic import BaseModel, JsonValue

from codestory import disclosure, telemetry
from codestory.bus import LOST
from codestory.contracts.access import Principal, Role
from codestory.contracts.history import EventList, LogList
from codestory.contracts.jobs import Job
from codestory.graph.errors import GraphError
from codestory.graph.health import GraphHealth
from codestory.graph.settings import GraphSettings
from codestory.redaction import Cleaner
from codestory_orchestrator.bundles import contents, lines, streams
from codestory_orchestrator.bundles.archive import Archive
from codestory_orchestrator.deployment import Deployment
from codestory_orchestrator.errors import Busy, IngestionError, JobNotFound, ServiceUnavailable
from codestory_orchestrator.fetching.settings import FetchSettings
from codestory_orchestrator.history.history import History
from codestory_orchestrator.history.place import Place
from codestory_orchestrator.ingestion import Ingestion
from codestory_orchestrator.replicas import Replicas
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore

log = telemetry.logger(__name__)

#: Of the whole, events may take this part; then comes what is left for the lines of the log.
EVENTS_PART = 0.25
#: Lines asked for at a time.
PAGE = 1000

Make = Callable[[], Awaitable[JsonValue]]


@dataclass(frozen=True)
class Sources:
    """Who is asked."""

    store: JobStore
    ingestion: Ingestion
    history: History
    deployment: Deployment
    replicas: Replicas
    graph: GraphHealth
    graph_settings: GraphSettings
    fetching: FetchSettings


class Bundler:
    def __init__(self, sources: Sources, settings: OrchestratorSettings) -> None:
        self.of, self.settings = sources, settings
        self._made = 0

    async def make(self, job_id: str, caller: Principal) -> bytes:
        """A zip file. JobNotFound, ServiceUnavailable when not even the job's record can be had, Busy."""
        if self._made >= self.settings.bundles_in_flight:
            raise Busy(self.settings.bundles_in_flight)
        self._made += 1
        try:
            return await self._make(job_id, caller)
        finally:
            self._made -= 1

    async def _make(self, job_id: str, caller: Principal) -> bytes:
        job = await self._job(job_id)
        known = await asyncio.to_thread(disclosure.secrets, *self._read)
        making = _Making(self, job, caller, Archive(self.settings.bundle_max_bytes, Cleaner(known)))
        await making.all()
        admin = caller.role is Role.ADMIN
        reader = "an admin" if admin else "the job's owner, who does not see how the deployment is set up"
        made_at = self.of.store.bus.now()
        packed = await asyncio.to_thread(making.archive.close, job.id, made_at, telemetry.version(), reader)
        log.info("bundle.made", job_id=job.id, bytes=len(packed), by=caller.name)
        return packed

    @property
    def _read(self) -> tuple[disclosure.Settings, ...]:
        return self.settings, self.of.graph_settings, self.of.fetching, telemetry.TelemetrySettings

    async def _job(self, job_id: str) -> Job:
        """As it is, or where the bus is away, as it was heard of last."""
        with suppress(*LOST):
            async with asyncio.timeout(self.settings.bundle_part_seconds):
                found = await self.of.store.read(job_id)
                if not found:
                    raise JobNotFound(job_id)
                return found[0]
        if remembered := self.of.store.remembered(job_id):
            return remembered[0]
        raise ServiceUnavailable

    def facts(self) -> JsonValue:
        """Of this orchestrator."""
        return cast("JsonValue", disclosure.facts(*self._read).model_dump(mode="json"))


class _Making:
    """One bundle."""

    def __init__(self, bundler: Bundler, job: Job, caller: Principal, archive: Archive) -> None:
        self.bundler, self.of, self.settings = bundler, bundler.of, bundler.settings
        self.job, self.archive = job, archive
        self.admin = caller.role is Role.ADMIN
        self.theirs = None if self.admin else caller.owner
        self._clock = asyncio.get_running_loop().time
        self._until = self._clock() + self.settings.bundle_seconds

    async def all(self) -> None:
        """Small ones first: what is large takes what room is left."""
        of, job = self.of, self.job
        parts: list[tuple[str, Make]] = [
            (contents.RECORD, _now(job)),
            (contents.JOB, _told(lambda: of.ingestion.show(job.id))),
            (contents.WHY, _told(lambda: of.ingestion.why(job.id, self.theirs))),
            (contents.MESSAGES, lambda: streams.messages(of.store.bus, job.id)),
            (contents.HEALTH, _told(of.ingestion.health)),
            (contents.STEPS, self._steps),
            (contents.TOKENS, _told(lambda: of.ingestion.holders(self.theirs))),
        ]
        parts += self._for_admins()
        for name, make in parts:
            await self._part(name, make)
        metrics = await asyncio.to_thread(generate_latest, REGISTRY)
        await asyncio.to_thread(self.archive.add_text, contents.METRICS, metrics.decode())
        await self._part(contents.TRACE, _told(lambda: of.history.trace(job.id)))
        await self._lines(contents.EVENTS, self._events, _events_of, int(self.settings.bundle_max_bytes * EVENTS_PART))
        await self._lines(contents.LOGS, self._logs, _lines_of, self.settings.bundle_max_bytes)

    def _for_admins(self) -> list[tuple[str, Make]]:
        if not self.admin:
            for name in contents.FOR_ADMINS:
                self.archive.miss(name, "for admins only: it says how the deployment is set up")
            return []
        of = self.of
        return [
            (contents.SETTINGS, self._settings),
            (contents.VERSIONS, self._versions),
            (contents.PIPELINE, self._pipeline),
            (contents.GRAPH, self._graph),
            (contents.STREAMS, lambda: streams.state(of.store.bus, sorted(of.deployment.registry.steps))),
            (contents.ORCHESTRATORS, self._orchestrators),
        ]

    # the parts

    async def _steps(self) -> JsonValue:
        return [step.model_dump(mode="json", exclude={"options_schema"}) for step in await self.of.ingestion.steps()]

    async def _settings(self) -> JsonValue:
        return await self._facts(("settings", "unknown", "cut"))

    async def _versions(self) -> JsonValue:
        told = await self._facts(("version", "python", "platform", "versions"))
        return {**told, "nats_server": streams.server(self.of.store.bus)}

    async def _facts(self, fields: Sequence[str]) -> dict[str, JsonValue]:
        """Of each service, as it says them itself."""
        ours = await asyncio.to_thread(self.bundler.facts)
        steps: dict[str, JsonValue] = {}
        for name, said in sorted(self.of.deployment.registry.registrations().items()):
            service = cast("JsonValue", said.service.model_dump(mode="json")) if said.service else None
            steps[name] = _only(service, fields) if service else "its service has not said"
        return {"orchestrator": _only(ours, fields), "steps": steps}

    async def _pipeline(self) -> JsonValue:
        return (await asyncio.to_thread(self.of.deployment.config)).model_dump(mode="json")

    async def _graph(self) -> JsonValue:
        return {"server": await self.of.graph.server()}

    async def _orchestrators(self) -> JsonValue:
        return dict(sorted((await self.of.replicas.present()).items()))

    async def _events(self, start: int) -> EventList:
        return await self.of.history.events(Place(self.job.id, start), PAGE)

    async def _logs(self, start: int) -> LogList:
        return await self.of.history.logs(Place(self.job.id, start), PAGE)

    # how a part is had

    async def _part(self, name: str, make: Make) -> None:
        value: list[JsonValue] = []

        async def made() -> None:
            value.append(await make())

        if why := await self._tried(name, made):
            self.archive.miss(name, why)
        else:
            await asyncio.to_thread(self.archive.add, name, value[0])

    async def _lines(
        self,
        name: str,
        page: Callable[[int], Awaitable[lines.Read]],
        items: Callable[[lines.Read], Sequence[BaseModel]],
        most: int,
    ) -> None:
        kept = lines.Kept(min(most, max(self.archive.room, 0)))

        def written(item: BaseModel) -> bytes:
            return self.archive.line(item.model_dump(mode="json"))

        why = await self._tried(
            name, lambda: lines.read(kept, page, items, written), seconds=self.settings.bundle_seconds
        )
        if why and not kept.lines():
            self.archive.miss(name, why)
        else:
            self.archive.add_lines(name, kept.lines(), f"{kept.cut()}: {why}" if why else kept.cut())

    async def _tried(self, name: str, do: Callable[[], Awaitable[None]], *, seconds: float = 0) -> str:
        """Why it did not come to an end; empty: it did."""
        left = self._until - self._clock()
        if left <= 0:
            return f"no time was left: a bundle may take {self.settings.bundle_seconds:g} s"
        seconds = min(seconds or self.settings.bundle_part_seconds, left)
        try:
            async with asyncio.timeout(seconds):
                await do()
        except TimeoutError:
            return f"no answer within {seconds:.1f} s"
        except LOST as error:
            return f"the message bus does not answer: {error!r}"
        except (IngestionError, GraphError) as error:
            return str(error)
        except Exception as error:  # what is broken must not hide the rest
            log.error("bundle.part_failed", job_id=self.job.id, part=name, exc_info=error)  # noqa: TRY400  # ours has no `exception`
            return f"a mistake of ours: {error!r}"
        return ""


def _told(ask: Callable[[], Awaitable[BaseModel]]) -> Make:
    async def made() -> JsonValue:
        return (await ask()).model_dump(mode="json")

    return made


def _now(value: BaseModel) -> Make:
    async def made() -> JsonValue:
        return value.model_dump(mode="json")

    return made


def _only(told: JsonValue, fields: Sequence[str]) -> JsonValue:
    return {name: told[name] for name in fields if name in told} if isinstance(told, dict) else told


def _events_of(page: EventList) -> Sequence[BaseModel]:
    return page.events


def _lines_of(page: LogList) -> Sequence[BaseModel]:
    return page.lines
