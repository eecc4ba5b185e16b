"""What is put before the whole is known stays, and comes to the same as if it had been written at once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from codestory.graph import Fenced, Node, Relationship, connect, queries

if TYPE_CHECKING:
    from conftest import GraphUnderTest, Said, Wire

    from codestory.graph import GraphSettings

Put = tuple[list[list[Any]], list[list[Any]]]
KILLED = -9
ROUNDS = 8

#: Where the machine is shared.
pytestmark = pytest.mark.timeout(600)


async def test_what_is_put_is_there_at_once_and_replace_has_nothing_more_to_write(graph: GraphUnderTest) -> None:
    await graph.write("filesystem", graph.says({("Repository", graph.repository): {"name": "r"}}))
    said = graph.some(random.Random(3), "blarify")
    writer = graph.writer("blarify")
    for nodes, relationships in _pieces(said, 4):
        await writer.put(*_rows(nodes, relationships))

    before = await graph.digest()
    stats = await queries.stats(graph.driver, graph.repository)
    written = await graph.write("blarify", said)

    assert (stats.complete, stats.writing_steps) == (False, ("blarify",))
    assert written == {}
    assert await graph.digest() == before
    await graph.agrees()


async def test_a_put_of_what_is_there_writes_nothing(graph: GraphUnderTest) -> None:
    function, other = ("Function", graph.id("Function", 0)), ("Function", graph.id("Function", 1))
    said = graph.says({function: {"name": "f"}}, {("CALLS", *function, *other): {"lines": [1]}})
    await graph.write("blarify", said)

    written = await graph.writer("blarify", (1, 2)).put(
        [Node(*function, {"name": "f"})], [Relationship("CALLS", *function, *other, {"lines": [1]})]
    )

    assert written == {}
    await graph.agrees()


async def test_a_put_makes_the_relationships_of_its_sources_exactly_those_and_touches_nothing_else(
    graph: GraphUnderTest,
) -> None:
    a, b, c = (("Function", graph.id("Function", number)) for number in range(3))
    section = ("Section", graph.id("Section", 0))
    await graph.write("filesystem", graph.says({("Repository", graph.repository): {"name": "r"}}))
    theirs = {("CALLS", *a, *b): {"lines": [9]}, ("DESCRIBES", *section, *a): {}}
    await graph.write("documentation_grapher", graph.says({section: {"title": "t"}}, theirs))
    mine = {("CALLS", *a, *b): {"lines": [1]}, ("CALLS", *a, *c): {}, ("CALLS", *b, *c): {"lines": [3]}}
    await graph.write("blarify", graph.says({a: {"name": "a"}, b: {"name": "b"}}, mine))
    writer = graph.writer("blarify", (1, 2))

    written = await writer.put([Node(*c, {"name": "c"})], [Relationship("CALLS", *a, *a, {"lines": [2]})])

    assert written == {"nodes changed": 1, "relationships created": 1, "relationships deleted": 2}
    graph.said["blarify"] = graph.says(
        {a: {"name": "a"}, b: {"name": "b"}, c: {"name": "c"}},
        {("CALLS", *a, *a): {"lines": [2]}, ("CALLS", *b, *c): {"lines": [3]}},
    )
    assert await graph.actual() == graph.expected()
    [root] = await graph.query("MATCH (r:Repository {id: $repo}) RETURN r.writing_steps AS steps")
    assert root["steps"] == ["blarify"]


async def test_a_put_bigger_than_a_transaction_is_written_whole(graph: GraphUnderTest) -> None:
    said = graph.some(random.Random(5), "blarify")
    source = ("Function", graph.id("Function", 1))
    said.relationships |= {("CALLS", *source, "Function", graph.id("Function", n)): {"lines": [n]} for n in range(9)}
    [(nodes, relationships)] = _pieces(said, 1)

    await graph.writer("blarify", graph_batch_rows=3).put(*_rows(nodes, relationships))

    assert await graph.write("blarify", said) == {}
    await graph.agrees()


async def test_a_small_put_is_one_transaction_and_looks_only_at_what_it_names(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    through, settings = wire
    functions = [Node("Function", graph.id("Function", number), {"n": number}) for number in range(4)]
    async with connect(settings) as driver:
        writer = graph.over(driver).writer("blarify")
        await writer.put(functions[:1], [])
        before = len(through.sent)
        marks = through.sent.count(b"MERGE (f:_Fence")

        await writer.put(functions[1:2], [Relationship("CALLS", "Function", functions[1].id, "Class", "c")])

    sent = bytes(through.sent[before:])
    assert through.sent.count(b"MERGE (f:_Fence") - marks == 1
    assert sent.count(b"MATCH (n:Function {repo: $repo})") == 0
    await graph.writer("blarify", (1, 2)).replace([], [], shrink_limit=1)


@pytest.mark.parametrize("at", ["after a put", "at any moment"])
async def test_puts_that_were_killed_are_made_good_by_the_next_replace(graph: GraphUnderTest, at: str) -> None:
    rng = random.Random(7)
    for owner in graph.owners:
        await graph.write(owner, graph.some(rng, owner))
    kills = 0
    for number in range(1, ROUNDS):
        new = graph.some(rng, "blarify", graph.said["blarify"])
        job = graph.job("blarify", new, (2 * number, 0), batch=5, puts=_pieces(new, 4))
        job["kill_after_transactions" if at == "after a put" else "kill_after_seconds"] = (
            1 + number % 4 if at == "after a put" else 0.15 * rng.random()
        )
        kills += graph.writers.run_and_kill(job)["code"] == KILLED

        await graph.write("blarify", rng.choice([new, graph.said["blarify"]]), (2 * number, 1))

        await graph.agrees()
    assert kills


async def test_a_put_of_an_overtaken_attempt_is_refused(graph: GraphUnderTest) -> None:
    function = Node("Function", graph.id("Function", 0), {"name": "f"})
    old, new = graph.writer("blarify", (1, 1)), graph.writer("blarify", (1, 2))
    await old.put([function], [])
    await new.put([Node("Function", function.id, {"name": "g"})], [])
    before = await graph.digest()

    with pytest.raises(Fenced, match="attempt 1 is older than 2"):
        await old.put([Node("Function", function.id, {"name": "h"})], [])

    assert await graph.digest() == before
    await new.replace([], [], shrink_limit=1)


async def test_puts_of_several_owners_at_once_lose_nothing(graph: GraphUnderTest) -> None:
    rng = random.Random(13)
    for number in range(4):
        said = {owner: graph.some(rng, owner) for owner in graph.owners}
        jobs = [graph.job(owner, said[owner], (2 * number, 0), puts=_pieces(said[owner], 3)) for owner in said]

        outcomes = graph.writers.run(*jobs)

        assert outcomes == [{"code": 0}] * 3
        for owner in graph.owners:
            await graph.write(owner, said[owner], (2 * number, 1))
        await graph.agrees()


def _pieces(said: Said, count: int) -> list[Put]:
    """All that is said, in so many puts; the relationships of one source stay together."""
    pieces: list[Put] = [([], []) for _ in range(count)]
    for number, (key, properties) in enumerate(said.nodes.items()):
        pieces[number % count][0].append([*key, properties])
    sources = sorted({edge[1:3] for edge in said.relationships})
    for edge, properties in said.relationships.items():
        pieces[sources.index(edge[1:3]) % count][1].append([*edge, properties])
    return pieces


def _rows(nodes: list[list[Any]], relationships: list[list[Any]]) -> tuple[list[Node], list[Relationship]]:
    return [Node(*node) for node in nodes], [Relationship(*edge) for edge in relationships]
