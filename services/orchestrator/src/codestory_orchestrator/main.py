"""The orchestrator's process: settings, bus, parts, app. The only file that knows every part."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError

from codestory import cancelling, listening, telemetry
from codestory.bus import Bus
from codestory.graph.settings import GraphSettings
from codestory_orchestrator.api import LOOPBACK_HOSTS, ApiSettings, create_app
from codestory_orchestrator.orchestrator import Orchestrator
from codestory_orchestrator.settings import OrchestratorSettings

log = telemetry.logger(__name__)


async def serve(
    settings: OrchestratorSettings, listeners: list[socket.socket], before_write: Callable[[str], None] = lambda _: None
) -> int:
    """Until told to stop. Returns the process's exit code: 1 when a part of it broke."""
    orchestrator = Orchestrator(Bus(settings, "orchestrator", before_write), settings, GraphSettings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        """The API answers from the first moment; it is ready once the bus is."""
        work = asyncio.create_task(orchestrator.run())
        work.add_done_callback(broken)
        yield
        work.remove_done_callback(broken)
        await cancelling.end(work)  # what it raises has been logged
        await orchestrator.close()

    def broken(work: asyncio.Task[None]) -> None:
        log.error("orchestrator.broken", exc_info=work.exception() if not work.cancelled() else None)
        server.should_exit = True
        codes.append(1)

    orchestrator.door.announce()
    codes: list[int] = []
    anywhere = () if settings.on_loopback else ("*",)
    api = ApiSettings(
        allowed_hosts=settings.allowed_hosts or anywhere or LOOPBACK_HOSTS,
        cors_origins=settings.cors_origins,
        metrics_public=settings.on_loopback if settings.metrics_public is None else settings.metrics_public,
        ws_heartbeat_seconds=settings.ws_heartbeat_seconds,
        ws_send_seconds=settings.ws_send_seconds,
        sse_retry_seconds=settings.sse_retry_seconds,
        snapshot_part_bytes=settings.snapshot_part_bytes,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(
                orchestrator.ingestion,
                api,
                lifespan,
                schedules=orchestrator.schedules,
                history=orchestrator.history,
                door=orchestrator.door,
                repositories=orchestrator.repositories,
                snapshots=orchestrator.snapshots,
                bundles=orchestrator.bundler,
            ),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=3,
            server_header=False,
        )
    )
    # uvicorn raises what it was told again once it has ended, for whoever had a handler before it: that would end this
    # process before its last spans are sent.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    await server.serve(listeners)
    return codes[0] if codes else int(not server.started)


def _listening(settings: OrchestratorSettings) -> list[socket.socket]:
    """Before all else: an orchestrator that nobody can ask must not begin to lead."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [socket.create_server(address, family=family) for family, *_, address in dict.fromkeys(found)]
    except OSError as error:
        sys.exit(f"codestory-orchestrator: {listening.refused('CODESTORY_', settings.host, settings.port, error)}")


def _setting(location: tuple[int | str, ...]) -> str:
    """Nothing for what is wrong with several of them together."""
    return f"CODESTORY_{'_'.join(map(str, location)).upper()}: " if location else ""


def main(before_write: Callable[[str], None] = lambda _: None) -> None:
    try:
        settings = OrchestratorSettings()
    except ValidationError as error:
        sys.exit(
            "\n".join(
                f"codestory-orchestrator: {_setting(e['loc'])}{e['msg'].removeprefix('Value error, ')}"
                for e in error.errors()
            )
        )
    telemetry.configure("orchestrator", level=settings.log_level, keeps=True)
    telemetry.lag()
    code = uvloop.run(serve(settings, _listening(settings), before_write))
    telemetry.close(settings.export_seconds)
    sys.stderr.flush()
    os._exit(code)  # threads of libraries must not keep a stopped service alive


if __name__ == "__main__":
    main()
