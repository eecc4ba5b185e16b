"""A repository that is removed is gone, whoever wrote it, whatever was killed in between. No other one is touched."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from codestory.graph import Fence, Fenced, Node, Relationship, StaleBroker, connect, queries, repositories
from codestory.graph.removal import REMOVAL, Removal

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import GraphUnderTest, Wire
    from neo4j import AsyncDriver

    from codestory.graph import GraphSettings

LATER = (1, 100)

#: Where the machine is shared.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


class Broken(Exception):
    """The process that removes dies here."""


def removal(
    graph: GraphUnderTest, fence: tuple[int, int] = LATER, *, batch: int = 1000, driver: AsyncDriver | None = None
) -> Removal:
    settings = graph.settings.model_copy(update={"graph_batch_rows": batch})
    return Removal(driver or graph.driver, settings, graph.repository, Fence(*fence))


async def filled(graph: GraphUnderTest) -> None:
    """By all owners, so much that it takes some transactions to remove."""
    rng = random.Random(1)
    for owner in graph.owners:
        said = graph.some(rng, owner)
        while len(said.nodes) < 6 or not said.relationships:
            said = graph.some(rng, owner)
        await graph.write(owner, said)
        await graph.writer(owner).complete("whole")


async def left(graph: GraphUnderTest) -> list[object]:
    return [item async for item in queries.items(graph.driver, graph.repository)]


async def fences(graph: GraphUnderTest) -> list[dict[str, object]]:
    query = "MATCH (f:_Fence) WHERE f.key STARTS WITH $repo + '+' RETURN f.epoch AS e, f.sequence AS s, f.done AS done"
    return await graph.query(query)


@pytest.mark.parametrize("batch", [3, 1000])
async def test_nothing_is_left_of_a_repository_and_nothing_of_another_is_touched(
    graph: GraphUnderTest, batch: int
) -> None:
    other = f"{graph.repository}-other"
    [shop] = [Node("Repository", other, {"name": "shop"})]
    await graph.writer("filesystem", repository=other).replace(
        [shop, Node("File", f"{other}:f", {"path": "f"})],
        [Relationship("CONTAINS", "Repository", other, "File", f"{other}:f")],
    )
    before = await queries.digest(graph.driver, other)
    await filled(graph)

    gone = await removal(graph, batch=batch).run(())

    assert await left(graph) == []
    assert await repositories.find(graph.driver, graph.repository) is None
    assert await repositories.node_counts(graph.driver, graph.repository) == {}
    assert gone["nodes"] > 10
    assert gone["relationships"] > 10
    assert await queries.digest(graph.driver, other) == before
    assert (await repositories.stored(graph.driver))[other].name == "shop"
    assert await fences(graph) == [{"e": 1, "s": 100, "done": None}] * 3


async def test_the_second_time_nothing_happens(graph: GraphUnderTest) -> None:
    assert await removal(graph, (1, 0)).run(()) == {}
    assert await fences(graph) == []
    await filled(graph)
    await removal(graph).run(())

    assert await removal(graph).run(()) == {}


async def test_what_is_written_afterwards_is_what_a_first_run_would_write(graph: GraphUnderTest) -> None:
    await filled(graph)
    await removal(graph).run(())

    for owner, said in list(graph.said.items()):
        assert await graph.writer(owner, (1, 101)).recorded() is None
        await graph.write(owner, said, (1, 101))

    await graph.agrees()


async def test_what_another_repository_names_is_emptied_and_its_relationship_stays(graph: GraphUnderTest) -> None:
    """No step of ours does that; somebody else's may."""
    other, named = f"{graph.repository}-other", graph.id("Function", 1)
    await graph.write("blarify", graph.says({("Function", named): {"name": "f"}}))
    caller = [Node("Function", f"{other}:g", {"name": "g"})]
    calls = [Relationship("CALLS", "Function", f"{other}:g", "Function", named)]
    await graph.writer("blarify", repository=other).replace(caller, calls)
    before = await queries.digest(graph.driver, other)

    await removal(graph).run(())

    assert await left(graph) == [("node", "Function", named, True, {})]
    assert await queries.digest(graph.driver, other) == before
    await graph.write("blarify", graph.says({("Function", named): {"name": "f"}}), (1, 101))
    assert await left(graph) == [("node", "Function", named, False, {"name": "f"})]


@pytest.mark.parametrize("mended_by", ["removal", "writers"])
async def test_a_removal_that_was_broken_off_anywhere_is_finished_or_mended(
    graph: GraphUnderTest, mended_by: str, thorough: Callable[[int, int], int]
) -> None:
    def until(reports: int) -> Callable[[int], None]:
        def report(_gone: int) -> None:
            nonlocal reports
            reports -= 1
            if reports < 0:
                raise Broken

        return report

    for number in range(0, 30, thorough(7, 1)):
        fence = 1000 * number
        rng = random.Random(number)
        for owner in graph.owners:
            await graph.write(owner, graph.some(rng, owner), (1, fence + 1))

        with pytest.raises(Broken):
            await removal(graph, (1, fence + 2), batch=3).run((), until(number))

        if mended_by == "removal":
            stored = await repositories.find(graph.driver, graph.repository)
            assert stored is None or stored.writing_steps == (REMOVAL,)
            await removal(graph, (1, fence + 3), batch=3).run(())
            assert await left(graph) == []
        else:  # the broker that knew of the removal is lost, say
            for owner, said in list(graph.said.items()):
                await graph.write(owner, said, (1, fence + 3))
            nodes, relationships = graph.expected()
            assert (await graph.actual())[1] == relationships
            assert (await graph.actual())[0] == nodes


async def test_answers_that_are_lost_do_no_harm(graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]) -> None:
    through, settings = wire
    await filled(graph)
    through.lose = set(range(1, 60, 2))

    async with connect(settings) as driver:
        await removal(graph, batch=4, driver=driver).run(())

    assert await left(graph) == []
    assert through.lost > 3, "too few answers were lost for this to prove anything"


async def test_a_writer_that_was_stopped_before_writes_nothing_once_it_wakes_up(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    await filled(graph)
    rng = random.Random(29)
    async with connect(settings) as driver:
        through.freeze = [b"SET n += r.props", through.COMMIT, through.COMMIT]  # between two transactions
        zombie = asyncio.create_task(graph.over(driver).write("blarify", graph.some(rng, "blarify"), (1, 2), batch=4))
        await through.frozen.wait()

        removing = asyncio.create_task(removal(graph).run(()))
        await asyncio.wait({removing}, timeout=2)  # Neo4j: it may wait for the lock of the other
        through.thaw.set()

        with pytest.raises(Fenced):
            await zombie
        await removing
        assert await left(graph) == []


async def test_a_step_that_had_not_begun_to_write_is_refused_too(graph: GraphUnderTest) -> None:
    await removal(graph).run(("blarify", "no owner's name"))

    with pytest.raises(Fenced):
        await graph.write("blarify", graph.says({("Function", "f"): {}}), (1, 2))
    assert await left(graph) == []


@pytest.mark.parametrize(("holder", "refusal"), [((1, 101), Fenced), ((2, 1), StaleBroker)])
async def test_a_removal_that_wakes_up_after_somebody_has_begun_anew_takes_nothing(
    graph: GraphUnderTest, holder: tuple[int, int], refusal: type[Fenced]
) -> None:
    await filled(graph)
    said = graph.said["blarify"]
    await graph.write("blarify", said, holder)

    with pytest.raises(refusal):
        await removal(graph).run(())

    await graph.agrees()


async def test_a_removal_that_is_overtaken_on_its_way_stops(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    await filled(graph)
    async with connect(settings) as driver:
        through.freeze = [b"SET f.lock", through.COMMIT, b"DELETE e", through.COMMIT, b"SET f.lock"]
        removing = asyncio.create_task(removal(graph, batch=3, driver=driver).run(()))
        await through.frozen.wait()

        assert await graph.writer("blarify", (1, 101)).recorded() is None
        there = await left(graph)
        through.thaw.set()

        with pytest.raises(Fenced):
            await removing
    assert await left(graph) == there != []
