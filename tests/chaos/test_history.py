"""The history of a job over connections that break at any byte, and servers that die: each event once, in order."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from codestory import cancelling
from codestory.bus import LOST
from codestory.client import AsyncClient, Patience
from codestory.testing import wait_until
from codestory.testing_world import World, Worlds, plan

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]

CUTS = 200
#: Bytes of the service's answer after which a connection is cut, at most.
LONGEST = 3000
QUICK = Patience(back_off=0.01, max_back_off=0.1)


class Cutter:
    """A way to the service that breaks after some bytes, anywhere in the middle of anything."""

    def __init__(self, target: Callable[[], int], seed: int) -> None:
        self._target, self._dice = target, random.Random(seed)
        self.cuts = 0
        self.cutting = True
        self._open = set[asyncio.Task[None]]()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[str]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            await cancelling.end(*self._open)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connected(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", self._target())
                asking = asyncio.create_task(_copy(reader, back))
                try:
                    if await self._answer(there, writer):
                        self.cuts += 1
                finally:
                    back.transport.abort()
                    await cancelling.end(asking)
        finally:
            writer.transport.abort()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """True: it was cut."""
        left = self._dice.randint(1, LONGEST)
        while data := await there.read(65536):
            kept = data[:left] if self.cutting else data
            writer.write(kept)
            await writer.drain()
            left -= len(kept)
            if self.cutting and left <= 0:
                return True
        return False


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def by_websocket(address: str, job: str) -> AsyncGenerator[int]:
    """As a program does that knows nothing but the documentation."""
    start = 0
    while True:
        with suppress(OSError, EOFError, WebSocketException):
            async with connect(
                f"ws://{address}/v1/ingest/{job}/ws?from_seq={start}", proxy=None, compression=None, close_timeout=0
            ) as socket:
                async for frame in socket:
                    said = json.loads(frame)
                    if said["kind"] == "event":
                        start = said["seq"] + 1
                        yield said["event"]["seq"]
                    elif said["kind"] == "ended":
                        return


async def by_sse(address: str, job: str) -> AsyncGenerator[int]:
    """As a browser does."""
    headers = {"Accept": "text/event-stream"}
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        while True:
            with suppress(httpx.TransportError):
                async with http.stream("GET", f"http://{address}/v1/ingest/{job}/events", headers=headers) as response:
                    if response.status_code == 204:
                        return
                    if response.status_code != 200:
                        continue
                    async for event in EventSource(response).aiter_sse():
                        if event.data:
                            headers["Last-Event-ID"] = event.id
                            yield json.loads(event.data)["seq"]


async def by_sdk(address: str, job: str) -> AsyncGenerator[int]:
    async with AsyncClient(f"http://{address}", patience=QUICK) as client, aclosing(client.events(job)) as events:
        async for event in events:
            yield event.seq


async def hear(heard: list[int], said: AsyncGenerator[int]) -> None:
    async with aclosing(said):
        async for sequence in said:
            heard.append(sequence)  # noqa: PERF401 - others look at it meanwhile


async def write(world: World, job: str) -> None:
    """Something happens to the job, again and again, whether the broker is there or not."""
    number = 0
    while True:
        with suppress(*LOST):
            await world.bus.publish(world.bus.subject("evt", job, "z", "noted"), {"number": number, "text": "x" * 150})
        number += 1
        await asyncio.sleep(0.01)


@pytest.mark.timeout(600)
async def test_over_hundreds_of_cut_connections_and_dying_servers_each_event_is_told_once(worlds: Worlds) -> None:
    async with worlds(CODESTORY_HISTORY_BATCH="20", CODESTORY_WS_HEARTBEAT_SECONDS="1") as world:
        orchestrators = [world.orchestrator(), world.orchestrator()]
        alive = list(world.ports)
        world.worker("a")
        await world.ready("a")
        gate = world.gate()
        job = await world.submit(plan("a", gate=gate.path, fail_until=2), retries=5, back_off=0.05)
        dice = random.Random(11)
        cutters = [Cutter(lambda: dice.choice(alive), seed) for seed in range(3)]
        heard: list[list[int]] = [[], [], []]
        writing = asyncio.create_task(write(world, job))

        async def cut_often() -> bool:
            assert not any(task.done() for task in hearing), [task for task in hearing if task.done()]
            return all(cutter.cuts >= CUTS * done // 4 for cutter in cutters)

        async with cutters[0].open() as ws, cutters[1].open() as sse, cutters[2].open() as sdk:
            ways = (by_websocket(ws, job), by_sse(sse, job), by_sdk(sdk, job))
            hearing = [asyncio.create_task(hear(into, way)) for into, way in zip(heard, ways, strict=True)]
            try:
                for done in range(1, 5):
                    await wait_until(cut_often, f"{CUTS * done // 4} cuts of each, now {[c.cuts for c in cutters]}", 90)
                    if done == 2:
                        world.server.kill()
                        world.server.start()
                    elif done < 4:
                        orchestrators.pop(0).kill()
                        del alive[0]
                        orchestrators.append(world.orchestrator())
                        alive.append(world.ports[-1])
                await cancelling.end(writing)
                for cutter in cutters:
                    cutter.cutting = False
                gate.open()
                await world.state(job, "COMPLETED")
                async with asyncio.timeout(60):
                    await asyncio.gather(*hearing)
            finally:
                await cancelling.end(writing, *hearing)
        stored = [event.sequence for event in await world.history(job)]

    assert [cutter.cuts >= CUTS for cutter in cutters] == [True] * 3
    assert len(stored) > 200
    for way in heard:
        assert way == stored


async def test_a_stream_that_is_made_anew_ends_the_feed_and_says_so(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        gate = world.gate()
        job = await world.submit(plan("a", gate=gate.path))
        await world.event(job, "a", "started")
        before = (await world.ask("GET", f"/v1/ingest/{job}/events")).json()

        async with connect(f"ws://127.0.0.1:{world.ports[-1]}/ws/status/{job}?from_seq=0", proxy=None) as socket:
            first: dict[str, Any] = json.loads(await socket.recv())
            world.server.kill()
            world.server.wipe()
            world.server.start()
            with suppress(WebSocketException):
                async with asyncio.timeout(30):
                    async for _ in socket:
                        pass
            code = socket.close_code
        gate.open()
        await world.state(job, "COMPLETED")
        again = await world.ask("GET", f"/v1/ingest/{job}/events?from_seq=1&epoch={before['epoch']}")
        now = (await world.ask("GET", f"/v1/ingest/{job}/events")).json()

    assert first["event"]["kind"] == "started"
    assert code in {4410, 4404}, "its history is gone; the job itself may not have been put back yet"
    assert (again.status_code, again.json()["code"]) == (410, "events_gone")
    assert now["events"][-1]["kind"] == "ended"
    assert now["epoch"] != before["epoch"]
