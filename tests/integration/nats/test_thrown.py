"""Whatever is thrown onto the bus, jobs end as they should. On a server without users anybody may throw; with users
only the orchestrator's own may."""

import json
import os
import random

import pytest

from codestory.contracts.values import now
from codestory.testing_bus import LIMIT
from codestory.testing_world import World, plan

from .conftest import ask

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

JUNK = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe\x00",
    b'{"attempt": "one"}',
    b'{"attempt": 1e999, "fraction": NaN}',
    b'{"attempt": 99999999999999999999999}',
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    b"x" * 500_000,
]


def hints(world: World, job: str) -> list[str]:
    """Core NATS: heard by who listens now."""
    return [
        world.bus.subject(*tokens)
        for tokens in (
            ("control", job),
            ("control", "nobody"),
            ("bell",),
            ("room", "a"),
            ("room", "nobody"),
            ("gone", "nobody", "w"),
            ("live", "progress", job, "a"),
            ("live", "progress", "nobody", "a"),
            ("live", "evt", job, "a", "completed"),
            ("live", "log", job, "a"),
            ("live", "workers", "a", "w"),
            ("live", "nothing"),
        )
    ]


def stored(world: World, job: str) -> list[str]:
    """What a stream keeps."""
    return [
        world.bus.subject(*tokens)
        for tokens in (
            ("evt", job, "a", "strange"),
            ("evt", "nobody", "a", "completed"),
            ("evt", "nobody", "job", "ended"),
            ("evt", job, "nobody", "failed"),
            ("progress", job, "a"),
            ("progress", "nobody", "a"),
            ("log", job, "a"),
            ("run", "a", "nobody"),
            ("run", "nobody", "nobody"),
            ("ready", "high", "a", "nobody"),
            ("ready", "high", "a", "nobody", "more"),
            ("due", "nobody"),
            ("due", job),
        )
    ]


async def throw(world: World, subjects: list[str], seed: int) -> None:
    """In some order, with whatever headers."""
    order = random.Random(seed)  # an order that can be tried again
    thrown = [(subject, data) for subject in subjects for data in JUNK]
    order.shuffle(thrown)
    for number, (subject, data) in enumerate(thrown):
        headers = {"Codestory-Attempt": "x" * 100, "Codestory-After": "-1"} if number % 3 == 0 else None
        await world.bus.nc.publish(subject, data, headers=headers)
    await world.bus.nc.flush()


async def test_hints_do_no_harm(world: World) -> None:
    gate = world.gate()
    job = await world.submit(plan("a", gate=gate.path))
    await world.event(job, "a", "started")

    await throw(world, hints(world, job), seed=1)
    gate.open()
    await world.state(job, "COMPLETED")
    later = await world.submit(plan("a"))
    await world.state(later, "COMPLETED")

    assert (await world.step_of(job, "a"))["attempt"] == 1
    await world.sound(job, later)


async def test_junk_in_the_streams_does_no_harm_to_jobs(world: World) -> None:
    gate = world.gate()
    job = await world.submit(plan("a", gate=gate.path))
    await world.event(job, "a", "started")

    await throw(world, stored(world, job), seed=2)
    gate.open()
    await world.state(job, "COMPLETED")
    later = await world.submit(plan("a"))
    await world.state(later, "COMPLETED")

    assert (await world.step_of(job, "a"))["attempt"] == 1
    assert (await ask(world.bus, "api.events", {"job": job})).status == 200
    assert (await ask(world.bus, "api.logs", {"job": job})).status == 200
    assert (await ask(world.bus, "api.health")).body["checks"]["nats"]["status"] == "pass"

    async def all_tokens_are_back() -> bool:
        tokens = (await ask(world.bus, "api.resources")).body
        return tokens["available_tokens"] == tokens["max_tokens"]

    await world.until(all_tokens_are_back, "junk holds no token", 30)


async def test_a_command_that_the_record_does_not_know_is_run_for_nobody(world: World) -> None:
    """Well formed, of a job that does not exist. Its token comes back."""
    command = {
        "job": "forged",
        "step": "a",
        "attempt": 1,
        "after": 0,
        "repository": {"id": "r", "name": "r", "path": "/srv"},
        "options": {"say": os.urandom(4).hex()},
    }
    headers = {"Codestory-Attempt": "1", "Codestory-After": "0"}
    await world.bus.publish(world.bus.subject("run", "a", "forged"), json.dumps(command).encode(), headers=headers)

    async def gone() -> bool:
        return "a.forged" not in await world.running()

    await world.until(gone, "the forged command holds no token", LIMIT)
    assert (await ask(world.bus, "api.get", {"job": "forged"})).status == 404
    job = await world.submit(plan("a"))
    await world.state(job, "COMPLETED")


async def test_an_end_that_is_forged_for_an_earlier_attempt_or_another_run_changes_nothing(world: World) -> None:
    gate = world.gate()
    job = await world.submit(plan("a", gate=gate.path))
    await world.event(job, "a", "started")
    forged = {"attempt": 0, "worker": "forger", "at": now().isoformat(), "generation": 1, "outcome": {"summary": "x"}}

    for tokens in (("evt", job, "b", "completed"), ("evt", job, "nobody", "completed")):
        await world.bus.nc.publish(world.bus.subject(*tokens), json.dumps(forged | {"attempt": 1}).encode())
    await world.bus.nc.publish(world.bus.subject("evt", job, "job", "ended"), json.dumps({"run": 9}).encode())
    await world.bus.nc.flush()
    gate.open()

    await world.state(job, "COMPLETED")
    assert (await world.step_of(job, "a"))["outcome"]["summary"] == "done"
