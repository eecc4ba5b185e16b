"""`codestory repo`, and the plan that `ingest start --dry-run` shows."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from codestory.cli import reach, repo
from codestory.repository_identity import identify

Run = Callable[..., tuple[int, str, str]]
Asked = list[tuple[str, Any]]

AT = datetime(2031, 5, 1, 12, tzinfo=UTC).isoformat()
SHOP = {
    "id": "a" * 32,
    "name": "h.org/shop",
    "origin": "/srv/shop",
    "branch": "main",
    "commit": "c0ffee" * 6,
    "ingested_at": AT,
    "in_graph": True,
    "complete": True,
    "nodes": {"File": 12, "Function": 1234},
    "last_job": {"id": "job7", "state": "COMPLETED", "created_at": AT, "ended_at": AT},
}
NEW = {"id": "b" * 32, "name": "new\x1b[31m", "in_graph": False}
GOING = SHOP | {"deleting": True, "complete": False, "deletion": {"since": AT, "removed": 99, "problem": "away."}}
PLAN = {
    "repository": {"id": "1", "name": "shop", "path": "/srv/shop"},
    "steps": [
        {"name": "scan", "concurrency": 2, "workers": 1, "estimate_seconds": 61.0},
        {"name": "docs", "depends_on": ["scan"], "options": {"depth": 2}, "options_dropped": ["other"]},
    ],
    "files": 1234,
    "bytes": 5_000_000,
    "warnings": [{"code": "no_worker", "text": "No worker of the step docs lives."}],
}


def test_repositories_are_listed_with_what_state_they_are_in(run: Run, answers: dict[str, Any]) -> None:
    answers["GET repositories"] = {"repositories": [SHOP, NEW, GOING | {"name": "z"}]}

    code, out, _ = run("repo", "list")
    _, as_json, _ = run("repo", "list", "--json")

    assert code == 0
    for expected in ("h.org/shop", "complete", "c0ffeec0ffee", "job7", "not in the graph yet", "being deleted"):
        assert expected in " ".join(out.split())
    assert "\x1b" not in out
    assert json.loads(as_json)["repositories"][0]["name"] == "h.org/shop"


def test_where_there_are_none_it_says_how_to_make_one(run: Run, answers: dict[str, Any]) -> None:
    answers["GET repositories"] = {"repositories": []}

    _, out, _ = run("repo", "list")

    assert "ingest start PATH" in out
    assert "make ingest" in out


def test_one_is_shown_by_its_name(run: Run, answers: dict[str, Any]) -> None:
    answers["GET repositories/h.org/shop"] = GOING

    code, out, _ = run("repo", "show", "h.org/shop")

    assert code == 0
    for expected in ("Function 1,234, File 12", "/srv/shop", "99 so far", "It is tried again", "Last job: job7"):
        assert expected in out


def test_one_is_found_by_its_folder_unless_the_service_is_elsewhere(
    run: Run, answers: dict[str, Any], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers[f"GET repositories/{identify(repository).id}"] = SHOP
    answers["GET repositories"] = {"repositories": [SHOP]}

    elsewhere, _, err = run("repo", "show", str(repository))
    monkeypatch.setattr(reach, "elsewhere", lambda: False)
    here, out, _ = run("repo", "show", str(repository))

    assert (elsewhere, here) == (2, 0)
    assert "There are: h.org/shop" in err
    assert "h.org/shop" in out


def test_nothing_is_deleted_unasked(run: Run, answers: dict[str, Any], asked: Asked) -> None:
    answers["GET repositories/shop"] = SHOP

    code, _, err = run("repo", "rm", "shop")

    assert code == 2
    assert "Function 1,234" in err
    assert "--yes" in err
    assert not [what for what, _ in asked if what.startswith("DELETE")]


@pytest.mark.parametrize(("says", "deleted"), [(True, True), (False, False)])
def test_a_person_is_asked_first(
    run: Run, answers: dict[str, Any], asked: Asked, monkeypatch: pytest.MonkeyPatch, *, says: bool, deleted: bool
) -> None:
    answers["GET repositories/shop"] = SHOP
    answers[f"DELETE repositories/{SHOP['id']}"] = GOING

    def confirm(text: str, *, err: bool) -> bool:
        assert (text, err) == ("Delete all of it?", True)
        return says

    monkeypatch.setattr(repo, "at_a_terminal", bool)  # every console is one
    monkeypatch.setattr("typer.confirm", confirm)

    code, _, err = run("repo", "rm", "shop")

    assert (code == 0) is deleted
    assert bool([what for what, _ in asked if what.startswith("DELETE")]) is deleted
    assert ("ingest it again" in err) is deleted


def test_it_waits_until_it_is_gone_unless_told_not_to(run: Run, answers: dict[str, Any], asked: Asked) -> None:
    answers["GET repositories/shop"] = SHOP
    answers[f"DELETE repositories/{SHOP['id']}"] = GOING

    code, out, _ = run("repo", "rm", "shop", "--yes")
    _, later, _ = run("repo", "rm", "shop", "--yes", "--no-wait")

    assert code == 0
    assert "is gone from the graph" in out
    assert "is being deleted" in later
    assert [what for what, _ in asked].count(f"GET repositories/{SHOP['id']}") == 1


def test_a_dry_run_shows_the_plan_and_starts_nothing(
    run: Run, answers: dict[str, Any], asked: Asked, submitted: list[Any], repository: Path
) -> None:
    answers["POST plan"] = PLAN

    code, out, err = run("ingest", "start", str(repository), "--dry-run", "--option", "depth=2")
    _, as_json, _ = run("ingest", "start", str(repository), "--dry-run", "--json")

    assert code == 0
    for expected in ("1,234 files, 5.0 MB", "scan", "1 min 01 s", "depth=2", "(without other)", "?"):
        assert expected in out
    assert "No worker of the step docs lives." in err
    assert "Nothing was started" in err
    assert json.loads(as_json)["files"] == 1234
    assert asked[0][1]["options"] == {"depth": 2}
    assert submitted == []


def test_what_is_not_sent_cannot_be_looked_at(run: Run, repository: Path) -> None:
    code, _, err = run("ingest", "start", str(repository), "--dry-run", "--upload")

    assert code == 2
    assert "leave out --upload" in err
