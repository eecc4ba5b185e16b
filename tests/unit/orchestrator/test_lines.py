"""What is remembered of the queues on repositories, and long lists that let others have their turn."""

import asyncio
from datetime import timedelta

from codestory.bus import Bus, encoded
from codestory.bus_settings import BusSettings
from codestory.contracts.jobs import Repository
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import now
from codestory_orchestrator import pipeline
from codestory_orchestrator.slices import slices
from codestory_orchestrator.store import QUEUE, Deletion, JobStore, Line, QueueEntry, RepositoryQueue

AT = now()


def store() -> JobStore:
    """One that hears what a test tells it."""
    return JobStore(Bus(BusSettings(), "test"))


def queue(*jobs: str, deletion: Deletion | None = None) -> bytes:
    entries = tuple(QueueEntry(job=job, at=AT, run=number) for number, job in enumerate(jobs, start=1))
    return encoded(RepositoryQueue(name="shop", origin="/srv/shop", entries=entries, deletion=deletion))


def test_a_line_is_as_the_last_word_about_it_whichever_comes_last() -> None:
    jobs = store()

    jobs.mirror.hold(QUEUE + "r", 2, queue("a", "b"))
    jobs.mirror.hold(QUEUE + "r", 1, queue("a"))
    assert jobs.lines() == {"r": Line((("a", 1), ("b", 2)))}
    assert jobs.lines()["r"].holds("b", 2)
    assert not jobs.lines()["r"].holds("b", 3)
    jobs.mirror.hold(QUEUE + "r", 3, queue())
    assert jobs.lines() == {}


def test_a_deletion_is_known_though_nobody_stands_in_line_until_it_is_over() -> None:
    jobs, deletion = store(), Deletion(at=AT, seen_at=AT + timedelta(seconds=1))

    jobs.mirror.hold(QUEUE + "r", 1, queue(deletion=deletion))
    assert jobs.deletions() == {"r": deletion}
    jobs.mirror.hold(QUEUE + "r", 2, b"")
    assert jobs.deletions() == {}
    assert jobs.lines() == {}


def test_a_job_waits_for_those_that_stand_before_it() -> None:
    jobs = store()
    repository = Repository(id="r", name="shop", path="/srv/shop")
    made = [pipeline.make(name, repository, (StepPlan(name="scan"),), at=AT) for name in ("a", "b", "c")]

    jobs.mirror.hold(QUEUE + "r", 1, queue("a", "b"))

    assert [jobs.waits_for(job) for job in made] == [(), ("a",), ()]


async def test_others_have_their_turn_between_the_pieces_of_a_long_list() -> None:
    items = list(range(10))
    seen: list[list[int]] = []
    turns: list[int] = []

    async def others() -> None:
        while len(seen) < 4:
            turns.append(len(seen))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(others())
        await asyncio.sleep(0)
        async for piece in slices(items, 3):
            seen.append(piece)
            items.clear()  # what there was when it began

    assert seen == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert {1, 2, 3} <= set(turns)
    nothing: list[int] = []
    assert [piece async for piece in slices(nothing, 3)] == []
