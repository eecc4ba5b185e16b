"""The step on a repository whose whole answer is written down here."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from codestory.contracts.results import Gap, Progress
from codestory.graph import Node, Relationship, node_id
from codestory.steps import StepResult

Run = Callable[..., Awaitable[StepResult]]
Tree = Callable[[Mapping[str, str | bytes]], Path]


class Graph(Protocol):
    symbols: list[Node]
    nodes: list[Node]
    relationships: list[Relationship]

    def facts(self) -> set[tuple[object, ...]]: ...


REPOSITORY = {
    "README.md": "# Tool\n\nDoes it. See [the guide](docs/guide.rst) and `src/tool.py`.\n\n## Run\n\n`tool.py` runs.\n",
    "docs/guide.rst": (
        ".. _guide:\n\nGuide\n=====\n\nBack to `the start <../README.md#run>`_, or :ref:`guide`.\n\n"
        ".. image:: gone.png\n\nMore\n----\n\nRead src/tool.py and https://example.org.\n"
    ),
    "LICENSE": "MIT License\n",
    "requirements.txt": "pydantic\n",
    "src/tool.py": "def run(): ...\n",
}


async def test_a_small_repository_gives_exactly_these_rows(tree: Tree, run: Run, graph: Graph) -> None:
    result = await run(tree(REPOSITORY))

    documents = {row.properties["path"]: dict(row.properties) for row in graph.nodes if row.label == "Document"}
    absent = {"lossy": None, "broken_links": None}
    assert documents == {
        "README.md": {"path": "README.md", "title": "Tool", "format": "markdown"} | absent,
        "docs/guide.rst": {"path": "docs/guide.rst", "title": "Guide", "format": "restructuredtext", "lossy": None}
        | {"broken_links": ["8: gone.png"]},
        "LICENSE": {"path": "LICENSE", "title": "MIT License", "format": "text"} | absent,
    }
    assert [
        (p["path"], p["anchor"], p["heading"], p["level"], p["ordinal"], p["start_line"], p["end_line"], p["text"])
        for p in (row.properties for row in graph.nodes if row.label == "Section")
    ] == [
        ("LICENSE", "", "", 0, 0, 1, 1, "MIT License"),
        ("README.md", "tool", "Tool", 1, 0, 1, 3, "Does it. See [the guide](docs/guide.rst) and `src/tool.py`."),
        ("README.md", "run", "Run", 2, 1, 5, 7, "`tool.py` runs."),
        (
            *("docs/guide.rst", "guide", "Guide", 1, 0, 3, 8),
            "Back to `the start <../README.md#run>`_, or :ref:`guide`.\n\n.. image:: gone.png",
        ),
        ("docs/guide.rst", "more", "More", 2, 1, 10, 13, "Read src/tool.py and https://example.org."),
    ]
    assert graph.facts() == {
        ("HAS_SECTION", "LICENSE", "LICENSE#"),
        ("HAS_SECTION", "README.md", "README.md#tool"),
        ("HAS_SECTION", "README.md#tool", "README.md#run"),
        ("HAS_SECTION", "docs/guide.rst", "docs/guide.rst#guide"),
        ("HAS_SECTION", "docs/guide.rst#guide", "docs/guide.rst#more"),
        ("LINKS_TO", "README.md#tool", "docs/guide.rst", ("link",), 1.0, 3),
        ("LINKS_TO", "docs/guide.rst#guide", "README.md#run", ("link",), 1.0, 6),
        ("DESCRIBES", "README.md#tool", "src/tool.py", ("code_span",), 0.95, 3),
        ("DESCRIBES", "README.md#run", "src/tool.py", ("code_span",), 0.6, 7),
        ("DESCRIBES", "docs/guide.rst#more", "src/tool.py", ("path",), 0.855, 13),
    }
    assert result.counts == {
        "documents": 3,
        "documents.lossy": 0,
        "sections": 5,
        "docstrings": 0,
        "links": 2,
        "links.broken": 1,
        "links.external": 1,
        "describes": 3,
        "describes.code_span": 2,
        "describes.path": 1,
    }
    assert result.nodes == {"Document": 3, "Section": 5}
    assert result.relationships == {"HAS_SECTION": 5, "LINKS_TO": 2, "DESCRIBES": 3}
    assert not [*result.skipped, *result.failed]


async def test_two_runs_give_the_same_rows_in_the_same_order(tree: Tree, run: Run, graph: Graph) -> None:
    root = tree(REPOSITORY)
    await run(root)
    first = graph.nodes, graph.relationships

    await run(root)

    assert (graph.nodes, graph.relationships) == first


async def test_every_end_of_a_relationship_is_a_row_or_a_file_that_was_found(
    tree: Tree, run: Run, graph: Graph
) -> None:
    await run(tree(REPOSITORY))

    files = {node_id("repo-id", "File", path) for path in REPOSITORY}
    own = {node.id for node in graph.nodes}
    assert {row.source for row in graph.relationships} <= own
    assert {row.target for row in graph.relationships} <= own | files


async def test_symbols_in_the_graph_are_described_and_their_docstrings_are_sections(
    tree: Tree, run: Run, graph: Graph
) -> None:
    properties = {"name": "run", "qualified_name": "tool.run", "path": "src/tool.py", "start_line": 1}
    graph.symbols = [
        Node("Function", "f1", properties | {"docstring": "Runs it.\n"}),
        Node("Method", "m1", properties | {"name": "stop", "qualified_name": "tool.T.stop"}),
    ]

    result = await run(tree({"README.md": "Call `tool.run`.\n", "src/tool.py": ""}))

    assert graph.facts() == {
        ("HAS_SECTION", "README.md", "README.md#"),
        ("DESCRIBES", "README.md#", "src/tool.py:run", ("qualified_name",), 0.9, 1),
        ("DOCUMENTED_BY", "src/tool.py:run", "src/tool.py#tool.run"),
    }
    [section] = [node.properties for node in graph.nodes if node.properties.get("kind") == "docstring"]
    assert (section["heading"], section["text"], section["start_line"]) == ("run", "Runs it.", 1)
    assert result.counts["docstrings"] == 1


async def test_symbols_can_be_left_out(tree: Tree, run: Run, graph: Graph) -> None:
    properties = {"name": "run", "qualified_name": "tool.run", "path": "src/tool.py", "docstring": "Runs it."}
    graph.symbols = [Node("Function", "f1", properties)]

    await run(tree({"README.md": "Call `tool.run`.\n"}), link_symbols=False, docstrings=False)

    assert [row.type for row in graph.relationships] == ["HAS_SECTION"]


async def test_what_cannot_be_taken_in_is_named_and_the_rest_is_read(tree: Tree, run: Run, graph: Graph) -> None:
    root = tree(
        {
            "README.md": "# Fine\n",
            "big.md": "x" * 100_001,
            "slow.rst": "*a " * 33_000,
            "picture.md": b"\x89PNG\0\0",
            "latin.md": b"caf\xe9\n",
        }
    )
    (root / "link.md").symlink_to("README.md")

    result = await run(root, max_document_bytes=100_000, max_document_seconds=0.2)

    assert Gap(path="big.md", reason="larger than 100000 bytes") in list(result.skipped)
    assert {gap.path for gap in result.skipped} == {"big.md", "link.md"}
    assert list(result.failed) == [Gap(path="slow.rst", reason="took more than 0.2 s to parse")]
    assert [node.properties["path"] for node in graph.nodes if node.label == "Document"] == ["README.md", "latin.md"]


async def test_bytes_that_are_no_text_are_replaced_and_said_so(tree: Tree, run: Run, graph: Graph) -> None:
    result = await run(tree({"latin.md": b"caf\xe9\n", "picture.md": b"\x89PNG\0\0"}))

    document, section = graph.nodes
    assert (document.properties["lossy"], section.properties["text"]) == (True, "caf\ufffd")
    assert result.counts["documents.lossy"] == 1


@pytest.mark.parametrize(
    ("options", "documents"),
    [
        ({}, {"README.md", "docs/a.md"}),
        ({"exclude": ["docs/*"]}, {"README.md"}),
        ({"include": ["*.adoc"]}, {"README.md", "docs/a.md", "notes.adoc"}),
        ({"ignore": ["docs/"]}, {"README.md"}),
    ],
)
async def test_options_choose_the_documents(
    tree: Tree, run: Run, graph: Graph, options: dict[str, list[str]], documents: set[str]
) -> None:
    await run(tree({"README.md": "a", "docs/a.md": "b", "notes.adoc": "c"}), **options)

    assert {str(node.properties["path"]) for node in graph.nodes if node.label == "Document"} == documents


async def test_progress_names_each_document(tree: Tree, run: Run) -> None:
    said: list[Progress] = []

    await run(tree({"a.md": "", "b.md": ""}), said=said)

    assert [(progress.done, progress.total, progress.message) for progress in said] == [
        (0, 2, "a.md"),
        (1, 2, "b.md"),
        (2, 2, ""),
    ]


async def test_a_repository_without_documents_gives_nothing(tree: Tree, run: Run, graph: Graph) -> None:
    result = await run(tree({"main.py": ""}))

    assert (graph.nodes, graph.relationships) == ([], [])
    assert result.summary == "0 documents, 0 sections, 0 links, 0 descriptions of files and symbols"
