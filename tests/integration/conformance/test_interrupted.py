"""Writers that are killed, overtaken, cut off, or in the same place at the same time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from codestory.graph import Fenced, GraphUnavailable, StaleBroker, connect, schema

if TYPE_CHECKING:
    from conftest import GraphUnderTest, Said, Wire

    from codestory.graph import GraphSettings

Sizes = Callable[[int, int], int]
KILLED = -9
MOST_TRANSACTIONS = 40

#: Hundreds of writers at once take their time where the machine is shared.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.mark.parametrize("owner", ["filesystem", "blarify", "documentation_grapher"])
async def test_a_writer_killed_after_any_transaction_is_made_good_by_the_next(
    graph: GraphUnderTest, owner: str
) -> None:
    new = await _three_owners(graph, owner)
    kills = unfinished = 0
    for number in range(1, MOST_TRANSACTIONS):
        job = graph.job(owner, new, (2 * number, 0), batch=4, kill_after_transactions=number)
        outcome = graph.writers.run_and_kill(job)
        if outcome["code"] != KILLED:
            break
        kills += 1
        unfinished += await _is_unfinished(graph, owner)
        await _go_on(graph, owner, new, number)

    assert 4 <= kills < MOST_TRANSACTIONS - 1
    assert unfinished, "no kill left a source half written, so this proves too little"


async def test_a_writer_killed_at_any_moment_is_made_good_by_the_next(graph: GraphUnderTest, thorough: Sizes) -> None:
    owner = "blarify"
    new = await _three_owners(graph, owner)
    kills = 0
    for number in range(1, thorough(12, 60)):
        seconds = 0.2 * random.Random(number).random()
        job = graph.job(owner, new, (2 * number, 0), batch=4, kill_after_seconds=seconds)
        outcome = graph.writers.run_and_kill(job)
        kills += outcome["code"] == KILLED

        await _go_on(graph, owner, new, number)

    assert kills


async def test_an_older_attempt_is_refused_and_changes_nothing(graph: GraphUnderTest) -> None:
    rng = random.Random(3)
    first, second = graph.some(rng, "blarify"), graph.some(rng, "blarify")
    await graph.write("blarify", first, (2, 5))
    before = await graph.digest()

    with pytest.raises(Fenced, match="attempt 4 is older than 5"):
        await graph.write("blarify", second, (2, 4))
    with pytest.raises(StaleBroker, match="message broker set up later"):
        await graph.write("blarify", second, (1, 999))

    assert await graph.digest() == before
    await graph.write("blarify", second, (3, 1))
    await graph.agrees()


async def test_of_an_old_and_a_new_attempt_at_once_the_new_ones_content_stays(
    graph: GraphUnderTest, thorough: Sizes
) -> None:
    rng = random.Random(5)
    old, new = graph.some(rng, "blarify"), graph.some(rng, "blarify")
    graph.said["blarify"] = new
    fenced = 0
    for number in range(1, thorough(15, 100)):
        early, late = rng.random() * 0.1, rng.random() * 0.1  # which of them begins is a matter of luck

        outcomes = graph.writers.run(
            graph.job("blarify", old, (number, 0), batch=4, delay_seconds=early),
            graph.job("blarify", new, (number, 1), batch=4, delay_seconds=late),
        )

        assert [outcome["code"] for outcome in outcomes] == [0, 0]
        assert "written" in outcomes[1], outcomes
        fenced += outcomes[0].get("error") == "Fenced"
        await graph.agrees()
        await graph.write("blarify", old, (number, 2))
        graph.said["blarify"] = new
    assert fenced, "no old attempt was overtaken, so this proves too little"


async def test_three_owners_at_once_lose_and_double_nothing(graph: GraphUnderTest, thorough: Sizes) -> None:
    rng = random.Random(7)
    for number in range(thorough(100, 300)):
        for owner in graph.owners:
            graph.said[owner] = graph.some(rng, owner)

        outcomes = graph.writers.run(
            *(graph.job(owner, graph.said[owner], (1, number), batch=10) for owner in graph.owners)
        )

        assert all("written" in outcome for outcome in outcomes), outcomes
        await graph.agrees()


async def test_a_commit_whose_answer_is_lost_is_not_written_twice(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    rng = random.Random(11)
    for number in range(6):
        owner = graph.owners[number % 3]
        through.lose = set(range(through.commits + 1, through.commits + 60, 2))
        async with connect(settings) as driver:
            await graph.over(driver).write(owner, graph.some(rng, owner, graph.said.get(owner)), (1, number), batch=5)

        await graph.agrees()
    assert through.lost > 10, "too few answers were lost for this to prove anything"


async def test_a_writer_stopped_in_the_middle_of_a_transaction_locks_nobody_out_and_is_refused_afterwards(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    rng = random.Random(29)
    old, new = graph.some(rng, "blarify"), graph.some(rng, "blarify")
    await graph.write("blarify", graph.some(rng, "blarify"), (1, 0))
    async with connect(settings) as driver:
        through.freeze = [b"_out_blarify = r.mark"]  # by then the transaction holds the fence
        zombie = asyncio.create_task(
            graph.over(driver).write("blarify", old, (1, 1), batch=4, graph_transaction_seconds=2)
        )
        await through.frozen.wait()

        await asyncio.wait_for(graph.write("blarify", new, (1, 2)), 90)
        through.thaw.set()

        with pytest.raises(Fenced):
            await zombie
        await graph.agrees()


async def test_once_an_attempt_has_read_what_is_there_no_older_one_can_change_it(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    rng = random.Random(31)
    old, new = graph.some(rng, "blarify"), graph.some(rng, "blarify")
    async with connect(settings) as driver:
        through.freeze = [b"n._hash, n._out_blarify", through.COMMIT]
        newer = asyncio.create_task(graph.over(driver).write("blarify", new, (1, 2), batch=4))
        await through.frozen.wait()

        with pytest.raises(Fenced):
            await graph.write("blarify", old, (1, 1))
        through.thaw.set()
        await newer

        graph.said["blarify"] = new
        await graph.agrees()


async def test_a_placeholder_that_its_owner_fills_while_it_is_swept_stays(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    function = await _unused_placeholder(graph)
    async with connect(settings) as driver:
        through.freeze = [b"SET n += r.props", through.COMMIT]
        filling = asyncio.create_task(graph.over(driver).write("blarify", graph.says({function: {"name": "f"}})))
        await through.frozen.wait()

        sweeping = asyncio.create_task(graph.write("documentation_grapher", graph.says(), (1, 2)))
        await asyncio.wait({sweeping}, timeout=2)  # Neo4j: it waits for the lock of the other, having looked before
        through.thaw.set()
        await asyncio.gather(filling, sweeping)

        await graph.agrees()


async def test_a_placeholder_that_is_swept_while_its_owner_fills_it_is_made_anew(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    function = await _unused_placeholder(graph)
    async with connect(settings) as driver:
        through.freeze = [b"LIMIT $batch SET n.repo", b"DELETE n RETURN", through.COMMIT]
        sweeping = asyncio.create_task(graph.over(driver).write("documentation_grapher", graph.says(), (1, 2)))
        await through.frozen.wait()

        filling = asyncio.create_task(graph.write("blarify", graph.says({function: {"name": "f"}})))
        await asyncio.wait({filling}, timeout=2)  # Neo4j: it waits for the lock of the other, having found the node
        through.thaw.set()
        await asyncio.gather(filling, sweeping)

        await graph.agrees()


async def test_a_writer_waits_for_a_server_that_is_away_and_goes_on(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    said = graph.some(random.Random(13), "blarify")
    steps = 0

    def progress(_done: int, _total: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            through.cut()
            asyncio.get_running_loop().call_later(0.3, setattr, through, "is_down", False)

    async with connect(settings) as driver:
        await graph.over(driver).write("blarify", said, batch=5, progress=progress)

    await graph.agrees()


async def test_a_writer_whose_server_stays_away_says_so(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    through.cut()

    async with connect(settings.model_copy(update={"graph_retry_seconds": 0.2})) as driver:
        with pytest.raises(GraphUnavailable, match="cannot be reached"):
            await graph.over(driver).write("blarify", graph.says())


async def test_processes_that_make_the_schema_at_once_all_succeed(graph: GraphUnderTest) -> None:
    labels = [f"Schema{graph.repository[-6:]}{letter}" for letter in "abcdef"]
    job = {**graph.job("blarify", graph.says()), "labels": labels, "ensure": True}
    try:
        outcomes = graph.writers.run(job, job, job, job)

        assert outcomes == [{"code": 0}] * 4
        async with graph.driver.session(database=graph.settings.neo4j_database) as session:
            assert set(labels) <= set(await schema.labels(session))
    finally:
        await graph.forget_labels(*labels)


async def _three_owners(graph: GraphUnderTest, owner: str) -> Said:
    """All have written; returns what `owner` says next, one source of it too big for a transaction."""
    rng = random.Random(19)
    for each in graph.owners:
        await graph.write(each, graph.some(rng, each), (1, 0))
    new = graph.some(random.Random(99), owner, graph.said[owner])
    type_, a, b = graph.ends[owner][0]
    big = {(type_, a, graph.id(a, 1), b, graph.id(b, number)): {"size": 77} for number in range(9)}
    return graph.says(new.nodes, new.relationships | big)


async def _go_on(graph: GraphUnderTest, owner: str, new: Said, number: int) -> None:
    """The next attempt may say the same, what was there before, or something else."""
    old = graph.said[owner]
    other = graph.some(random.Random(5), owner)
    await graph.write(owner, [new, other, old][number % 3], (2 * number, 1))
    await graph.agrees()
    await graph.write(owner, old, (2 * number + 1, 0))


async def _is_unfinished(graph: GraphUnderTest, owner: str) -> bool:
    async with graph.driver.session(database=graph.settings.neo4j_database) as session:
        labels = await schema.labels(session)
    for label in labels:
        if await graph.query(f"MATCH (n:{label} {{repo: $repo}}) WHERE n._out_{owner} = '?' RETURN n.id AS id"):
            return True
    return False


async def _unused_placeholder(graph: GraphUnderTest) -> tuple[str, str]:
    """Left by a step that was killed after its relationship was gone and before it could sweep."""
    function, section = ("Function", graph.id("Function", 0)), ("Section", graph.id("Section", 0))
    await graph.write("documentation_grapher", graph.says({section: {}}, {("DESCRIBES", *section, *function): {}}))
    job = graph.job("documentation_grapher", graph.says(), (1, 1), kill_after_transactions=2)
    assert graph.writers.run_and_kill(job)["code"] == KILLED
    return function
