"""Which steps are stale, and what is on record of a step's last whole run, whatever was killed in between."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from codestory.graph import Fenced, Node, connect, queries
from codestory.graph.completion import VOID

if TYPE_CHECKING:
    from conftest import GraphUnderTest, Said, Wire

    from codestory.graph import GraphSettings

KILLED = -9
MOST_TRANSACTIONS = 40
LATER = ("summarizer", "documentation_grapher")

#: Where the machine is shared.
pytestmark = pytest.mark.timeout(600)


async def test_a_change_makes_stale_what_is_made_of_it_until_that_is_through(graph: GraphUnderTest) -> None:
    for number, owner in enumerate(graph.owners):
        await _whole_run(graph, owner, graph.some(random.Random(number), owner))
    changed = graph.says({("Function", "f"): {"name": "f"}})

    await graph.write("blarify", changed, (1, 2), later=("filesystem", *LATER))
    assert await _stale(graph) == {"documentation_grapher", "filesystem"}, "the summarizer has nothing here"
    await graph.writer("filesystem", (1, 2)).complete("again")
    assert await _stale(graph) == {"documentation_grapher"}
    await _whole_run(graph, "documentation_grapher", graph.says(), 2)

    assert await _stale(graph) == set()
    await graph.agrees()


async def test_a_run_that_changes_nothing_makes_nothing_stale_and_keeps_the_record(graph: GraphUnderTest) -> None:
    said = graph.some(random.Random(1), "blarify")
    await _whole_run(graph, "documentation_grapher", graph.says())
    await _whole_run(graph, "blarify", said)

    await graph.write("blarify", said, (1, 2), later=LATER)

    assert await _stale(graph) == set()
    assert await graph.writer("blarify", (1, 2)).recorded() == "run 1"


async def test_what_is_put_makes_stale_what_is_made_of_it(graph: GraphUnderTest) -> None:
    await _whole_run(graph, "blarify", graph.says())
    writer = graph.writer("documentation_grapher", later=("blarify",))

    await writer.put([Node("Section", "s", {"title": "t"})], [])

    assert await _stale(graph) == {"blarify"}
    assert await writer.recorded() == VOID


async def test_of_a_step_that_never_ran_there_is_no_record(graph: GraphUnderTest) -> None:
    assert await graph.writer("blarify").recorded() is None


async def test_marks_outlive_a_repository_that_nobody_has_written_and_are_no_content(graph: GraphUnderTest) -> None:
    await _whole_run(graph, "documentation_grapher", graph.says({("Section", "s"): {}}))
    await graph.write("blarify", graph.says({("Function", "f"): {}}), later=LATER)

    assert await _stale(graph) == {"documentation_grapher"}
    assert await graph.digest() == graph.expected_digest(), "the digest is that of the content"
    await graph.write("filesystem", graph.says({("Repository", graph.repository): {"name": "r"}}))
    assert await _stale(graph) == {"documentation_grapher"}
    await graph.write("filesystem", graph.says(), (1, 2))
    assert await _stale(graph) == {"documentation_grapher"}, "filesystem's own properties are gone, the mark is not"
    await graph.writer("documentation_grapher", (1, 2)).complete("again")

    assert await graph.query("MATCH (r:Repository {id: $repo}) RETURN r.id AS id") == []
    await graph.agrees()


@pytest.mark.parametrize("owner", ["filesystem", "blarify"])
async def test_a_run_killed_after_any_transaction_leaves_no_record_and_no_mark_is_lost(
    graph: GraphUnderTest, owner: str
) -> None:
    await _whole_run(graph, "documentation_grapher", graph.some(random.Random(0), "documentation_grapher"))
    old, new = (graph.some(random.Random(seed), owner) for seed in (1, 2))
    kills = 0
    for number in range(1, MOST_TRANSACTIONS):
        await _whole_run(graph, owner, old, 3 * number)
        await graph.writer("documentation_grapher", (1, number + 1)).complete("fresh")
        before = await graph.digest()
        job = graph.job(owner, new, (1, 3 * number + 1), batch=4, later=LATER, kill_after_transactions=number)
        if graph.writers.run_and_kill(job)["code"] != KILLED:
            break
        kills += 1

        record = await graph.writer(owner, (1, 3 * number + 2)).recorded()

        # The first transaction only enters; it may have voided the record before anything was changed.
        assert record == VOID
        assert await graph.digest() == before or await _stale(graph) == {"documentation_grapher"}
    assert 3 <= kills < MOST_TRANSACTIONS - 1


async def test_a_record_whose_commit_answer_is_lost_stands(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    async with connect(settings) as driver:
        writer = graph.over(driver).writer("blarify")
        through.lose = {1, 3}
        await writer.complete("first")
        found = await writer.recorded()

    assert found == "first"
    assert through.lost


async def test_an_attempt_that_was_overtaken_records_nothing(graph: GraphUnderTest) -> None:
    old, new = graph.writer("blarify", (1, 1)), graph.writer("blarify", (1, 2))
    assert await new.recorded() is None

    with pytest.raises(Fenced):
        await old.complete("old")

    assert await new.recorded() is None


async def _whole_run(graph: GraphUnderTest, owner: str, said: Said, number: int = 1) -> None:
    await graph.write(owner, said, (1, number))
    await graph.writer(owner, (1, number)).complete(f"run {number}")


async def _stale(graph: GraphUnderTest) -> set[str]:
    steps = (await queries.stats(graph.driver, graph.repository)).stale_steps
    assert len(set(steps)) == len(steps)
    return set(steps)
