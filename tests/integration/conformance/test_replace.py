"""The graph is a function of what each owner last said, whatever the order and the size of the transactions."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from codestory.graph import InvalidContent, Miscount, Node, Relationship, Shrinks, connect

if TYPE_CHECKING:
    from conftest import GraphUnderTest, Wire

    from codestory.graph import GraphSettings

Sizes = Callable[[int, int], int]
SECTION = ("Section", "s")

#: Where the machine is shared.
pytestmark = pytest.mark.timeout(600)


async def test_random_edits_by_random_owners_leave_what_the_model_says(graph: GraphUnderTest, thorough: Sizes) -> None:
    for seed in range(thorough(3, 40)):
        rng = random.Random(seed)
        for number in range(10):
            owner = rng.choice(graph.owners)
            said = graph.some(rng, owner, graph.said.get(owner))

            await graph.write(owner, said, (1, number), batch=rng.choice([3, 10, 1000]))

            await graph.agrees()
            assert await graph.write(owner, said, (1, number)) == {}, "unchanged, yet written"
        await graph.wipe()
        graph.said.clear()


async def test_the_digest_is_that_of_the_content_in_any_order_of_writing(graph: GraphUnderTest) -> None:
    rng = random.Random(17)
    contents = {owner: graph.some(rng, owner) for owner in graph.owners}
    digests = {graph.expected_digest()}
    for _ in range(4):
        await graph.wipe()
        for owner in rng.sample(graph.owners, len(graph.owners)):
            shuffled = list(contents[owner].relationships.items())
            rng.shuffle(shuffled)
            await graph.write(owner, graph.says(contents[owner].nodes, dict(shuffled)), batch=rng.choice([3, 1000]))
        digests.add(await graph.digest())

    assert digests - {f"{0:032x}"} == {graph.expected_digest()}


async def test_an_unchanged_run_writes_nothing_but_its_claim_and_the_volatile_properties(
    graph: GraphUnderTest, wire: tuple[Wire, GraphSettings]
) -> None:
    rng = random.Random(23)
    said = graph.some(rng, "filesystem")
    said.nodes["Repository", graph.repository] = {"name": "r"}
    await graph.write("filesystem", said, volatile={"ingested_at": "yesterday"})
    before = await graph.digest()
    through, settings = wire

    async with connect(settings) as driver:
        written = await graph.over(driver).write(
            "filesystem", said, (1, 2), volatile={"ingested_at": "today", "commit": "c0ffee"}
        )

    sent = bytes(through.sent)
    assert written == {}
    assert sent.count(b"MERGE") == sent.count(b"MERGE (f:_Fence") == 2, "the claim, and one for the volatile properties"
    assert sent.count(b"SET ") == 2 * 2 + 2, "two in each claim, two for the volatile properties"
    assert sent.count(b"CREATE ") == sent.count(b"DELETE") == sent.count(b"UNWIND $") == 0
    assert await graph.digest() == before
    [root] = await graph.query("MATCH (r:Repository {id: $repo}) RETURN r.ingested_at AS at, r.commit AS commit")
    assert root == {"at": "today", "commit": "c0ffee"}


async def test_volatile_properties_of_one_step_survive_the_writes_of_another(graph: GraphUnderTest) -> None:
    root = ("Repository", graph.repository)
    await graph.write("filesystem", graph.says({root: {"name": "a", "branch": "main"}}))
    doc = graph.says({SECTION: {}}, {("DOCUMENTED_BY", *root, *SECTION): {}})
    await graph.write("documentation_grapher", doc, volatile={"documented_at": "noon"})

    await graph.write("filesystem", graph.says({root: {"name": "b"}}), (1, 2))

    [there] = await graph.query("MATCH (r:Repository {id: $repo}) RETURN properties(r) AS p")
    kept = {key: value for key, value in there["p"].items() if not key.startswith("_")}
    assert kept == {"id": graph.repository, "repo": graph.repository, "name": "b", "documented_at": "noon"}


async def test_a_named_node_is_a_placeholder_until_its_owner_writes_it_and_after_it_is_dropped(
    graph: GraphUnderTest,
) -> None:
    function, section = ("Function", graph.id("Function", 0)), ("Section", graph.id("Section", 0))
    doc = graph.says({section: {"title": "t"}}, {("DESCRIBES", *section, *function): {"evidence": "e"}})
    code = graph.says({function: {"name": "n", "text": "x"}})
    nothing = graph.says()

    await graph.write("documentation_grapher", doc)
    await graph.agrees()
    alone = await graph.digest()
    await graph.write("blarify", code)
    await graph.agrees()
    both = await graph.digest()

    assert await graph.write("blarify", nothing) == {"nodes emptied": 1}
    assert await graph.digest() == alone
    await graph.write("blarify", code)
    assert await graph.digest() == both, "the relationship of the other owner survived"
    await graph.write("blarify", nothing)
    await graph.write("documentation_grapher", nothing)
    assert await graph.actual() == ({}, {})


async def test_content_that_shrinks_beyond_the_limit_is_refused_and_nothing_written(graph: GraphUnderTest) -> None:
    files = [Node("File", graph.id("File", number), {"size": number}) for number in range(100)]
    writer = graph.writer("filesystem")
    await writer.replace(files, [])
    before = await graph.digest()

    with pytest.raises(Shrinks, match=r"9 of 100 nodes.*CODESTORY_GRAPH_SHRINK_LIMIT=1"):
        await writer.replace(files[:9], [])

    assert await graph.digest() == before
    assert await writer.replace(files[:9], [], shrink_limit=1) == {"nodes deleted": 91}


async def test_relationships_that_shrink_beyond_the_limit_are_refused(graph: GraphUnderTest) -> None:
    files = [Node("File", graph.id("File", number)) for number in range(40)]
    edges = [Relationship("CONTAINS", "Directory", "d" + graph.repository, "File", file.id) for file in files]
    writer = graph.writer("filesystem", graph_batch_rows=7)
    await writer.replace(files, edges)
    before = await graph.digest()

    with pytest.raises(Shrinks, match="3 of 40 relationships"):
        await writer.replace(files, edges[:3])

    assert await graph.digest() == before


async def test_thousands_of_nodes_that_another_owner_names_in_part_are_dropped(graph: GraphUnderTest) -> None:
    count = 5000
    functions = [("Function", graph.id("Function", number)) for number in range(count)]
    sections = [("Section", graph.id("Section", number)) for number in range(100)]
    calls = {("CALLS", *functions[i], *functions[i * 7 % count]): {"lines": [i]} for i in range(count)}
    doc = graph.says({key: {"title": key[1]} for key in sections})
    for i in range(0, count, 2):
        doc.relationships["DESCRIBES", *sections[i % 100], *functions[i]] = {}
        doc.relationships["DESCRIBES", *sections[(i + 1) % 100], *functions[i]] = {}
    await graph.write("blarify", graph.says({key: {"name": key[1]} for key in functions}, calls))
    await graph.write("documentation_grapher", doc)

    written = await graph.write("blarify", graph.says())

    assert written == {"nodes emptied": count // 2, "nodes deleted": count // 2, "relationships deleted": count}
    await graph.agrees()
    written = await graph.write("documentation_grapher", graph.says())
    assert written["placeholders deleted"] == count // 2
    assert await graph.actual() == ({}, {})


async def test_content_is_spooled_to_disk_and_cut_by_bytes(graph: GraphUnderTest) -> None:
    rng = random.Random(31)
    said = graph.some(rng, "blarify")
    said.nodes.update({("Class", graph.id("Class", n)): {"text": "long " * 2000, "n": n} for n in range(30)})
    nodes = [Node(*key, properties) for key, properties in said.nodes.items()]
    relationships = [Relationship(*key, properties) for key, properties in said.relationships.items()]
    graph.said["blarify"] = said

    await graph.writer("blarify", graph_content_memory_bytes=100, graph_batch_bytes=25_000).replace(
        iter(nodes), iter(relationships)
    )

    await graph.agrees()


async def test_progress_counts_up_to_its_total(graph: GraphUnderTest) -> None:
    said = graph.some(random.Random(41), "blarify")
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    await graph.write("blarify", said, batch=4, progress=progress)

    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0
    assert {total for _, total in seen} == {seen[-1][1]}


async def test_text_that_is_no_unicode_or_holds_nul_does_not_break_the_writer(graph: GraphUnderTest) -> None:
    function = ("Function", graph.id("Function", 0))
    said = graph.says({function: {"name": "caf\udce9 \0 é", "lines": [1, 2.5], "names": ["\ud800"]}})

    await graph.write("blarify", said)

    assert await graph.write("blarify", said) == {}
    found = await graph.writer("blarify").read(
        "MATCH (f:Function {repo: $repo}) RETURN f.name AS name, f.names AS names"
    )
    assert found == [{"name": "caf\\udce9 \0 é", "names": ["\\ud800"]}]
    with pytest.raises(InvalidContent, match="cannot be the id"):
        await graph.write("blarify", graph.says({("Function", "\udce9"): {}}))


async def test_a_label_of_a_third_party_step_is_written_swept_and_in_the_digest(graph: GraphUnderTest) -> None:
    line_count, file = ("LineCount", graph.id("LineCount", 0)), ("File", graph.id("File", 0))
    graph.owned["count_lines"] = ("LineCount",)
    said = graph.says({line_count: {"lines": 3}}, {("COUNTED_BY", *file, *line_count): {}})
    try:
        await graph.write("count_lines", said)
        await graph.agrees()
        names = graph.says({}, {("USES", *file, *line_count): {}})
        await graph.write("documentation_grapher", names)
        await graph.write("count_lines", graph.says())
        await graph.agrees()
        await graph.write("documentation_grapher", graph.says())

        assert await graph.actual() == ({}, {})
    finally:
        await graph.forget_labels("LineCount")


async def test_a_node_of_another_repository_is_never_taken(graph: GraphUnderTest) -> None:
    function = Node("Function", "shared-" + graph.repository, {"name": "mine"})
    await graph.writer("blarify").replace([function], [])
    before = await graph.digest()
    other = graph.writer("blarify", repository=graph.repository + "-other")

    with pytest.raises(Miscount):
        await other.replace([Node("Function", function.id, {"name": "theirs"})], [])

    assert await graph.digest() == before
