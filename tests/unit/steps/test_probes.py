import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from codestory.steps.probes import Probes


class Needs:
    """What the process says of itself; it may hang."""

    def __init__(self) -> None:
        self.problem = ""
        self.hangs = False

    async def __call__(self) -> str:
        if self.hangs:
            await asyncio.Event().wait()
        return self.problem


@asynccontextmanager
async def served(needs: Needs, seconds: float = 5.0) -> AsyncGenerator[httpx.AsyncClient]:
    probes = Probes("127.0.0.1", 0, needs, seconds)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{probes.port}", trust_env=False) as client:
            yield client
    finally:
        await asyncio.to_thread(probes.close)


def said(response: httpx.Response) -> tuple[int, dict[str, Any]]:
    return response.status_code, json.loads(response.content)


async def test_a_process_that_has_all_it_needs_is_ready() -> None:
    async with served(Needs()) as client:
        assert said(await client.get("/readyz")) == (200, {"status": "pass"})
        assert said(await client.get("/livez")) == (200, {"status": "pass"})


async def test_what_is_missing_is_said_and_the_process_stays_alive() -> None:
    needs = Needs()
    needs.problem = "the message bus does not answer"
    async with served(needs) as client:
        assert said(await client.get("/readyz")) == (503, {"status": "fail", "detail": needs.problem})
        assert (await client.get("/livez")).status_code == 200


async def test_a_dependency_that_hangs_is_not_waited_for() -> None:
    needs = Needs()
    needs.hangs = True
    async with served(needs, 0.2) as client:
        assert said(await client.get("/readyz")) == (503, {"status": "fail", "detail": "no answer within 0.2 s"})
        assert (await client.get("/livez")).status_code == 200


async def test_a_stuck_event_loop_is_not_alive() -> None:
    async with served(Needs(), 0.2) as client:
        url = str(client.base_url.join("/livez"))
        asking = asyncio.get_running_loop().run_in_executor(None, lambda: httpx.get(url, trust_env=False))
        await asyncio.sleep(0)
        time.sleep(1)  # noqa: ASYNC251  # this is what is tested
        assert (await asking).status_code == 503


async def test_metrics_are_served_and_nothing_else() -> None:
    async with served(Needs()) as client:
        assert "python_info" in (await client.get("/metrics")).text
        assert (await client.get("/secrets")).status_code == 404
        assert (await client.post("/livez")).status_code == 404
