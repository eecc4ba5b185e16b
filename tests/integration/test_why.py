"""Why a job waits, from what a real server holds: no process works on it, so that nothing moves."""

import random
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from codestory.bus import ATTEMPT, PRIORITIES, Bus
from codestory.contracts.api import Cause, Holders, JobView, Wait
from codestory.contracts.jobs import Job, Repository
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import Priority, now
from codestory.testing import NatsServer, wait_until
from codestory_orchestrator import pipeline
from codestory_orchestrator.errors import JobNotFound, ServiceUnavailable
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore, QueueEntry
from codestory_orchestrator.throttling.limits import Limits
from codestory_orchestrator.topology import Topology
from codestory_orchestrator.views import job_view
from codestory_orchestrator.why.explainer import Explainer

WAITING = 10_000
STEPS = ("a", "b", "c")


class NoTokens:
    async def list(self) -> Holders:
        return Holders(available_tokens=0, max_tokens=1, holders=())


class Records:
    async def view(self, job: Job, revision: int = 0) -> JobView:
        return job_view(job, revision)


@pytest_asyncio.fixture
async def bus() -> AsyncGenerator[Bus]:
    """With all streams of an orchestrator, and none that works on them."""
    server = NatsServer()
    server.start()
    settings = OrchestratorSettings(nats_url=server.url, namespace="why", nats_patience_seconds=2)
    connected = Bus(settings, "test")
    try:
        await connected.connect()
        topology = Topology(connected, settings, Limits(connected, 1.0))
        await topology.declare()
        for step in STEPS:
            await topology.declare_step(step, 1)
        yield connected
    finally:
        await connected.close()
        server.close()


async def test_the_position_among_ten_thousand_is_exact(bus: Bus) -> None:
    store, explainer = parts(bus)
    dice = random.Random(4)
    line = [(dice.choice(PRIORITIES), dice.choice(STEPS), f"j{i}") for i in range(WAITING)]
    for priority, step, job in line:
        await bus.record(bus.subject("ready", priority, step, job), b"{}")
    await wait_until(lambda: count(bus, WAITING), "all wait")
    gone = set(dice.sample(range(WAITING), 1000))  # some have been admitted since, from anywhere
    for i in gone:
        await bus.purge("READY", bus.subject("ready", *line[i]))
    left = [entry for i, entry in enumerate(line) if i not in gone]

    for place in (0, 1, 17, len(left) // 2, len(left) - 1):
        priority, step, job_id = left[place]
        await store.write(waiting_job(job_id, step, priority), 0)
        why = await explainer.why(job_id)

        before = [other for other, _, _ in left[:place] if other is priority]
        higher = [other for other, _, _ in left if PRIORITIES.index(other) < PRIORITIES.index(priority)]
        positions = [wait for wait in why.waits if wait.cause is Cause.POSITION]
        told = [(wait.position, wait.ahead, wait.priority) for wait in positions]
        ahead = len(before) + len(higher)
        assert told == ([(len(before) + 1, ahead, priority)] if ahead else [])


async def test_what_an_older_attempt_left_in_run_is_not_taken_for_the_command(bus: Bus) -> None:
    store, explainer = parts(bus)
    job = waiting_job("j", "a", Priority.DEFAULT)
    await store.write(job.having("a", attempt=2), 0)
    await bus.publish(bus.subject("run", "a", "j"), b"{}", headers={ATTEMPT: "1"})
    await bus.publish(bus.subject("ready", "default", "a", "j"), b"{}", headers={ATTEMPT: "2"})

    waiting = await explainer.why("j")
    await bus.purge("READY", bus.subject("ready", "default", "a", "j"))
    nowhere = await explainer.why("j")
    await bus.purge("RUN", bus.subject("run", "a", "j"))
    await bus.publish(bus.subject("run", "a", "j"), b"{}", headers={ATTEMPT: "2"})
    admitted = await explainer.why("j")

    assert [wait.cause for wait in waiting.waits] == [Cause.WORKER, Cause.TOKEN]
    assert "is on its way" in nowhere.text
    assert "was admitted at" in admitted.text


async def test_a_place_on_a_repository_without_a_record_is_told(bus: Bus) -> None:
    store, explainer = parts(bus)
    job = pipeline.make("j", Repository(id="r", name="r", path="/r"), (StepPlan(name="a"),), at=now())
    for name in ("lost", "j"):
        await store.join(job.repository, "/r", QueueEntry(job=name, at=now()), moved=lambda _: False)
    await store.write(job, 0)

    [wait] = (await explainer.why("j")).waits

    assert (wait.cause, wait.jobs) == (Cause.REPOSITORY, ("lost",))
    assert "a job that is not known" in wait.text


async def test_a_chain_is_told_three_jobs_beyond_the_next(bus: Bus) -> None:
    store, explainer = parts(bus)
    for i in range(6):
        repository = Repository(id=f"j{i}", name=f"j{i}", path="/r")
        after = (f"j{i - 1}",) if i else ()
        await store.write(pipeline.make(f"j{i}", repository, (StepPlan(name="a"),), at=now(), after=after), 0)

    [wait] = (await explainer.why("j5")).waits

    chain: list[str] = []
    links: tuple[Wait, ...] = (wait,)
    while links:
        chain += links[0].jobs
        links = links[0].waits
    assert chain == ["j4", "j3", "j2", "j1"]


async def test_an_unknown_job_and_a_lost_bus_are_refused(bus: Bus) -> None:
    _, explainer = parts(bus)

    with pytest.raises(JobNotFound):
        await explainer.why("nobody")
    await bus.close()
    with pytest.raises(ServiceUnavailable):
        await explainer.why("nobody")


def parts(bus: Bus) -> tuple[JobStore, Explainer]:
    settings = OrchestratorSettings(nats_url=bus.settings.nats_url, namespace="why")
    store = JobStore(bus)
    return store, Explainer(bus, store, NoTokens(), Records(), settings)


async def count(bus: Bus, messages: int) -> bool:
    return (await bus.js.stream_info(bus.stream("READY"))).state.messages == messages


def waiting_job(job_id: str, step: str, priority: Priority) -> Job:
    repository = Repository(id=job_id, name=job_id, path="/r")
    job = pipeline.make(job_id, repository, (StepPlan(name=step),), at=now(), priority=priority)
    return pipeline.begin(job, now())[0]
