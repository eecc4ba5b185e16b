"""Records event logs from a world of real processes: what an orchestrator was told and asked, in order, and what became
of the job. Run it to add the scenarios whose file is missing; a file that is there is never written again."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg
from nats.js import api

from codestory.contracts.jobs import Job
from codestory.contracts.values import JobState
from codestory.testing_world import Gate, World, Worlds, plan

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[2] / "chaos"
PATIENCE = 600.0
Entry = dict[str, Any]
Scenario = Callable[[World], Awaitable[str]]


@asynccontextmanager
async def recording(world: World) -> AsyncGenerator[list[tuple[datetime, str, Job]]]:
    """Every record that is written meanwhile, with the time at which the server stored it."""
    seen: list[tuple[datetime, str, Job]] = []
    prefix = world.bus.subject("live", "jobs") + "."

    async def heard(msg: Msg) -> None:
        key = msg.subject.removeprefix(prefix)
        if "." not in key and msg.data:
            at = datetime.fromisoformat((msg.headers or {})["Nats-Time-Stamp"])
            seen.append((at, key, Job.model_validate_json(msg.data)))

    subscription = await world.bus.nc.subscribe(prefix + ">", cb=heard)
    yield seen
    await subscription.unsubscribe()


async def events(world: World, job: str) -> list[tuple[datetime, Entry]]:
    """As they are delivered: the time of a message that is read by its number is rounded in another way."""
    stream, subjects = world.bus.stream("EVENTS"), world.bus.subject("evt", job, ">")
    config = api.ConsumerConfig(
        deliver_policy=api.DeliverPolicy.ALL, ack_policy=api.AckPolicy.NONE, filter_subject=subjects, mem_storage=True
    )
    consumer = await world.bus.js.add_consumer(stream, config)
    delivered = await world.bus.js.pull_subscribe_bind(consumer.name, stream)
    messages = await delivered.fetch(consumer.num_pending or 0, timeout=PATIENCE)
    await delivered.unsubscribe()
    await world.bus.js.delete_consumer(stream, consumer.name)
    return [
        (
            msg.metadata.timestamp,
            {
                "event": msg.subject.removeprefix(world.bus.subject("")),
                "sequence": msg.metadata.sequence.stream,
                "data": msg.data.decode(),
            },
        )
        for msg in messages
        if ".job." not in msg.subject
    ]


def asked(before: Job, after: Job) -> list[Entry]:
    """What else than events has led from one record to the next."""
    found: list[Entry] = []
    receipt = after.receipt
    if receipt and (before.receipt is None or before.receipt.asked_at != receipt.asked_at):
        entry: Entry = {"asked": receipt.verb, "at": receipt.asked_at.isoformat()}
        if after.cancel_by:
            entry["grace"] = (after.cancel_by - receipt.asked_at).total_seconds()
        if receipt.request:
            entry["request"] = json.loads(receipt.request)
            entry["plan"] = [step.model_dump(mode="json", exclude_defaults=True) for step in after.plan]
        found.append(entry)
    if before.state is JobState.SCHEDULED and after.state is not JobState.SCHEDULED and not receipt:
        found.append({"due": (after.due_at or after.created_at).isoformat()})
    if before.state is JobState.PENDING and not before.active and after.active:
        found.append(
            {"begun": min(after.steps[name].ready_at or after.created_at for name in after.active).isoformat()}
        )
    return found


async def log_of(world: World, job: str, seen: list[tuple[datetime, str, Job]]) -> Entry:
    records = [(at, record) for at, key, record in seen if key == job]
    entries = await events(world, job)
    for (_, before), (at, after) in pairwise(records):
        entries += [(at, entry) for entry in asked(before, after)]
    first, final = records[0][1], records[-1][1]
    return {
        "made": first.model_dump(mode="json", exclude_defaults=True),
        "entries": [{"time": at.isoformat(), **entry} for at, entry in sorted(entries, key=lambda entry: entry[0])],
        "final": final.model_dump(mode="json", exclude_defaults=True),
    }


# the scenarios


async def chain(world: World) -> str:
    return await ended(world, await world.submit(*(plan(name, seconds=0.05) for name in "abcd")))


async def side_by_side(world: World) -> str:
    free: Any = {"depends_on": []}
    steps = [plan("a", of_step=free), plan("b", of_step=free), plan("c", of_step={"depends_on": ["a", "b"]})]
    return await ended(world, await world.submit(*steps))


async def retried_after_a_failure(world: World) -> str:
    return await ended(world, await world.submit(plan("a", fail_until=2), plan("b"), back_off=0.1))


async def crashed_twice(world: World) -> str:
    return await ended(world, await world.submit(plan("a", exit_until=2), plan("b"), back_off=0.1))


async def gave_up(world: World) -> str:
    return await ended(world, await world.submit(plan("a"), plan("b", give_up=True), plan("c")), "FAILED")


async def optional_failure(world: World) -> str:
    steps = [plan("a", give_up=True, of_step={"optional": True}), plan("b")]
    return await ended(world, await world.submit(*steps))


async def cancelled(world: World) -> str:
    job = await world.submit(plan("a"), plan("b", seconds=600), plan("c"))
    await world.step_state(job, "b", "RUNNING")
    await world.cancel(job)
    return await ended(world, job, "CANCELLED")


async def stopped_and_resumed(world: World) -> str:
    gate = world.gate()
    job = await world.submit(plan("a"), plan("b", gate=gate.path), plan("c"))
    await world.step_state(job, "b", "RUNNING")
    await asks(world, job, "stop")
    await world.state(job, "STOPPED")
    gate.open()
    await asks(world, job, "resume")
    return await ended(world, job)


async def retried_from_a_step_with_other_options(world: World) -> str:
    job = await world.submit(plan("a"), plan("b"), plan("c", give_up=True), plan("d"))
    await world.state(job, "FAILED")
    await asks(world, job, "retry", json={"from_step": "b", "step_options": {"c": {"give_up": False}}})
    return await ended(world, job)


async def scheduled(world: World) -> str:
    body = {"repository": world.repository(), "pipeline": {"steps": [plan("a"), plan("b")]}, "countdown": 1}
    answer = await world.ask("POST", "/v1/ingest", json=body)
    assert answer.is_success, answer.text
    return await ended(world, answer.json()["id"])


async def unreadable_end(world: World) -> str:
    """Something that says of itself that it completed, in words that nobody knows."""
    gate: Gate = world.gate()
    job = await world.submit(plan("a", gate=gate.path), plan("b"))
    await world.step_state(job, "a", "RUNNING")
    last = await world.bus.last("EVENTS", world.bus.events_of(job, "a"))
    assert last
    subject = world.bus.subject("evt", job, "a", "completed")
    body = {"attempt": 1, "outcome": "splendid"}
    await world.bus.publish(subject, body, after=last.sequence, among=world.bus.events_of(job, "a"))
    return await ended(world, job, "FAILED")


async def asks(world: World, job: str, verb: str, **more: Any) -> None:
    answer = await world.ask("POST", f"/v1/ingest/{job}/{verb}", **more)
    assert answer.is_success, answer.text


async def ended(world: World, job: str, state: str = "COMPLETED") -> str:
    await world.state(job, state, limit=PATIENCE)
    await world.settled(PATIENCE)
    return job


SCENARIOS: tuple[Scenario, ...] = (
    chain,
    side_by_side,
    retried_after_a_failure,
    crashed_twice,
    gave_up,
    optional_failure,
    cancelled,
    stopped_and_resumed,
    retried_from_a_step_with_other_options,
    scheduled,
    unreadable_end,
)


async def record() -> None:
    missing = [scenario for scenario in SCENARIOS if not (HERE / f"{scenario.__name__}.json").exists()]
    async with Worlds(SCRIPTS)() as world:
        world.orchestrator()
        for name in "abcd":
            world.worker(name)
        await world.ready("a", "b", "c", "d")
        for scenario in missing:  # each is kept as soon as it is there
            async with recording(world) as seen:
                job = await scenario(world)
            log = await log_of(world, job, seen)
            (HERE / f"{scenario.__name__}.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
            print(scenario.__name__, len(log["entries"]))


if __name__ == "__main__":
    asyncio.run(record())
