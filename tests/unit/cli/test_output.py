"""What every command has in common: JSON for every listing, tables that fit, no colour when asked, exit codes."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from codestory.cli.exits import BadUse, Exit, NoService
from codestory.cli.failures import exit_of
from codestory.cli.main import app
from codestory.client import (
    BadAddress,
    ChangedMeanwhile,
    Conflict,
    Forbidden,
    Forgotten,
    Invalid,
    NotFound,
    ProblemError,
    ServiceUnreachable,
    StillRunning,
    Throttled,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from codestory.contracts.api import JobView, Problem
from codestory.graph.errors import GraphError, GraphUnavailable
from codestory.local.errors import (
    AnotherVersion,
    BadSetting,
    LocalError,
    NoSuchLog,
    NotInstalled,
    NotReady,
    StateNewer,
    StateUnusable,
)
from codestory.pipeline_file import PipelineFileError
from codestory.repository_identity import RepositoryError
from codestory.testing import executable

Run = Callable[..., tuple[int, str, str]]
MakeJob = Callable[..., JobView]

AT = "2024-05-01T12:00:00Z"
MOMENT = f"{datetime(2024, 5, 1, 12, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S}"
LONG = "a_step_with_a_rather_long_name"
HOLDER = {"job": "0f3a9c2b7d1e4a5f8c6b", "step": LONG, "attempt": 1, "since": AT, "repository": "flask" * 8}
STEP = {
    "name": LONG,
    "version": "1.2.3",
    "workers": 2,
    "depends_on": ["filesystem", "summarizer"],
    "resources": ["gpu"],
}
SCHEDULE = {"id": "0f3a9c2b7d1e4a5f8c6b", "job": {"repository": "/srv/" + "flask" * 9}, "cron": "0 3 * * *"}
#: Commands that print text as it is, say one line, or change nothing that a program would read.
WITHOUT_JSON = {"ingest watch", "ingest schedules rm", "service logs"}
CODE = re.compile(r"\x1b\[[0-9;]*m")
COLOR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|9[0-7]|38;)[0-9;]*m")


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(commands(get_command(app)))


def test_every_command_that_answers_has_json() -> None:
    without = {name for name, command in ALL.items() if not any("--json" in each.opts for each in command.params)}

    assert without <= WITHOUT_JSON | {name for name in ALL if name.startswith("auth ")}


def test_every_command_and_every_option_says_what_it_does() -> None:
    silent = [name for name, command in ALL.items() if not command.help]
    silent += [
        f"{name} {parameter.opts[0]}"
        for name, command in ALL.items()
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]

    assert silent == []


@pytest.fixture
def busy(answers: dict[str, Any], jobs: dict[str, list[JobView]], make_job: MakeJob) -> None:
    """A service with something in each of its lists."""
    for number in range(3):
        job = make_job(id=f"0f3a9c2b7d1e4a5f8c6{number}", repository={"id": "r", "name": "flask" * 9, "path": "/srv"})
        jobs[job.id] = [job]
    answers["GET resource_status/holders"] = {
        "available_tokens": 1,
        "max_tokens": 4,
        "holders": [HOLDER],
        "tags": [{"tag": "gpu", "limit": 1, "held": 1}],
    }
    answers["GET steps"] = {"steps": [STEP]}
    answers["GET schedules"] = {"schedules": [SCHEDULE | {"created_at": AT, "next_at": AT}]}


LISTINGS = [
    ("ingest", "jobs"),
    ("ingest", "status", "0f3a9c2b7d1e4a5f8c60"),
    ("ingest", "schedules", "list"),
    ("resources",),
    ("steps",),
]
#: What is copied from a list, or read at a glance, stands there in one piece.
WHOLE = {
    "ingest jobs": ["0f3a9c2b7d1e4a5f8c60", "RUNNING", MOMENT],
    "ingest status": ["0f3a9c2b7d1e4a5f8c60"],
    "ingest schedules": ["0f3a9c2b7d1e4a5f8c6b", "0 3 * * * UTC", MOMENT],
    "resources": ["0f3a9c2b7d1e4a5f8c6b", LONG],
    "steps": [LONG, "1.2.3"],
}


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("command", LISTINGS, ids=" ".join)
@pytest.mark.usefixtures("busy")
def test_a_listing_fits_the_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))

    code, out, _ = run(*command)

    assert code == 0
    assert max(len(CODE.sub("", line).rstrip()) for line in out.splitlines()) <= width
    assert [whole for whole in WHOLE[" ".join(command[:2])] if whole not in out] == []


@pytest.mark.parametrize("command", LISTINGS, ids=" ".join)
@pytest.mark.usefixtures("busy")
def test_a_listing_is_json_when_asked(run: Run, command: tuple[str, ...]) -> None:
    code, out, err = run(*command, "--json")

    assert (code, err) == (0, "")
    assert json.loads(out)


@pytest.mark.parametrize(
    ("setting", "before", "coloured"),
    [({}, (), True), ({"NO_COLOR": "1"}, (), False), ({}, ("--no-color",), False), ({"TERM": "dumb"}, (), False)],
)
@pytest.mark.usefixtures("busy")
def test_there_is_colour_unless_it_is_declined(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    *,
    setting: dict[str, str],
    before: tuple[str, ...],
    coloured: bool,
) -> None:
    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("codestory.cli.screen._plain", [])
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    for name, value in setting.items():
        monkeypatch.setenv(name, value)

    _, out, _ = run(*before, "ingest", "status", "0f3a9c2b7d1e4a5f8c60")

    assert bool(COLOR.search(out)) is coloured


def problem(kind: type[ProblemError], status: int) -> ProblemError:
    return kind(Problem(title="No", status=status))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadUse(), Exit.BAD_USE),
        (NoService(), Exit.UNREACHABLE),
        (ServiceUnreachable(), Exit.UNREACHABLE),
        (UnexpectedAnswer(), Exit.UNREACHABLE),
        (BadAddress(), Exit.BAD_USE),
        (StillRunning(), Exit.BAD_USE),
        (problem(Invalid, 422), Exit.BAD_USE),
        (problem(Unauthorized, 401), Exit.BAD_USE),
        (problem(Forbidden, 403), Exit.BAD_USE),
        (problem(NotFound, 404), Exit.BAD_USE),
        (problem(Forgotten, 410), Exit.BAD_USE),
        (problem(Conflict, 409), Exit.BAD_USE),
        (problem(ChangedMeanwhile, 412), Exit.BAD_USE),
        (problem(Throttled, 429), Exit.FAILED),
        (problem(Unavailable, 503), Exit.UNREACHABLE),
        (problem(ProblemError, 500), Exit.UNREACHABLE),
        (GraphUnavailable(), Exit.UNREACHABLE),
        (GraphError(), Exit.BAD_USE),
        (PipelineFileError("x", []), Exit.BAD_USE),
        (RepositoryError("x"), Exit.BAD_USE),
        (BadSetting(), Exit.BAD_USE),
        (AnotherVersion(), Exit.BAD_USE),
        (StateNewer(), Exit.BAD_USE),
        (NoSuchLog(), Exit.BAD_USE),
        (NotReady("nats", ""), Exit.UNREACHABLE),
        (NotInstalled(), Exit.UNREACHABLE),
        (StateUnusable(), Exit.UNREACHABLE),
        (LocalError(), Exit.UNREACHABLE),
        (RuntimeError(), None),
    ],
    ids=lambda each: type(each).__name__,
)
def test_each_error_has_its_exit_code(error: Exception, code: Exit | None) -> None:
    assert exit_of(error) == code


def complete(*words: str) -> list[str]:
    """What the shell is offered for the last word."""
    asked = {"_CODESTORY_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(("codestory", *words))}
    ran = subprocess.run(
        [executable("codestory")],
        env={**os.environ, **asked, "COMP_CWORD": str(len(words))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.usefixtures("busy", "run")
def test_the_shell_is_offered_jobs_and_steps(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_COMPLETION_SECONDS", "30")

    assert complete("ingest", "status", "0f3") == [f"0f3a9c2b7d1e4a5f8c6{n}" for n in range(3)]
    assert complete("ingest", "step", "0f3a9c2b7d1e4a5f8c60", "a_") == [LONG]
    assert complete("ingest", "start", str(repository), "--steps", "x,a_") == [f"x,{LONG}"]


@pytest.mark.usefixtures("run")
def test_without_a_service_the_shell_is_offered_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODESTORY_URL")

    assert complete("ingest", "status", "0f3") == []
