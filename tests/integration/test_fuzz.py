"""Nonsense from outside: requests, and messages on every subject. Nothing dies of it, and no log line has no end."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from codestory.bus import AFTER, ATTEMPT
from codestory.contracts.api import Problem, SubmitJob
from codestory.telemetry import LONGEST_LINE
from codestory.testing_world import World, Worlds, plan

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

MESSAGES = 400
#: Where messages go, after the namespace: those that carry work, news, hints; `*` is a word, or a name that is in use.
SUBJECTS = (
    "ready.default.*.*",
    "run.*.*",
    "sched.*.*",
    "due.*",
    "evt.*.*.*",
    "evt.*.job.ended",
    "progress.*.*",
    "log.*.*",
    "control.*",
    "live.progress.*.*",
    "live.jobs.*",
    "live.evt.*.*.*",
    "room.*",
    "bell",
)
BUCKETS = ("jobs", "cancel", "limits", "steps", "workers", "idempotency", "lease")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncGenerator[World]:
    async with Worlds(Path(__file__).parents[1] / "chaos")() as shared:
        shared.orchestrator()
        shared.worker("a")
        await shared.ready("a")
        yield shared


async def unharmed(world: World) -> None:
    """All live, a job runs to its end, and no line of any log is longer than it may be."""
    assert [process.args for process in world.started if process.poll() is not None] == []
    job = await world.submit(plan("a"))
    await world.state(job, "COMPLETED")
    lines = world.log.read_bytes().splitlines()
    assert max(map(len, lines)) <= LONGEST_LINE


JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([*SubmitJob.model_fields, "nonsense"])
NEAR: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"repository": st.just("") | st.text()},
    optional={
        "pipeline": st.fixed_dictionaries(
            {"steps": st.lists(st.fixed_dictionaries({"name": st.sampled_from("abcx")}))}
        ),
        "steps": st.lists(st.sampled_from("abcx"), max_size=4),
        "options": st.dictionaries(st.text(max_size=5), JSON, max_size=3),
        "step_options": st.dictionaries(
            st.sampled_from("abx"), st.dictionaries(st.text(), JSON, max_size=3), max_size=2
        ),
        "dependencies": st.dictionaries(
            st.sampled_from("abx"), st.lists(st.sampled_from("abx"), max_size=3), max_size=3
        ),
        "priority": st.sampled_from(["high", "low", "urgent"]),
        "eta": st.datetimes().map(str) | st.text(),
        "countdown": st.floats() | st.integers(),
        "after": st.lists(st.text(max_size=8), max_size=3),
        "name": st.text(max_size=400),
        "mode": st.sampled_from(["full", "update", "half"]),
        "on_full": st.sampled_from(["fail", "wait"]),
    },
)


async def test_no_request_to_submit_harms(world: World) -> None:
    url, repository = f"http://127.0.0.1:{world.ports[0]}/v1/ingest", world.repository()

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(NEAR | st.dictionaries(FIELDS, JSON) | JSON, st.none() | st.text(st.characters(codec="latin-1"), max_size=5))
    def submit(body: Any, key: str | None) -> None:
        asked = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
        if asked.get("repository") == "":
            asked["repository"] = repository
        headers = httpx.Headers({"Content-Type": "application/json"}, encoding="latin-1")
        if key and key.isprintable():
            headers["Idempotency-Key"] = key.strip()
        answer = client.post(url, content=json.dumps(body), headers=headers)
        assert answer.status_code < 500, answer.text
        if answer.is_error:
            assert answer.headers["content-type"] == "application/problem+json"
            assert Problem.model_validate_json(answer.content).code
            assert len(answer.content) < 20_000

    with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
        await asyncio.to_thread(submit)

    await unharmed(world)


def junk(chance: random.Random) -> bytes:
    """Bytes, JSON of the wrong shape, and JSON that is nearly right."""
    match chance.randrange(6):
        case 0:
            return chance.randbytes(chance.randrange(200))
        case 1:
            return b"[" * chance.choice([10, 100_000])
        case 2:
            return json.dumps({"attempt": chance.choice([-1, 10**30, "x", None, 1.5]), "worker": "w" * 5000}).encode()
        case 3:
            return json.dumps([1, None, {"a": {}}]).encode()
        case 4:
            return b"x" * chance.choice([0, 1, 500_000])
        case _:
            fields = ("job_id", "step", "attempt", "kind", "state", "options", "at", "id", "name", "value")
            values: tuple[JsonValue, ...] = ("a", 1, -1, None, {}, [], "2026-01-01T00:00:00Z", "\ud800", 1e308)
            return json.dumps({name: chance.choice(values) for name in fields}).encode()


async def test_no_message_harms(world: World) -> None:
    chance = random.Random(20261128)
    job = await world.submit(plan("a"))
    await world.state(job, "COMPLETED")
    words = ("a", "b", "nonsense", "A-1", "job", job, "x" * 200)

    for _ in range(MESSAGES):
        data = junk(chance)
        headers = chance.choice([{}, {ATTEMPT: "1", AFTER: "0"}, {ATTEMPT: "x", AFTER: "-1", "traceparent": "x" * 500}])
        if chance.random() < 0.25:
            bucket = chance.choice(BUCKETS)
            subject = world.bus.key(bucket, chance.choice(words[2:5]))
        else:
            tokens = chance.choice(SUBJECTS).split(".")
            subject = world.bus.subject(*(chance.choice(words) if token == "*" else token for token in tokens))
        await world.bus.nc.publish(subject, data, headers=dict(headers) or None)
    await world.bus.nc.flush()

    await unharmed(world)
