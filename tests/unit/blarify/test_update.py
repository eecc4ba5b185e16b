"""What an update computes, and what it says: always what a whole run would."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codestory.steps import StepResult
from codestory_blarify.step import CHANGED, BlarifyStep
from codestory_blarify.unchanged import Reading

Run = Callable[..., Awaitable[StepResult]]
Tree = Callable[[Mapping[str, str | bytes]], Path]
Graph = Any  # the recording graph of conftest.py

#: Whole runs with the real programs take their time where the machine is shared.
pytestmark = pytest.mark.timeout(600)

PACKAGE: dict[str, str | bytes] = {
    "pkg/__init__.py": "",
    "pkg/a.py": "def work():\n    return 1\n",
    "pkg/b.py": "from pkg.a import work\n\n\nclass B:\n    def run(self):\n        return work()\n",
    "broken.py": "%%% not a program\n",
    "binary.py": b"\0" * 100,
    "README.md": "# Hi\n",
}


def told(result: StepResult) -> dict[str, Any]:
    """What two runs of the same sources must both say."""
    said = result.outcome().model_dump(exclude={"summary", "written", "details"})
    details = {name: value for name, value in result.details.items() if name != "update"}
    return {**said, "details": details}


def test_the_step_has_an_update() -> None:
    assert BlarifyStep.updates()


async def test_unchanged_sources_start_no_program_and_say_what_the_last_run_said(
    run: Run, tree: Tree, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(PACKAGE)
    first = await run(root)
    tree({"README.md": "# Another\n"})
    monkeypatch.setattr("codestory_blarify.programs.run", None)

    second = await run(root, last=first)
    third = await run(root, last=second)

    assert graph.writes == 1
    assert told(first) == told(second) == told(third)
    assert second.summary == third.summary == f"no source has changed: {first.summary}"
    assert second.details["update"] == {"sources.changed": 0}
    assert second.outcome().written == {}
    assert first.outcome().failed
    assert first.outcome().skipped


def edit(root: Path) -> None:
    (root / "pkg/a.py").write_text("def work():\n    return 2\n")


def add(root: Path) -> None:
    (root / "pkg/c.py").write_text("from pkg.b import B\n\nB().run()\n")


def delete(root: Path) -> None:
    (root / "pkg/a.py").unlink()


def rename(root: Path) -> None:
    (root / "pkg/a.py").rename(root / "pkg/d.py")


def make_binary(root: Path) -> None:
    (root / "pkg/b.py").write_bytes(b"\0")


def close_a_gap(root: Path) -> None:
    (root / "binary.py").unlink()


@pytest.mark.parametrize("change", [edit, add, delete, rename, make_binary, close_a_gap])
async def test_after_a_change_an_update_writes_what_a_whole_run_writes(
    run: Run, tree: Tree, graph: Graph, change: Callable[[Path], None]
) -> None:
    root = tree(PACKAGE)
    first = await run(root)
    change(root)

    updated = await run(root, last=first)
    content = (graph.nodes, graph.relationships)
    whole = await run(root)

    assert graph.writes == 3
    assert content == (graph.nodes, graph.relationships)
    assert told(updated) == told(whole)
    assert updated.details["update"] == {"whole": CHANGED}
    assert updated.remember == whole.remember


async def test_what_another_try_may_better_is_computed_again(
    run: Run, tree: Tree, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(PACKAGE)
    monkeypatch.setenv("CODESTORY_BLARIFY_PROGRAM_FILE_BYTES", "1000")
    crippled = await run(root)
    monkeypatch.delenv("CODESTORY_BLARIFY_PROGRAM_FILE_BYTES")

    whole = await run(root, last=crippled)

    assert not crippled.remember
    assert [gap.path for gap in crippled.failed] != [gap.path for gap in whole.failed]
    assert graph.pairs("CALLS") == {("B.run", "work")}


async def test_another_environment_has_all_computed_again(run: Run, tree: Tree, graph: Graph) -> None:
    root = tree(PACKAGE)
    first = await run(root)

    second = await run(root, last=replace(first, remember={**first.remember, "programs": "of older versions"}))

    assert graph.writes == 2
    assert second.details["update"] == {"whole": CHANGED}


def test_an_environment_that_does_not_say_what_is_in_it_is_never_taken_for_unchanged() -> None:
    assert not Reading(sources="s", programs="").remember(StepResult("done")).remember


@pytest.mark.parametrize("remembered", [{}, {"sources": "s"}, {"sources": "s", "programs": "p", "said": {"counts": 3}}])
def test_what_another_version_remembers_is_nothing(remembered: dict[str, Any]) -> None:
    assert Reading(sources="s", programs="p").known(remembered) is None
