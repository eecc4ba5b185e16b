"""The orchestrator's verbs and the steps' operations as NATS micro services."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from nats.aio.msg import Msg

from codestory.testing import wait_until
from codestory.testing_world import World, Worlds, plan

from .conftest import ask

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

OPERATIONS = {"run", "status", "stop", "cancel", "ingestion_update", "dependencies", "retry", "schedule"}


def request(world: World, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"repository": world.repository(), "pipeline": {"steps": steps or (plan("a"),)}, **fields}


async def test_a_job_that_is_started_by_a_request_completes_and_is_shown_as_the_rest_api_shows_it(world: World) -> None:
    started = await ask(world.bus, "api.start", request(world))
    job = started.body["id"]
    await world.state(job, "COMPLETED")

    shown = await ask(world.bus, "api.get", {"job": job})
    events = await ask(world.bus, "api.events", {"job": job})

    async def same_logs() -> bool:  # they come a moment after
        logs = await ask(world.bus, "api.logs", {"job": job})
        return bool(logs.body["lines"]) and logs.body == (await world.ask("GET", f"/v1/ingest/{job}/logs")).json()

    await wait_until(same_logs, "both show the same log")

    assert started.status == shown.status == 200
    assert shown.body == await world.show(job)
    assert [e["kind"] for e in events.body["events"]] == ["started", "completed", "ended"]


@pytest.mark.parametrize("name", ["traceparent", "Traceparent"])
async def test_a_job_that_is_started_by_a_request_belongs_to_the_trace_that_its_header_names(
    world: World, name: str
) -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {name: f"00-{trace_id}-{span_id}-01", "tracestate": "vendor=1"}

    subject, body = world.bus.subject("api.start"), json.dumps(request(world)).encode()
    answer = await world.bus.nc.request(subject, body, timeout=20, headers=headers)

    job = json.loads(answer.data)["id"]
    await world.state(job, "COMPLETED")
    spans: list[dict[str, Any]] = []

    async def told() -> bool:
        spans[:] = (await world.ask("GET", f"/v1/ingest/{job}/trace")).json()["spans"]
        return any(span["name"] == "submit job" and span["parent_id"] for span in spans)

    await wait_until(told, "the submission's span is kept", 60)
    root = next(span for span in spans if span["name"] == "submit job")
    assert (root["trace_id"], root["parent_id"]) == (trace_id, span_id)
    linked = [link for span in spans for link in span["links"]]
    assert linked
    assert set(linked) == {f"{trace_id}-{root['span_id']}"}


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("resources", "resource_status"),
        ("holders", "resource_status/holders"),
        ("limits", "resource_limits"),
        ("steps", "steps"),
        ("schedules", "schedules"),
        ("list", ""),
        ("scale", "scale/b"),
    ],
)
async def test_what_is_looked_at_is_what_the_rest_api_shows(world: World, verb: str, path: str) -> None:
    async def the_same() -> bool:
        there = (await world.ask("GET", f"/v1/ingest/{path}".rstrip("/"))).json()
        asked = {"step": "b"} if verb == "scale" else {}
        return (await ask(world.bus, f"api.{verb}", asked)).body == there

    await wait_until(the_same, f"{verb} is {path}")


async def test_a_start_that_is_sent_again_makes_one_job(world: World) -> None:
    by_id = request(world, job_id="mine")
    by_key = request(world, idempotency_key="a key")

    made = await asyncio.gather(*(ask(world.bus, "api.start", body) for body in [by_id, by_key] * 10))

    assert {said.status for said in made} == {200}
    assert len({said.body["id"] for said in made}) == 2
    assert len(await world.jobs_on(by_key["repository"])) == 1
    assert await world.jobs_on(by_id["repository"]) == ["mine"]


async def test_a_job_is_stopped_resumed_changed_and_cancelled(world: World) -> None:
    gate = world.gate()
    job = (await ask(world.bus, "api.start", request(world, plan("a", gate=gate.path)))).body["id"]
    await world.event(job, "a", "started")

    why = await ask(world.bus, "api.why", {"job": job})
    changed = await ask(world.bus, "api.change", {"job": job, "priority": "high"})
    stale = await ask(world.bus, "api.stop", {"job": job, "revision": 1})
    await ask(world.bus, "api.stop", {"job": job})
    await world.state(job, "STOPPED")
    await ask(world.bus, "api.resume", {"job": job})
    await world.event(job, "a", "started", count=2)
    step = await ask(world.bus, "step.a.status", {"job": job})
    await ask(world.bus, "step.a.cancel", {"job": job})
    await world.state(job, "CANCELLED")
    late = await ask(world.bus, "api.stop", {"job": job})

    assert why.body["state"] == "RUNNING"
    assert changed.body["priority"] == "high"
    assert (stale.status, stale.body["code"]) == (412, "changed_meanwhile")
    assert (step.body["name"], step.body["attempt"]) == ("a", 2)
    assert (late.status, late.body["code"]) == (409, "job_conflict")
    assert late.error.startswith("job_conflict: The job ")


async def test_the_operations_of_a_step_without_a_worker_are_answered(world: World) -> None:
    repository = world.repository()

    dependencies = await ask(world.bus, "step.b.dependencies")
    ran = await ask(world.bus, "step.b.run", {"repository": repository, "priority": "low", "job_id": "of-b"})
    again = await ask(world.bus, "step.b.run", {"repository": repository, "job_id": "of-b"})
    updated = await ask(world.bus, "step.b.ingestion_update", {"repository": world.repository()})
    put_off = await ask(world.bus, "step.b.schedule", {"repository": world.repository(), "countdown": 3600})
    recurring = {"repository": world.repository(), "cron": "0 3 * * *"}
    scheduled = await ask(world.bus, "step.b.schedule", recurring)
    both = await ask(world.bus, "step.b.schedule", {**recurring, "countdown": 1})
    strange = await ask(world.bus, "step.b.run", {"repository": repository, "options": {"none": 1}})
    status = await ask(world.bus, "step.b.status", {"job": "of-b"})
    stopped = await ask(world.bus, "step.b.stop", {"job": "of-b"})
    await world.state("of-b", "STOPPED")
    retried = await ask(world.bus, "step.b.retry", {"job": "of-b", "options": {"say": "again"}})
    for job in ("of-b", updated.body["id"], put_off.body["id"]):
        await ask(world.bus, "step.b.cancel", {"job": job})
    stale = await ask(world.bus, "api.delete_schedule", {"schedule": scheduled.body["id"], "revision": 1})
    deleted = await ask(world.bus, "api.delete_schedule", {"schedule": scheduled.body["id"]})

    assert dependencies.body == ["a"]
    assert (ran.body["id"], again.body["id"], again.body["priority"]) == ("of-b", "of-b", "low")
    assert [step["name"] for step in ran.body["steps"]] == ["b"]
    assert updated.body["mode"] == "update"
    assert put_off.body["state"] == "SCHEDULED"
    assert scheduled.body["cron"] == "0 3 * * *"
    assert both.status == 422
    assert "one of them" in both.body["detail"]
    assert (strange.status, strange.body["code"]) == (422, "unknown_option")
    assert status.body["name"] == "b"
    assert stopped.status == 200
    assert retried.body["steps"][0]["attempt"] == 2
    assert (stale.status, stale.body["code"]) == (412, "changed_meanwhile")
    assert deleted.body == {"deleted": scheduled.body["id"]}


DEEP = b'{"repository": "/srv", "options": ' + b'{"a":' * 30_000 + b"1" + b"}" * 30_000 + b"}"


@pytest.mark.parametrize(
    ("subject", "data", "status", "code"),
    [
        ("api.start", b"", 422, "invalid_request"),
        ("api.start", b"\xff\x00 nonsense", 422, "invalid_request"),
        ("api.start", b"[1, 2]", 422, "invalid_request"),
        ("api.start", b'"' + b"\n" * 5000 + b'"', 422, "invalid_request"),
        ("api.start", DEEP, 422, "invalid_request"),
        (
            "api.start",
            b'{"repository": "/srv", "unknown\\r\\nNats-Service-Error-Code: 200": 1}',
            422,
            "invalid_request",
        ),
        ("api.start", b'{"repository": "/srv", "a\\ud800b": 1}', 422, "invalid_request"),
        ("api.start", b" " * 300_000, 413, "content_too_large"),
        ("api.start", b'{"repository": "/nowhere/\\u0000\\u001b[31m"}', 422, "repository_refused"),
        ("api.start", b'{"repository": "/nowhere"}', 422, "repository_refused"),
        ("api.get", b'{"job": "../../x y"}', 404, "job_not_found"),
        ("api.get", b'{"job": "*"}', 404, "job_not_found"),
        ("api.get", b'{"job": ">", "more": 1}', 422, "invalid_request"),
        ("api.cancel", b'{"job": "none"}', 404, "job_not_found"),
        ("api.events", b'{"job": "none"}', 404, "job_not_found"),
        ("api.list", b'{"limit": 100000}', 422, "invalid_request"),
        ("api.list", b'{"cursor": "none"}', 422, "cursor_invalid"),
        ("api.change_step", b'{"step": "nobody", "concurrency": 3}', 422, "unknown_step"),
        ("api.change_resources", b'{"max_tokens": 0}', 422, "invalid_request"),
        ("api.get_schedule", b'{"schedule": "* >"}', 404, "schedule_not_found"),
        ("api.scale", b'{"step": "nobody"}', 404, "step_not_found"),
        ("api.repositories", b'{"cursor": "none"}', 422, "cursor_invalid"),
        ("api.get_repository", b'{"repository": ""}', 422, "invalid_request"),
        ("api.delete_repository", b'{"repository": "a\\ud800b"}', 422, "invalid_request"),
        ("api.snapshots", b'{"limit": 201}', 422, "invalid_request"),
        ("api.delete_snapshot", b'{"snapshot": "*"}', 422, "invalid_request"),
        ("api.delete_snapshot", b'{"snapshot": "' + b"0" * 64 + b'"}', 404, "snapshot_not_found"),
        ("api.cancel_jobs", b"{}", 422, "invalid_request"),
        ("step.a.status", b'{"job": "none"}', 404, "job_not_found"),
    ],
)
async def test_what_cannot_be_served_is_refused_with_a_problem(
    world: World, subject: str, data: bytes, status: int, code: str
) -> None:
    said = await ask(world.bus, subject, data)

    assert (said.status, said.body["code"], said.body["status"]) == (status, code, status), said
    assert said.body["detail"]
    assert said.error.startswith(f"{code}: ")
    assert said.error.isprintable()
    assert len(said.body["detail"]) < 2000


async def test_nothing_that_is_sent_ends_more_than_itself(world: World) -> None:
    await asyncio.gather(*(world.bus.nc.publish(world.bus.subject("api.start"), data) for data in (b"{", DEEP, b"1")))
    body = json.dumps(request(world)).encode()
    await world.bus.nc.publish(world.bus.subject("api.start"), body)  # asks for no answer: nothing is done

    assert (await ask(world.bus, "api.health")).body["checks"]["nats"]["status"] == "pass"
    assert await world.jobs_on(json.loads(body)["repository"]) == []


async def answers(world: World, subject: str, count: int) -> list[dict[str, Any]]:
    """What so many services say to a request that each of them answers."""
    said: dict[str, dict[str, Any]] = {}

    async def heard(msg: Msg) -> None:
        body = json.loads(msg.data)
        said[body["id"]] = body

    inbox = world.bus.nc.new_inbox()
    subscription = await world.bus.nc.subscribe(inbox, cb=heard)

    async def all_there() -> bool:
        await world.bus.nc.publish(subject, reply=inbox)
        return len(said) >= count

    await world.until(all_there, f"{count} answers to {subject}")
    await subscription.unsubscribe()
    return list(said.values())


async def test_the_services_are_found_and_say_what_they_take_and_how_they_do(world: World) -> None:
    await ask(world.bus, "api.cancel", {"job": "none"})

    pings = await answers(world, "$SRV.PING", 3)
    [api] = await answers(world, "$SRV.INFO.chaos-api", 1)
    [step] = await answers(world, "$SRV.INFO.chaos-step-a", 1)
    [stats] = await answers(world, "$SRV.STATS.chaos-api", 1)
    schemas = (await ask(world.bus, "api.describe")).body

    assert {ping["name"] for ping in pings} == {"chaos-api", "chaos-step-a", "chaos-step-b"}
    subjects = {endpoint["subject"]: endpoint for endpoint in api["endpoints"]}
    assert subjects["chaos.api.start"]["metadata"]["request"].startswith("repository, ref?")
    assert schemas.keys() == {subject.removeprefix("chaos.api.") for subject in subjects}
    assert schemas["cancel"]["request"]["required"] == ["job"]
    assert {endpoint["name"] for endpoint in step["endpoints"]} == OPERATIONS
    cancel = next(endpoint for endpoint in stats["endpoints"] if endpoint["name"] == "cancel")
    assert cancel["num_requests"] >= cancel["num_errors"] > 0
    assert cancel["last_error"].startswith("job_not_found")
    assert cancel["processing_time"] > 0


async def test_two_orchestrators_answer_each_request_once(worlds: Worlds) -> None:
    async with worlds() as world:
        for _ in range(2):
            world.orchestrator()
        await world.register("a")
        await answers(world, "$SRV.PING.chaos-step-a", 2)

        bodies = [request(world) for _ in range(20)]
        made = await asyncio.gather(*(ask(world.bus, "api.start", body) for body in bodies))
        listed = (await ask(world.bus, "api.list", {"limit": 200})).body["jobs"]

        counts = Counter(job["repository"]["path"] for job in listed)
        assert {said.status for said in made} == {200}
        assert counts == Counter(body["repository"] for body in bodies)


async def test_an_orchestrator_with_its_hands_full_says_so(worlds: Worlds) -> None:
    async with worlds(CODESTORY_OPERATORS_IN_FLIGHT="1", CODESTORY_OPERATORS_MAX_BODY_BYTES="2000") as world:
        world.orchestrator()
        await world.register("a")

        said = await asyncio.gather(*(ask(world.bus, "api.start", request(world)) for _ in range(20)))
        large = await ask(world.bus, "api.get", {"job": "x" * 3000})

        assert {one.status for one in said} == {200, 503}
        assert {one.body["code"] for one in said if one.status == 503} == {"busy"}
        assert large.body["code"] == "content_too_large"


async def test_the_services_answer_again_after_the_broker_has_lost_everything(worlds: Worlds) -> None:
    async with worlds() as world:
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        world.server.kill()
        world.server.wipe()
        world.server.start()
        await world.ready("a")

        async def runs() -> bool:
            return (await ask(world.bus, "step.a.run", {"repository": world.repository()}, wait=2)).status == 200

        await world.until(runs, "a step is run by request")
        assert {said["name"] for said in await answers(world, "$SRV.PING", 2)} == {"chaos-api", "chaos-step-a"}
