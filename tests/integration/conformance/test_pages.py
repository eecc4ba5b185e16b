"""What a step reads of the others' nodes and relationships, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codestory.graph import InvalidContent, Node

if TYPE_CHECKING:
    from conftest import GraphUnderTest


async def test_every_written_node_of_a_label_is_read_once_by_id_whatever_the_page(graph: GraphUnderTest) -> None:
    functions = {("Function", graph.id("Function", number)): {"name": f"f{number}"} for number in range(8)}
    placeholder = ("Function", graph.id("Function", 8))
    functions["Function", graph.id("Function", 0)]["lines"] = "3"
    first = ("Function", graph.id("Function", 0))
    await graph.write("blarify", graph.says(functions, {("CALLS", *first, *placeholder): {}}))
    await graph.writer("blarify", repository=graph.repository + "-other").replace(
        [Node("Function", "other-" + graph.repository)], []
    )
    reader = graph.writer("filesystem")

    for page in (3, 8, 100):
        found = [row async for row in reader.nodes("Function", "name", "lines", page=page)]

        assert found == [
            {"id": id_, "name": f"f{number}", "lines": None if number else "3"}
            for number, (_, id_) in enumerate(functions)
        ]
    assert [row async for row in reader.nodes("Class", "name")] == []


async def test_relationships_are_read_whoever_wrote_them_and_never_those_of_placeholders(graph: GraphUnderTest) -> None:
    a, b, c, gone = (("Function", graph.id("Function", number)) for number in range(4))
    cls = ("Class", graph.id("Class", 0))
    mine = {
        ("CALLS", *a, *b): {"lines": [1]},
        ("CALLS", *a, *gone): {},
        ("CALLS", *gone, *b): {},
        ("CALLS", *c, *a): {"lines": [2]},
        ("USES", *a, *b): {},
        ("CALLS", *b, *cls): {},
    }
    await graph.write("blarify", graph.says({key: {} for key in (a, b, c, cls)}, mine))
    await graph.write("documentation_grapher", graph.says({}, {("CALLS", *a, *b): {"lines": [3]}}))
    reader = graph.writer("filesystem")

    for page in (1, 1000):
        found = [row async for row in reader.relationships("CALLS", "Function", "Function", "lines", page=page)]

        assert sorted(found, key=str) == [
            {"source": a[1], "target": b[1], "lines": [1]},
            {"source": a[1], "target": b[1], "lines": [3]},
            {"source": c[1], "target": a[1], "lines": [2]},
        ]


async def test_names_that_could_change_the_query_are_refused(graph: GraphUnderTest) -> None:
    reader = graph.writer("blarify")

    with pytest.raises(InvalidContent, match="name of a property"):
        await anext(reader.nodes("Function", "name] AS x"))
    with pytest.raises(InvalidContent, match="label of a node"):
        await anext(reader.nodes("Function) DELETE (n"))
