"""What the step writes and says, with the real programs on small repositories."""

import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from codestory.contracts.results import Gap, Progress
from codestory.graph import node_id
from codestory.steps import StepError, StepResult, TemporaryStepError
from codestory_blarify.settings import BlarifySettings

Run = Callable[..., Awaitable[StepResult]]
Tree = Callable[[Mapping[str, str | bytes]], Path]
Graph = Any  # the recording graph of conftest.py

PACKAGE: dict[str, str | bytes] = {
    "pkg/__init__.py": "",
    "pkg/a.py": "import json\n\n\ndef work():\n    return json.dumps({})\n",
    "pkg/b.py": "from pkg.a import work\n\n\nclass B:\n    def run(self):\n        return work()\n",
    "main.go": "package main\n\nfunc main() {}\n",
    "README.md": "# Hi\n",
}


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where the step puts its copy and its work is empty afterwards."""
    place = tmp_path / "places"
    place.mkdir()
    monkeypatch.setenv("CODESTORY_BLARIFY_COPY_DIR", str(place))
    yield
    assert not list(place.iterdir())


async def test_symbols_and_references_of_a_repository(run: Run, tree: Tree, graph: Graph) -> None:
    said: list[Progress] = []

    result = await run(tree(PACKAGE), said=said)

    assert sorted(graph.names("Function")) == ["main", "work"]
    assert (graph.names("Class"), graph.names("Method")) == (["B"], ["B.run"])
    assert graph.pairs("CONTAINS") == {("B", "B.run")}
    assert graph.pairs("CALLS") == {("B.run", "work")}
    assert graph.pairs("IMPORTS") == {(node_id("repo-id", "File", "pkg/b.py"), "work")}
    assert {node.properties.get("module") for node in graph.nodes} == {"pkg.a", "pkg.b", None}
    assert result.summary == (
        "1 classes, 2 functions, 1 methods in 4 files (3 Python, 1 Go); 2 references between them; "
        "no references for Go: there is no engine for that"
    )
    assert result.counts["files.without_references.Go"] == 1
    assert result.details["symbols"] == {"Go": {"Function": 1}, "Python": {"Class": 1, "Function": 1, "Method": 1}}
    assert result.details["references"] == {"Python": {"CALLS": 1, "IMPORTS": 1}}
    assert result.details["without_references"] == ["Go"]
    assert (list(result.skipped), list(result.failed)) == ([], [])
    assert {message.phase for message in said} >= {"listing", "copying", "parsing", "references"}


async def test_twice_is_once_also_for_what_is_imported_from_elsewhere(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree(PACKAGE)
    result = await run(root, externals=True)
    first = (graph.nodes, graph.relationships)

    await run(root, externals=True)

    assert (graph.nodes, graph.relationships) == first
    assert [node.properties["name"] for node in graph.nodes if node.label == "External"] == ["json"]
    assert result.nodes["External"] == 1


async def test_without_references_the_hierarchy_is_all(run: Run, tree: Tree, graph: Graph) -> None:
    result = await run(tree(PACKAGE), references=False, store_source=True)

    assert {row.type for row in graph.relationships} == {"CONTAINS"}
    assert "source" in graph.nodes[0].properties
    assert result.summary.endswith("references were not asked for")


async def test_what_is_ignored_is_left_out_and_what_is_skipped_is_named(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree(
        {"a.py": "def a(): pass\n", "vendor/b.py": "def b(): pass\n", "big.rb": "#" * 200, "big.txt": "#" * 200}
    )

    result = await run(root, references=False, ignore=["/vendor/"], max_file_bytes=100)

    assert graph.names("Function") == ["a"]
    assert list(result.skipped) == [Gap(path="big.rb", reason="larger than 100 bytes")]


async def test_a_repository_without_sources_starts_no_program(
    run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODESTORY_BLARIFY_PYTHON", "/bin/false")

    result = await run(tree({"README.md": "# Hi\n"}))

    assert result.summary == "no files in a language that Blarify parses"


async def test_configuration_in_the_repository_runs_nothing(run: Run, tree: Tree, graph: Graph, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    evil = f"import pathlib; pathlib.Path({str(canary)!r}).touch()\n"
    root = tree(
        {
            "setup.py": evil,
            "conftest.py": evil,
            "sitecustomize.py": evil,
            "blarify/__init__.py": evil,
            "json.py": evil,
            "pyrefly.toml": 'python-interpreter-path = "./python"\nproject-includes = []\n',
            "pyproject.toml": '[tool.pyrefly]\npython-interpreter-path = "./python"\n',
            "pyrightconfig.json": '{"include": [], "venvPath": "."}\n',
            "python": f"#!/bin/sh\ntouch {canary}\n",
            "a.py": "def a(): pass\n",
        }
    )
    (root / "python").chmod(0o755)

    result = await run(root)

    assert graph.names("Function") == ["a"]
    assert (list(result.skipped), list(result.failed)) == ([], [])
    assert not canary.exists()


async def test_hostile_files_are_named_and_end_nothing(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree(
        {
            "a.py": "def a(): pass\n",
            "nested.py": "x = " + "[" * 5_000 + "]" * 5_000 + "\n",
            "long.py": "def long(): pass  # " + "x" * 500_000 + "\n",
            "many.py": "def f(): pass\n" * 5_000,
            "binary.py": b"\0" * 1_000,
        }
    )
    (root / "passwd.py").symlink_to("/etc/passwd")
    os.mkfifo(root / "pipe.py")

    result = await run(root)

    assert sorted(set(graph.names("Function"))) == ["a", "f", "long"]
    assert len({node.id for node in graph.nodes}) == 5_002
    assert {gap.path: gap.reason for gap in result.skipped} == {
        "binary.py": "binary content",
        "passwd.py": "symbolic link out of the repository",
        "pipe.py": "named pipe",
    }


def programs(place: Path, pyrefly: str) -> Path:
    """An environment with the real Blarify and another Pyrefly."""
    place.mkdir()
    python = place / "python"
    python.write_text(f'#!/bin/sh\nexec {BlarifySettings().python} "$@"\n')
    (place / "pyrefly").write_text(f"#!/bin/sh\n{pyrefly}\n")
    for path in place.iterdir():
        path.chmod(0o755)
    return python


async def test_an_engine_that_fails_leaves_the_hierarchy_and_a_gap(
    run: Run, tree: Tree, graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODESTORY_BLARIFY_PYTHON", str(programs(tmp_path / "bin", "echo 'out of order' >&2; exit 3")))

    result = await run(tree(PACKAGE))

    assert graph.names("Method") == ["B.run"]
    [gap] = result.failed
    assert gap.path == "references of Python"
    assert gap.reason.endswith("ended with exit code 3: out of order")
    assert result.details["without_references"] == ["Go"]


async def test_an_engine_that_somebody_killed_is_tried_again_later(
    run: Run, tree: Tree, graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODESTORY_BLARIFY_PYTHON", str(programs(tmp_path / "bin", "kill -9 $$")))

    with pytest.raises(TemporaryStepError, match="SIGKILL"):
        await run(tree(PACKAGE))

    assert not graph.nodes


async def test_without_its_environment_the_step_says_how_to_make_it(
    run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))

    with pytest.raises(StepError, match=r"Make it with \.ci/environment runtime"):
        await run(tree(PACKAGE))
