"""The commands about what jobs share: tokens, steps, schedules."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]
Asked = list[tuple[str, Any]]

AT = datetime(2031, 5, 1, 12, tzinfo=UTC).isoformat()
HOLDER = {"job": "job1", "step": "docs", "attempt": 1, "repository": "flask", "since": AT, "resources": ["gpu"]}
HOLDERS = {
    "available_tokens": 3,
    "max_tokens": 4,
    "holders": [HOLDER],
    "tags": [{"tag": "gpu", "limit": 1, "held": 1}],
}
STEP = {"name": "docs", "version": "1.2", "workers": 2, "concurrency": 5, "waiting": 7, "depends_on": ["filesystem"]}
SCHEDULE = {
    "id": "s1abc",
    "job": {"repository": "/srv/flask"},
    "cron": "0 3 * * *",
    "time_zone": "Europe/Berlin",
    "title": "nightly",
    "created_at": AT,
    "next_at": AT,
    "last_at": AT,
    "last_job": "job7",
    "made": 3,
}


def test_the_tokens_and_their_holders_are_shown(run: Run, answers: dict[str, Any], asked: Asked) -> None:
    answers["GET resource_status/holders"] = HOLDERS

    code, out, _ = run("resources")
    _, as_json, _ = run("resources", "--json")

    assert code == 0
    assert out.startswith("3 of 4 tokens are free.\n")
    for expected in ("docs", "job1", "flask", "nobody yet", "gpu"):
        assert expected in out
    assert json.loads(as_json)["max_tokens"] == 4
    assert {method for method, _ in asked} == {"GET resource_status/holders"}


def test_tokens_and_limits_are_changed_first(run: Run, answers: dict[str, Any], asked: Asked) -> None:
    answers["GET resource_status/holders"] = HOLDERS
    answers["PATCH resource_status"] = {"available_tokens": 7, "max_tokens": 8}
    answers["PATCH resource_limits"] = []

    code, _, _ = run("resources", "--tokens", "8", "--limit", "gpu=1", "--limit", "disk=")

    assert code == 0
    assert asked[:2] == [
        ("PATCH resource_status", {"max_tokens": 8}),
        ("PATCH resource_limits", {"limits": {"gpu": 1, "disk": None}}),
    ]


def test_the_steps_are_shown_and_their_concurrency_changed(run: Run, answers: dict[str, Any], asked: Asked) -> None:
    answers["GET steps"] = {"steps": [STEP]}
    answers["PATCH steps/docs"] = STEP

    code, out, _ = run("steps", "--set-concurrency", "docs=5")
    _, as_json, _ = run("steps", "--json")

    assert code == 0
    assert out.splitlines()[1].split() == ["docs", "1.2", "2", "5", "0", "7", "filesystem"]
    assert json.loads(as_json)["steps"][0]["name"] == "docs"
    assert asked[0] == ("PATCH steps/docs", {"concurrency": 5})


@pytest.mark.parametrize(
    "arguments",
    [
        ["resources", "--tokens", "0"],
        ["resources", "--limit", "gpu"],
        ["steps", "--set-concurrency", "docs=many"],
        ["steps", "--set-concurrency", "docs=0"],
    ],
)
def test_bad_use_is_2_and_changes_nothing(run: Run, asked: Asked, arguments: list[str]) -> None:
    code, out, err = run(*arguments)

    assert (code, out, asked) == (2, "", [])
    assert "Traceback" not in err


def test_a_schedule_is_made(run: Run, repository: Path, answers: dict[str, Any], asked: Asked) -> None:
    answers["POST schedules"] = SCHEDULE

    code, out, err = run(
        *("ingest", "schedule", str(repository), "--cron", "0 3 * * *", "--time-zone", "Europe/Berlin", "--update")
    )

    assert (code, out) == (0, "s1abc\n")
    assert asked == [
        (
            "POST schedules",
            {
                "job": {"repository": str(repository), "mode": "update"},
                "cron": "0 3 * * *",
                "time_zone": "Europe/Berlin",
            },
        )
    ]
    assert "Next 2031-05-01" in err
    assert "codestory ingest schedules pause s1abc" in err


def test_schedules_are_listed_and_shown(run: Run, answers: dict[str, Any]) -> None:
    answers["GET schedules"] = {"schedules": [SCHEDULE, SCHEDULE | {"id": "s2", "paused": True, "title": ""}]}
    answers["GET schedules/s1abc"] = SCHEDULE | {"problem": "the folder is gone"}

    code, out, _ = run("ingest", "schedules", "list")
    _, as_json, _ = run("ingest", "schedules", "list", "--json")
    _, one, _ = run("ingest", "schedules", "show", "s1abc")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith("s")] == ["s1abc", "s2"]
    assert "paused" in out
    assert [each["id"] for each in json.loads(as_json)["schedules"]] == ["s1abc", "s2"]
    for expected in ("nightly", "/srv/flask", "0 3 * * * Europe/Berlin", "job7", "the folder is gone"):
        assert expected in one


def test_no_schedules_is_a_hint(run: Run, answers: dict[str, Any]) -> None:
    answers["GET schedules"] = {"schedules": []}

    assert "codestory ingest schedule" in run("ingest", "schedules", "list")[1]


@pytest.mark.parametrize(("verb", "paused"), [("pause", True), ("resume", False)])
def test_a_schedule_is_paused_and_resumed_by_how_it_begins(
    run: Run, answers: dict[str, Any], asked: Asked, *, verb: str, paused: bool
) -> None:
    answers["GET schedules"] = {"schedules": [SCHEDULE]}
    answers["PATCH schedules/s1abc"] = SCHEDULE | {"paused": paused}

    code, out, _ = run("ingest", "schedules", verb, "s1")

    assert code == 0
    assert asked[-1] == ("PATCH schedules/s1abc", {"paused": paused})
    assert ("Paused" in out) is paused


def test_a_schedule_is_deleted(run: Run, answers: dict[str, Any], asked: Asked) -> None:
    answers["GET schedules/s1abc"] = SCHEDULE
    answers["DELETE schedules/s1abc"] = None

    code, out, _ = run("ingest", "schedules", "rm", "s1abc")

    assert (code, out) == (0, "Schedule s1abc is deleted.\n")
    assert asked[-1] == ("DELETE schedules/s1abc", None)
