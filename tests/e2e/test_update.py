"""Update mode through the whole stack: it comes to the same as a full run, and touches nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codestory.testing import EmbeddedStack

#: Each test runs several jobs, on a machine that may be shared.
pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(900)]

STEPS = ("blarify", "filesystem", "summarizer", "documentation_grapher")
LATER = set(STEPS[1:])
NOTHING: dict[str, dict[str, int]] = {step: {} for step in STEPS}
#: Every node but those of blarify, with all that is on it.
OTHERS = """
MATCH (n {repo: $repo}) WHERE NOT n:Class AND NOT n:Function AND NOT n:Method AND NOT n:Repository
RETURN n.id AS id, properties(n) AS properties ORDER BY id
"""
FUNCTIONS = "MATCH (f:Function {repo: $repo}) WHERE f._missing IS NULL RETURN f.qualified_name AS name ORDER BY name"


def updates_of(job: dict[str, Any]) -> dict[str, Any]:
    assert job["state"] == "COMPLETED", job
    return {step["name"]: step["outcome"]["details"].get("update") for step in job["steps"]}


def written_by(job: dict[str, Any]) -> dict[str, Any]:
    return {step["name"]: step["outcome"]["written"] for step in job["steps"]}


def digest(stack: EmbeddedStack, repository: Path) -> str:
    return stack.run("graph", "digest", repository.name).stdout.splitlines()[-1]


def stale(stack: EmbeddedStack, repository: Path) -> set[str]:
    return set(stack.answer("graph", "stats", repository.name)["stale_steps"])


def others(stack: EmbeddedStack, repository: Path) -> dict[str, dict[str, Any]]:
    """What is not blarify's, but for blarify's mark of its own relationships, by id."""
    rows = stack.answer("graph", "query", repository.name, OTHERS)
    return {row["id"]: {k: v for k, v in row["properties"].items() if k != "_out_blarify"} for row in rows}


def edit(root: Path) -> None:
    (root / "src" / "work.py").write_text(
        '"""Works."""\n\nfrom rest import REST\n\n\ndef work() -> int:\n    return REST\n'
    )


def add(root: Path) -> None:
    (root / "src" / "more.py").write_text("from work import work\n\n\ndef more() -> int:\n    return work()\n")


def rename(root: Path) -> None:
    (root / "src" / "work.py").rename(root / "src" / "labour.py")


def delete(root: Path) -> None:
    (root / "src" / "more.py").unlink()


def test_a_repository_that_was_never_ingested_is_ingested_whole_and_says_so(
    stack: EmbeddedStack, repository: Path
) -> None:
    job = stack.answer("ingest", "update", str(repository))

    assert updates_of(job) == {step: {"whole": "never ingested before"} for step in STEPS}
    assert all(step["outcome"]["summary"].endswith("not an update: never ingested before") for step in job["steps"])
    assert stale(stack, repository) == set()
    before = digest(stack, repository)
    assert written_by(stack.answer("ingest", "start", str(repository))) == NOTHING
    assert digest(stack, repository) == before


def test_an_update_of_all_steps_comes_to_what_a_full_run_comes_to(stack: EmbeddedStack, repository: Path) -> None:
    stack.answer("ingest", "start", str(repository))
    changes: list[Callable[[Path], None]] = [edit, add, rename, delete]
    for change in changes:
        change(repository)

        updated = stack.answer("ingest", "update", str(repository))
        after = digest(stack, repository)
        full = stack.answer("ingest", "start", str(repository))

        assert updates_of(updated)["blarify"] == {"whole": "sources have changed, or what reads them"}
        assert updates_of(full) == dict.fromkeys(STEPS)
        assert written_by(updated)["blarify"], change
        assert written_by(full) == NOTHING, change
        assert digest(stack, repository) == after
        assert stale(stack, repository) == set()


def test_where_no_source_has_changed_nothing_is_resolved(stack: EmbeddedStack, repository: Path) -> None:
    first = stack.answer("ingest", "start", str(repository))
    (repository / "README.md").write_text("# Other words\n\nThe work is done in `src/work.py`.\n")

    second = stack.answer("ingest", "update", str(repository))

    before, after = (job["steps"][0]["outcome"] for job in (first, second))
    assert updates_of(second)["blarify"] == {"sources.changed": 0}
    assert after["summary"] == f"no source has changed: {before['summary']}"
    assert {name: after[name] for name in ("counts", "nodes", "relationships", "skipped", "failed", "gaps")} == {
        name: before[name] for name in ("counts", "nodes", "relationships", "skipped", "failed", "gaps")
    }
    assert after["written"] == {}
    assert written_by(second)["documentation_grapher"]


def test_one_step_alone_writes_its_own_part_and_marks_the_later_ones_stale(
    stack: EmbeddedStack, repository: Path
) -> None:
    stack.answer("ingest", "start", str(repository))
    before = others(stack, repository)
    edit(repository)
    add(repository)

    alone = stack.answer("ingest", "update", str(repository), "--steps", "blarify")

    assert written_by(alone) == {
        "blarify": {"nodes created": 1, "nodes changed": 1, "relationships created": 3},
    }
    assert [row["name"] for row in stack.answer("graph", "query", repository.name, FUNCTIONS)] == ["more", "work"]
    there = others(stack, repository)
    assert {id_: properties for id_, properties in there.items() if id_ in before} == before
    assert all("_missing" in properties for id_, properties in there.items() if id_ not in before)
    assert stale(stack, repository) == LATER
    assert "documentation_grapher" in stack.run("graph", "stats", repository.name).stdout

    rest = stack.answer("ingest", "update", str(repository), "--steps", "filesystem,summarizer,documentation_grapher")

    assert rest["state"] == "COMPLETED"
    assert stale(stack, repository) == set()
    after = digest(stack, repository)
    assert written_by(stack.answer("ingest", "start", str(repository))) == NOTHING
    assert digest(stack, repository) == after


def test_other_options_force_the_whole(stack: EmbeddedStack, repository: Path) -> None:
    stack.answer("ingest", "start", str(repository))
    option = ("--step-option", "blarify.store_source=true")

    first = stack.answer("ingest", "update", str(repository), *option)
    second = stack.answer("ingest", "update", str(repository), *option)

    assert updates_of(first)["blarify"] == {"whole": "options changed"}
    assert updates_of(second)["blarify"] == {"sources.changed": 0}
    assert written_by(first)["blarify"] == {"nodes changed": 1}
