"""`codestory ingest bundle`: one file, whole, for this user's eyes; and what it does not hold is said."""

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import Response

from codestory.contracts.api import JobView, Problem

Run = Callable[..., tuple[int, str, str]]
MISSING = [{"name": "service/graph.json", "about": "which graph", "why": "it is \x1b[31maway"}]


def packed(**about: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("bundle.json", json.dumps(about))
    return file.getvalue()


BUNDLE = packed(files=[{"name": "job/job.json"}], missing=MISSING)


@pytest.fixture(autouse=True)
def a_job(jobs: dict[str, list[JobView]], make_job: Callable[..., JobView], answers: dict[str, Any]) -> None:
    jobs["job1"] = [make_job()]
    answers["GET job1/bundle"] = Response(BUNDLE, media_type="application/zip")


def test_it_is_written_whole_into_a_file_that_only_this_user_reads(run: Run, tmp_path: Path) -> None:
    code, out, err = run("ingest", "bundle", "job")

    [written] = tmp_path.glob("*.zip")
    assert code == 0
    assert out.strip() == written.name
    assert written.name.startswith("codestory-job1-")
    assert written.read_bytes() == BUNDLE
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert r"without service/graph.json: it is \x1b[31maway" in err
    assert "\x1b" not in err


def test_where_to_can_be_said_and_a_file_there_is_replaced(run: Run, tmp_path: Path) -> None:
    (tmp_path / "case.zip").write_text("old")
    (tmp_path / "cases").mkdir()

    code, out, _ = run("ingest", "bundle", "job1", "--output", "case.zip", "--json")
    into, _, _ = run("ingest", "bundle", "job1", "-o", "cases")

    assert (code, into) == (0, 0)
    assert (tmp_path / "case.zip").read_bytes() == BUNDLE
    assert len(list((tmp_path / "cases").glob("codestory-job1-*.zip"))) == 1
    assert json.loads(out) == {
        "file": "case.zip",
        "bytes": len(BUNDLE),
        "missing": {MISSING[0]["name"]: MISSING[0]["why"]},
    }


def test_a_place_that_is_none_is_bad_use_before_anything_is_asked(
    run: Run, asked: list[tuple[str, Any]], tmp_path: Path
) -> None:
    code, _, err = run("ingest", "bundle", "job1", "--output", "nowhere/case.zip")

    assert code == 2
    assert "There is no folder nowhere" in err
    assert asked == []
    assert list(tmp_path.glob("*.zip")) == []


def test_a_service_that_cannot_look_for_the_job_is_asked_by_its_id_all_the_same(
    run: Run, answers: dict[str, Any], tmp_path: Path
) -> None:
    away = Problem(title="No", status=503, detail="the bus is away", code="unavailable")
    problem = Response(
        away.model_dump_json(), 503, media_type="application/problem+json", headers={"Retry-After": "99"}
    )
    answers["GET job1"] = problem

    code, _, _ = run("ingest", "bundle", "job1")

    assert code == 0
    assert len(list(tmp_path.glob("*.zip"))) == 1


def test_a_job_that_is_not_there_leaves_no_file(run: Run, tmp_path: Path) -> None:
    code, _, err = run("ingest", "bundle", "nothing")

    assert code == 2
    assert "There is no job 'nothing'" in err
    assert list(tmp_path.glob("*.zip")) == []


def test_an_answer_that_is_no_archive_is_not_taken_for_one(run: Run, answers: dict[str, Any], tmp_path: Path) -> None:
    answers["GET job1/bundle"] = Response("<html>", media_type="text/html")

    code, _, err = run("ingest", "bundle", "job1")

    assert code == 4
    assert "does not answer like a Code Story service" in err
    assert list(tmp_path.glob("*.zip")) == []
