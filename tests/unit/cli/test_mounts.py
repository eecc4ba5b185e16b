"""What a command tells a service that may be in containers; here it is in none."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import Response

from codestory.contracts.api import Problem, SubmitJob

Run = Callable[..., tuple[int, str, str]]
OUTSIDE = Problem(title="No", status=403, detail="This service may not read that place.", code="outside_roots")


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


@pytest.fixture
def refusing(answers: dict[str, Any]) -> None:
    answers["POST"] = Response(OUTSIDE.model_dump_json(), 403, media_type="application/problem+json")


def test_a_service_that_sees_the_folder_needs_no_docker(run: Run, repository: Path, submitted: list[SubmitJob]) -> None:
    code, _, err = run("ingest", "start", str(repository), "--detach")

    assert code == 0, err
    assert [request.repository for request in submitted] == [str(repository)]


@pytest.mark.usefixtures("refusing")
def test_one_that_does_not_says_so_and_we_say_why_it_was_not_mounted(run: Run, repository: Path) -> None:
    code, _, err = run("ingest", "start", str(repository), "--detach")

    assert code == 2
    assert "may not read that place. It was not mounted: Docker does not answer." in err


@pytest.mark.usefixtures("refusing")
def test_without_auto_mount_docker_is_not_asked(run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codestory.containers.auto_mount", None)

    code, _, err = run("ingest", "start", str(repository), "--detach", "--no-auto-mount")

    assert code == 2
    assert "Nothing was mounted (--no-auto-mount). Or send its files: --upload." in err


def test_without_auto_mount_a_prefix_is_taken_at_its_word(
    run: Run, repository: Path, submitted: list[SubmitJob]
) -> None:
    run("ingest", "start", str(repository), "--detach", "--no-auto-mount", "--path-prefix", "/repositories")

    assert [request.repository for request in submitted] == [f"/repositories/{repository.name}"]


@pytest.mark.parametrize("path", ["/repositories/flask", "https://github.com/pallets/flask"])
def test_what_is_no_folder_here_is_told_as_it_is(
    run: Run, submitted: list[SubmitJob], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setitem(sys.modules, "codestory.containers.auto_mount", None)

    run("ingest", "start", path, "--detach")

    assert [request.repository for request in submitted] == [path]


def test_a_container_that_is_named_needs_docker(run: Run, repository: Path, submitted: list[SubmitJob]) -> None:
    code, _, err = run("ingest", "start", str(repository), "--detach", "--container", "orchestrator", "--debug")

    assert code == 4
    assert "Docker does not answer" in err
    assert "--- EngineUnavailable" in err  # of the bundle
    assert submitted == []


@pytest.mark.parametrize("prefix", ["repositories", "/", "/a/../b", "/a:b", "/a\x1b[m"])
def test_a_prefix_that_is_no_folder_is_refused(run: Run, repository: Path, prefix: str) -> None:
    code, _, err = run("ingest", "start", str(repository), "--path-prefix", prefix)

    assert code == 2
    assert "--path-prefix is a folder in the containers" in err
    assert "\x1b" not in err


def test_mount_needs_a_service_that_is_named(run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODESTORY_URL")

    code, _, err = run("ingest", "mount", str(repository))

    assert code == 4
    assert "CODESTORY_URL=" in err


def test_the_jobs_of_a_remote_service_ask_no_engine(
    run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setitem(sys.modules, "codestory.containers.auto_mount", None)
    monkeypatch.setenv("CODESTORY_URL", url.replace("127.0.0.1", "service.example"))

    code, _, err = run("ingest", "start", str(repository), "--detach")

    assert code == 4  # there is no such machine, and nothing was asked of Docker
    assert "service.example" in err
