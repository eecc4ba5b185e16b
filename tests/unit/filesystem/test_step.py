"""What the filesystem step writes, and what it says of what it did."""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from codestory.contracts.results import Gap, Progress
from codestory.files.repository import FileSettings
from codestory.graph import Label, Node, node_id
from codestory.steps import StepError, StepResult
from codestory_filesystem.step import FileSystemStep, Options

Run = Callable[..., Awaitable[StepResult]]
Tree = Callable[[Mapping[str, str | bytes]], Path]
Graph = Any  # the recording graph of conftest.py

STATUSES = ("parsed", "unchanged", "skipped", "failed")


async def test_a_repository_becomes_a_tree_of_nodes(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree({"README.md": "# Hi\n", "src/pkg/a.py": "x = 1\n\ny = 2"})

    result = await run(root)

    assert graph.by_path("Directory") == {
        "src": {"path": "src", "name": "src"},
        "src/pkg": {"path": "src/pkg", "name": "pkg"},
    }
    assert graph.by_path("File")["src/pkg/a.py"] == {
        "path": "src/pkg/a.py",
        "name": "a.py",
        "extension": "py",
        "size": 12,
        "content_type": "text/x-python",
        "language": "Python",
        "lines": 3,
        "sha256": "57774a24f1e6fd522042c69d405b7e24d9ae4d5ce938d791037d131240fe371f",
        "status": "parsed",
    }
    assert graph.pairs("CONTAINS") == {
        ("example", "README.md"),
        ("example", "src"),
        ("src", "src/pkg"),
        ("src/pkg", "src/pkg/a.py"),
    }
    assert result.nodes == {"Repository": 1, "Directory": 2, "File": 2}
    assert result.relationships == {"CONTAINS": 4}
    assert result.summary == "2 files in 2 directories: 2 parsed"


async def test_ids_come_from_the_repository_and_the_path_alone(run: Run, tree: Tree, graph: Graph) -> None:
    await run(tree({"src/a.py": ""}))

    assert [(node.label, node.id) for node in graph.written] == [
        ("Repository", "repo-id"),
        ("Directory", node_id("repo-id", Label.DIRECTORY, "src")),
        ("File", node_id("repo-id", Label.FILE, "src/a.py")),
    ]


async def test_the_repository_says_where_it_comes_from_and_when(run: Run, tree: Tree, graph: Graph) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    root = tree({".git/HEAD": "ref: refs/heads/main\n", ".git/refs/heads/main": f"{commit}\n"})

    await run(root)

    [repository] = graph.written
    assert repository.properties == {
        "name": "example",
        "url": "https://example.org/r.git",
        "commit": commit,
        "branch": "main",
    }
    assert set(graph.volatile) == {"ingested_at"}


async def test_a_second_run_says_unchanged_and_writes_the_same(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree({"a.py": "1", "b.py": "2", "logo.png": b"\x89PNG\0"})
    await run(root)

    again = await run(root)
    (root / "b.py").write_text("3")
    changed = await run(root)

    assert again.written == {}
    assert [again.counts[status] for status in STATUSES] == [0, 3, 0, 0]
    assert [changed.counts[status] for status in STATUSES] == [1, 2, 0, 0]
    assert {properties["status"] for properties in graph.by_path("File").values()} == {"parsed"}


async def test_every_file_is_in_exactly_one_of_four(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree({"same.py": "", "changed.py": "1", "large.bin": b"x" * 200, "empty": ""})
    await run(root)
    (root / "changed.py").write_text("2")
    (root / "link").symlink_to("same.py")
    (root / "away").symlink_to("/etc/passwd")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"\xff\xfe broken \xe9")

    result = await run(root, max_file_bytes=100)

    assert [result.counts[status] for status in STATUSES] == [2, 2, 5, 0]
    assert result.counts["files"] == sum(result.counts[status] for status in STATUSES) == result.nodes["File"]
    assert {path: properties.get("reason") for path, properties in graph.by_path("File").items()} == {
        "same.py": None,
        "changed.py": None,
        "empty": None,
        r"caf\xe9.txt": None,
        "large.bin": "larger than 100 bytes",
        "link": "symbolic link",
        "away": "symbolic link out of the repository",
        "loop": "symbolic link",
        "pipe": "named pipe",
    }
    assert Gap(path="away", reason="symbolic link out of the repository") in list(result.skipped)
    assert result.outcome().skipped == {
        "larger than 100 bytes": 1,
        "named pipe": 1,
        "symbolic link": 2,
        "symbolic link out of the repository": 1,
    }


async def test_what_was_not_read_has_no_content(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree({"data.csv": "a,b\n"})
    (root / "link.py").symlink_to("data.csv")

    await run(root, max_file_bytes=3)

    files = graph.by_path("File")
    assert files["data.csv"] == {
        "path": "data.csv",
        "name": "data.csv",
        "extension": "csv",
        "size": 4,
        "content_type": "text/csv",
        "status": "skipped",
        "reason": "larger than 3 bytes",
    }
    assert set(files["link.py"]) == {"path", "name", "extension", "status", "reason"}


async def test_a_file_that_vanishes_before_it_is_read_fails_alone(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree({"a.py": "1", "b.py": "2", "c.py": "3"})

    class Deleting(list[Progress]):
        """Deletes b.py before a.py is read."""

        def append(self, progress: Progress) -> None:
            if (progress.phase, progress.message) == ("reading", "a.py"):
                (root / "b.py").unlink()

    result = await run(root, said=Deleting())

    assert [result.counts[status] for status in STATUSES] == [2, 0, 0, 1]
    assert list(result.failed) == [Gap(path="b.py", reason="vanished before it could be read")]
    assert graph.by_path("File")["b.py"]["status"] == "failed"
    assert "sha256" not in graph.by_path("File")["b.py"]


async def test_a_directory_that_is_not_entered_is_a_gap(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree({"a/b/c.py": "", "d.py": ""})

    result = await run(root, settings=FileSettings(max_depth=1))

    assert list(result.skipped) == [Gap(path="a/b", reason="more than 1 directories deep")]
    assert graph.by_path("Directory")["a/b"] == {
        "path": "a/b",
        "name": "b",
        "status": "skipped",
        "reason": "more than 1 directories deep",
    }
    assert [result.counts[status] for status in STATUSES] == [1, 0, 0, 0]


async def test_a_file_defines_the_symbols_that_another_step_found_in_it(run: Run, tree: Tree, graph: Graph) -> None:
    def symbol(label: Label, name: str, path: str) -> Node:
        return Node(label, node_id("repo-id", label, path, name), {"name": name, "path": path})

    root = tree({"src/a.py": "class A: ...\ndef f(): ...\n"})
    graph.symbols = [
        symbol(Label.CLASS, "A", "src/a.py"),
        symbol(Label.METHOD, "A.m", "src/a.py"),
        symbol(Label.FUNCTION, "f", "src/a.py"),
        symbol(Label.FUNCTION, "gone", "src/deleted.py"),
    ]

    result = await run(root)

    assert graph.pairs("DEFINES") == {("src/a.py", "A"), ("src/a.py", "A.m"), ("src/a.py", "f")}
    assert result.relationships["DEFINES"] == 3


async def test_ignored_files_are_not_found_and_are_counted(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree({".gitignore": "*.log\nout/\n", "a.log": "", "out/b": "", "c.py": "", "d.min.js": ""})

    result = await run(root, ignore=["*.min.js"])

    assert set(graph.by_path("File")) == {".gitignore", "c.py"}
    assert (result.counts["ignored.files"], result.counts["ignored.directories"]) == (2, 1)


async def test_git_can_be_left_out_of_it(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree({".gitignore": "*.log\n", ".codestoryignore": "*.md\n", "a.log": "", "b.md": ""})

    await run(root, use_gitignore=False)

    assert set(graph.by_path("File")) == {".codestoryignore", ".gitignore", "a.log"}


async def test_an_ignore_rule_that_is_wrong_is_named_in_the_summary(run: Run, tree: Tree) -> None:
    result = await run(tree({"src/.gitignore": "*.log\n[\n"}))

    assert result.counts["ignore.problems"] == 1
    assert result.summary.endswith("the first in src/.gitignore line 2: has a bracket that is not closed")


async def test_a_pattern_in_the_options_that_is_wrong_ends_the_step(run: Run, tree: Tree) -> None:
    with pytest.raises(StepError, match="can match nothing"):
        await run(tree({"a": ""}), ignore=["[a"])


async def test_an_empty_repository_is_a_repository_without_files(run: Run, tree: Tree, graph: Graph) -> None:
    result = await run(tree({}))

    assert result.summary == "0 files in 0 directories"
    assert [node.label for node in graph.written] == ["Repository"]


async def test_counts_sum_up_what_was_read(run: Run, tree: Tree) -> None:
    result = await run(tree({"a.py": "1\n2\n", "b.txt": "x", "c.bin": b"\0\n\n"}))

    assert (result.counts["bytes"], result.counts["lines"]) == (8, 3)


async def test_progress_goes_from_listing_to_the_last_file(run: Run, tree: Tree) -> None:
    said: list[Progress] = []

    await run(tree({"a.py": "", "src/b.py": ""}), said=said)

    assert [(progress.done, progress.total, progress.message) for progress in said] == [
        (0, None, "a.py"),
        (0, 2, "a.py"),
        (1, 2, "src/b.py"),
        (2, 2, ""),
    ]
    assert [progress.phase for progress in said] == ["listing", "reading", "reading", "reading"]


def test_the_options_explain_themselves() -> None:
    properties = FileSystemStep.options_model().model_json_schema()["properties"]

    assert FileSystemStep.options_model() is Options
    assert set(properties) == {"ignore", "use_gitignore", "max_file_bytes"}
    assert all(option["description"] for option in properties.values())
