"""The services on the bus: `codestory-api`, and `codestory-step-<name>` for each step that exists.

Orchestrators share a queue group, so that one of them answers each request. No worker need be alive."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import nats.micro
from nats.micro.request import Request
from nats.micro.service import EndpointStats, Service, ServiceConfig

from codestory import telemetry
from codestory.bus import HEADER_BYTES, LOST, Bus
from codestory_orchestrator.errors import AnswerTooLarge, Busy
from codestory_orchestrator.operators.answering import Answer, answer, refused
from codestory_orchestrator.operators.requests import fields_of
from codestory_orchestrator.operators.verbs import VERBS, Desk, Verb, of_step
from codestory_orchestrator.settings import OrchestratorSettings

log = telemetry.logger(__name__)

QUEUE: Final = "orchestrators"
_SEMVER: Final = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


class Operators:
    """A request is a task of its own: the client library would else take the next one only when this one is done."""

    def __init__(self, bus: Bus, desk: Desk, settings: OrchestratorSettings) -> None:
        self.bus, self.desk, self.settings = bus, desk, settings
        #: By the step's name; empty: the orchestrator's own.
        self._services: dict[str, Service] = {}
        self._starting = asyncio.Lock()
        self._asked = 0
        #: By subject.
        self._errors: Counter[str] = Counter()
        self._nanoseconds: Counter[str] = Counter()
        self._last_error: dict[str, str] = {}

    async def start(self) -> None:
        """Serve the orchestrator's verbs. The client library subscribes anew at each reconnection."""
        await self._serve("", "api", ("api",), VERBS, "The verbs of the orchestrator.")

    async def serve(self, step: str) -> None:
        """Serve the operations of a step. Of one that is served already: nothing."""
        await self._serve(step, f"step-{step}", ("step", step), of_step(step), f"The operations of the step {step}.")

    async def _serve(
        self, key: str, name: str, subject: tuple[str, ...], verbs: Mapping[str, Verb], about: str
    ) -> None:
        async with self._starting:
            if key in self._services:
                return
            config = ServiceConfig(
                name=re.sub(r"[^A-Za-z0-9_-]", "-", f"{self.settings.namespace}-{name}"),
                version=_semantic(telemetry.version()),
                description=about,
                metadata={"codestory_version": telemetry.version(), "namespace": self.settings.namespace},
                queue_group=QUEUE,
                stats_handler=self._true_stats,
            )
            service = await nats.micro.add_service(self.bus.nc, config)
            try:
                for verb_name, verb in verbs.items():
                    await self._endpoint(service, self.bus.subject(*subject, verb_name), verb_name, verb)
            except BaseException:
                with suppress(*LOST):
                    await service.stop()
                raise
            self._services[key] = service

    async def _endpoint(self, service: Service, subject: str, name: str, verb: Verb) -> None:
        async def heard(request: Request) -> None:
            self._hear(verb, request)

        metadata = {"about": verb.about, "request": fields_of(verb.takes) or "nothing"}
        await service.add_endpoint(name=name, subject=subject, handler=heard, metadata=metadata)

    def _hear(self, verb: Verb, request: Request) -> None:
        if not request._msg.reply:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # nothing else tells
            log.info("operators.unanswerable", subject=request.subject)  # a bare `nats pub` asks for nothing
            return
        self.bus.in_background(self._answer(verb, request))

    async def _answer(self, verb: Verb, request: Request) -> None:
        began, subject = time.perf_counter_ns(), request.subject
        self._asked += 1
        try:
            if self._asked > self.settings.operators_in_flight:
                given = refused(Busy(self.settings.operators_in_flight), subject)
            else:
                limit = self.settings.operators_max_body_bytes
                with telemetry.within({name.lower(): value for name, value in (request.headers or {}).items()}):
                    given = await answer(self.desk, verb, subject, request.data, limit)
            room = self.bus.nc.max_payload - HEADER_BYTES
            if len(given.data) > room:
                given = refused(AnswerTooLarge(len(given.data), room), subject)
            with suppress(*LOST):
                await _respond(request, given)
        finally:
            self._asked -= 1
        took = time.perf_counter_ns() - began
        self._nanoseconds[subject] += took
        if given.error:
            self._errors[subject] += 1
            self._last_error[subject] = given.error
        log.info("operators.answered", subject=subject, status=given.status, seconds=round(took / 1e9, 4))

    def _true_stats(self, stats: EndpointStats) -> None:
        """The library has counted how long it took to begin the tasks."""
        stats.num_errors = self._errors[stats.subject]
        stats.last_error = self._last_error.get(stats.subject, "")
        stats.processing_time = self._nanoseconds[stats.subject]
        stats.average_processing_time = stats.processing_time // max(stats.num_requests, 1)


async def _respond(request: Request, given: Answer) -> None:
    if given.error:
        await request.respond_error(str(given.status), given.error, given.data)
    else:
        await request.respond(given.data)


def _semantic(version: str) -> str:
    """As micro services must state it: `1.2.3` of `1.2.3.dev4`."""
    found = _SEMVER.match(version)
    return found.group() if found else "0.0.0"
