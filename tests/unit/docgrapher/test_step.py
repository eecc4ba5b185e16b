"""The step on a repository whose whole answer is written down here."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from codestory.contracts.results import Gap, Progress
from codestory.graph import Node, Relationship, node_id
from codestory.steps import StepResult
from codestory.testing_secrets import corpus, plant
from codestory_docgrapher.step import CHANGED

Run = Callable[..., Awaitable[StepResult]]
Tree = Callable[[Mapping[str, str | bytes]], Path]


class Graph(Protocol):
    symbols: list[Node]
    written: list[Node]
    joined: list[Relationship]
    others: list[Relationship]

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

    documents = {row.properties["path"]: dict(row.properties) for row in graph.written if row.label == "Document"}
    absent = {"lossy": None, "broken_links": None}
    hashes = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in REPOSITORY.items()}
    assert {path: document.pop("sha256") for path, document in documents.items()} == {
        path: hashes[str(path)] for path in documents
    }
    assert documents == {
        "README.md": {"path": "README.md", "title": "Tool", "format": "markdown"} | absent,
        "docs/guide.rst": {"path": "docs/guide.rst", "title": "Guide", "format": "restructuredtext", "lossy": None}
        | {"broken_links": ["8: gone.png"]},
        "LICENSE": {"path": "LICENSE", "title": "MIT License", "format": "text"} | absent,
    }
    assert [
        (p["path"], p["anchor"], p["heading"], p["level"], p["ordinal"], p["start_line"], p["end_line"], p["text"])
        for p in (row.properties for row in graph.written if row.label == "Section")
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
        "documents.markdown": 1,
        "documents.restructuredtext": 1,
        "documents.text": 1,
        "redacted": 0,
        "sections": 5,
        "docstrings": 0,
        "links": 2,
        "links.broken": 1,
        "links.external": 1,
        "describes": 3,
        "describes.files": 3,
        "describes.code_span": 2,
        "describes.path": 1,
    }
    assert result.nodes == {"Document": 3, "Section": 5}
    assert result.relationships == {"HAS_SECTION": 5, "LINKS_TO": 2, "DESCRIBES": 3}
    assert not [*result.skipped, *result.failed]


async def test_two_runs_give_the_same_rows_in_the_same_order(tree: Tree, run: Run, graph: Graph) -> None:
    root = tree(REPOSITORY)
    await run(root)
    first = graph.written, graph.joined

    await run(root)

    assert (graph.written, graph.joined) == first


async def test_every_end_of_a_relationship_is_a_row_or_a_file_that_was_found(
    tree: Tree, run: Run, graph: Graph
) -> None:
    await run(tree(REPOSITORY))

    files = {node_id("repo-id", "File", path) for path in REPOSITORY}
    own = {node.id for node in graph.written}
    assert {row.source for row in graph.joined} <= own
    assert {row.target for row in graph.joined} <= own | files


SYMBOLS = [
    Node("Class", "c1", {"name": "Tool", "qualified_name": "Tool", "path": "src/tool.py", "start_line": 1}),
    Node("Method", "m1", {"name": "run", "qualified_name": "Tool.run", "path": "src/tool.py", "start_line": 4}),
    Node("Method", "m2", {"name": "stop", "qualified_name": "Tool.stop"}),
]


async def test_symbols_are_described_and_their_docstrings_are_sections_that_describe_others(
    tree: Tree, run: Run, graph: Graph
) -> None:
    tool, method, unplaced = SYMBOLS
    docstrings = ["Runs by `run()`, not ``Tool``.", "Runs a :class:`Tool`; not :meth:`run`."]
    graph.symbols = [
        Node(node.label, node.id, {**node.properties, "module": "tool", "docstring": docstring})
        for node, docstring in zip((tool, method), docstrings, strict=True)
    ] + [unplaced]

    result = await run(tree({"README.md": "Call `tool.Tool.run`.\n", "src/tool.py": ""}))

    assert graph.facts() == {
        ("HAS_SECTION", "README.md", "README.md#"),
        ("DESCRIBES", "README.md#", "src/tool.py:Tool.run", ("import_path",), 0.95, 1),
        ("DOCUMENTED_BY", "src/tool.py:Tool", "src/tool.py#Tool"),
        ("DOCUMENTED_BY", "src/tool.py:Tool.run", "src/tool.py#Tool.run"),
        ("DESCRIBES", "src/tool.py#Tool", "src/tool.py:Tool.run", ("import_path",), 0.9, 1),
        ("DESCRIBES", "src/tool.py#Tool.run", "src/tool.py:Tool", ("import_path",), 0.9, 4),
    }
    sections = [node.properties for node in graph.written if node.properties.get("kind") == "docstring"]
    assert [(one["heading"], one["text"], one["start_line"]) for one in sections] == [
        ("Tool", docstrings[0], 1),
        ("run", docstrings[1], 4),
    ]
    assert result.counts["docstrings"] == result.counts["describes.from_docstrings"] == 2


async def test_what_other_steps_wrote_of_imports_inheritance_and_summaries_is_used(
    tree: Tree, run: Run, graph: Graph
) -> None:
    package = node_id("repo-id", "File", "tool/__init__.py")
    graph.symbols = [
        Node(
            "Class", "base", {"name": "Base", "qualified_name": "Base", "path": "tool/base.py", "module": "tool.base"}
        ),
        Node(
            "Class", "tool", {"name": "Tool", "qualified_name": "Tool", "path": "tool/main.py", "module": "tool.main"}
        ),
        Node("Method", "run", {"name": "run", "qualified_name": "Base.run", "path": "tool/base.py"}),
    ]
    graph.others = [
        Relationship("IMPORTS", "File", package, "Class", "tool", {"names": ["Tool"]}),
        Relationship("INHERITS_FROM", "Class", "tool", "Class", "base"),
        Relationship("SUMMARIZED_BY", "File", package, "Summary", "s1"),
        Relationship("SUMMARIZED_BY", "Class", "tool", "Summary", "s2"),
    ]
    files = {"tool/__init__.py": "", "tool/main.py": "", "tool/base.py": ""}

    result = await run(tree({**files, "README.md": "`tool.Tool`, `tool.Tool.run`, `tool/__init__.py`\n"}))

    assert {fact[2:] for fact in graph.facts() if fact[0] == "DESCRIBES"} == {
        ("tool/main.py:Tool", ("import_path",), 0.9, 1),
        ("tool/base.py:Base.run", ("import_path",), 0.8, 1),
        ("tool/__init__.py", ("code_span",), 0.95, 1),
        ("s1", ("code_span",), 0.95, 1),
        ("s2", ("import_path",), 0.9, 1),
    }
    assert result.counts["describes.summaries"] == 2


async def test_a_notebook_has_cells_instead_of_lines(tree: Tree, run: Run, graph: Graph) -> None:
    cells: list[dict[str, object]] = [
        {"cell_type": "code", "source": "import os", "outputs": [{"text": "never stored"}]},
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "See `src/a.py`.\n"], "attachments": {"x.png": {}}},
    ]
    notebook = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})

    await run(tree({"a.ipynb": notebook, "src/a.py": ""}))

    document, section = (node.properties for node in graph.written)
    assert (document["format"], document["title"]) == ("notebook", "Title")
    assert (section["cell"], section["start_line"], section["end_line"]) == (2, None, None)
    assert section["text"] == "See `src/a.py`."
    [describes] = [row.properties for row in graph.joined if row.type == "DESCRIBES"]
    assert (describes["cells"], "lines" in describes) == ([2], False)


async def test_no_secret_reaches_the_graph_or_the_result(tree: Tree, run: Run, graph: Graph) -> None:
    root = tree({"src/tool.py": ""})
    secrets = plant(root)
    key = next(secret.value for secret in corpus() if secret.kind == "aws_access_key_id")
    page = (root / "README.md").read_text()
    cells = [{"cell_type": kind, "source": page} for kind in ("markdown", "raw")]
    (root / "page.ipynb").write_text(json.dumps({"cells": cells}))
    (root / "page.rst").write_text(f"Key {key}\n{'=' * 30}\n\n`x <{key}>`_ and ``{key}``\n")
    graph.symbols = [Node("Class", "c1", {**SYMBOLS[0].properties, "docstring": page})]

    result = await run(root)

    stored = repr((graph.written, graph.joined, result))
    assert [secret for secret in [*secrets, key] if secret in stored] == []
    assert result.counts["redacted"] >= 4 * len(secrets) // 2


async def test_a_document_that_differs_from_what_filesystem_read_is_named(tree: Tree, run: Run, graph: Graph) -> None:
    text = "# Here\n"
    graph.symbols = [
        Node("File", "f1", {"path": "a.md", "sha256": hashlib.sha256(text.encode()).hexdigest()}),
        Node("File", "f2", {"path": "b.md", "sha256": "00"}),
        Node("File", "f3", {"path": "c.md", "status": "skipped"}),
    ]

    result = await run(tree({"a.md": text, "b.md": text, "c.md": text, "d.md": text}))

    assert [(gap.path, gap.reason) for gap in result.skipped] == [("b.md", CHANGED)]
    assert result.counts["documents"] == 4


async def test_symbols_can_be_left_out(tree: Tree, run: Run, graph: Graph) -> None:
    properties = {"name": "run", "qualified_name": "tool.run", "path": "src/tool.py", "docstring": "Runs it."}
    graph.symbols = [Node("Function", "f1", properties)]

    await run(tree({"README.md": "Call `tool.run`.\n"}), link_symbols=False, docstrings=False)

    assert [row.type for row in graph.joined] == ["HAS_SECTION"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the alarm in Hypothesis's gc callback
async def test_what_cannot_be_taken_in_is_named_and_the_rest_is_read(tree: Tree, run: Run, graph: Graph) -> None:
    root = tree(
        {
            "README.md": "# Fine\n",
            "big.md": "x" * 100_001,
            "slow.rst": "*a " * 33_000,
            "picture.md": b"\x89PNG\0\0",
            "latin.md": b"caf\xe9\n",
            "broken.ipynb": "{",
            "binary.ipynb": b"\0\0",
            "outputs.ipynb": "x" * 200_001,
        }
    )
    (root / "link.md").symlink_to("README.md")

    result = await run(root, max_document_bytes=100_000, max_document_seconds=0.2, max_notebook_bytes=200_000)

    assert Gap(path="big.md", reason="larger than 100000 bytes") in list(result.skipped)
    assert {gap.path for gap in result.skipped} == {"big.md", "link.md", "outputs.ipynb"}
    assert {gap.path: gap.reason.partition(":")[0] for gap in result.failed} == {
        "binary.ipynb": "not text",
        "broken.ipynb": "not JSON",
        "slow.rst": "took more than 0.2 s to parse",
    }
    assert [node.properties["path"] for node in graph.written if node.label == "Document"] == ["README.md", "latin.md"]


async def test_bytes_that_are_no_text_are_replaced_and_said_so(tree: Tree, run: Run, graph: Graph) -> None:
    result = await run(tree({"latin.md": b"caf\xe9\n", "picture.md": b"\x89PNG\0\0"}))

    document, section = graph.written
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

    assert {str(node.properties["path"]) for node in graph.written if node.label == "Document"} == documents


async def test_progress_names_each_document(tree: Tree, run: Run) -> None:
    said: list[Progress] = []

    await run(tree({"a.md": "", "b.md": ""}), said=said)

    assert [(progress.phase, progress.done, progress.total, progress.message) for progress in said] == [
        ("listing", 0, None, "a.md"),
        ("parsing", 0, 2, "a.md"),
        ("parsing", 1, 2, "b.md"),
        ("linking", 0, None, ""),
    ]


async def test_a_repository_without_documents_gives_nothing(tree: Tree, run: Run, graph: Graph) -> None:
    result = await run(tree({"main.py": ""}))

    assert (graph.written, graph.joined) == ([], [])
    assert result.summary == "0 documents, 0 sections, 0 links, 0 descriptions of files and symbols"
