"""A repository that no container sees is mounted by itself, and nothing else is touched."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import psutil
import pytest

from codestory.containers.errors import NotInContainers
from codestory.testing import wait_until

from .conftest import SmallProject

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]
Making = Callable[..., Path]


def test_it_is_mounted_read_only_and_only_what_reads_is_exchanged(running: SmallProject, repository: Making) -> None:
    before, made = running.containers(), repository("once")
    assert not running.mounting().is_repo_mounted(made)

    first = running.mounting().setup_repository_mount(made)

    after = running.containers()
    assert first == PurePosixPath("/repositories/once")
    assert running.mounting().is_repo_mounted(made)
    assert running.names("orchestrator", str(first)) == running.names("filesystem", str(first)) == ["app.py"]
    assert "read-only" in running.refused("filesystem", f"touch {first}/new")
    assert before["graph-1"] == after["graph-1"]
    assert before["filesystem-1"] != after["filesystem-1"]
    assert running.mounting().setup_repository_mount(made) == first  # and no exchange
    assert running.containers() == after
    running.up()  # as its user would: compose.override.yaml says the same
    assert running.containers() == after


def test_what_lies_below_the_parent_needs_no_mount_and_follows_what_is_made_anew(running: SmallProject) -> None:
    before, made = running.containers(), running.folder / "repositories" / "team" / "shop"
    for names in ({"a.py"}, {"b.py"}):
        made.mkdir(parents=True)
        for name in names:
            (made / name).touch()
        assert running.mounting().setup_repository_mount(made) == PurePosixPath("/repositories/team/shop")
        assert set(running.names("filesystem", "/repositories/team/shop")) == names
        for name in names:
            (made / name).unlink()
        made.rmdir()
    assert running.containers() == before


def test_names_do_not_collide_neither_with_each_other_nor_in_the_parent(
    running: SmallProject, repository: Making
) -> None:
    other = running.folder / "repositories" / "shared"
    other.mkdir()
    (other / "theirs.py").touch()
    one, two = repository("shared", below="one"), repository("shared", below="two")

    places = [running.mounting().setup_repository_mount(each) for each in (other, one, two)]

    assert places[0] == PurePosixPath("/repositories/shared")
    assert len(set(places)) == 3
    assert all(place.name.startswith("shared") for place in places)
    assert [running.names("filesystem", str(place)) for place in places] == [["theirs.py"], ["app.py"], ["app.py"]]


def test_commands_at_once_each_have_their_repository(running: SmallProject, repository: Making) -> None:
    made = [repository(f"at-once-{number}") for number in range(3)]
    command = [sys.executable, "-m", "codestory.cli.main", "ingest", "mount", "--json"]
    processes = [
        subprocess.Popen(
            [*command, str(each)], env=running.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for each in made
    ]
    said = [process.communicate(timeout=200) for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], [err for _, err in said]
    assert [json.loads(out)["path"] for out, _ in said] == [f"/repositories/{each.name}" for each in made]
    for each in made:
        assert running.names("orchestrator", f"/repositories/{each.name}") == ["app.py"]


def test_what_a_person_wrote_stays_in_force_and_so_does_a_scale(project: SmallProject, repository: Making) -> None:
    mine = repository("mine", below="elsewhere")
    written = "# mine\nservices:\n  filesystem:\n    volumes:\n      - {mine}:/mine:ro  # to look at\n"
    other = project.folder / "compose.override.yml"  # the other name that Compose looks for
    other.write_text(written.format(mine=mine))
    project.up("--scale", "filesystem=2")

    place = project.mounting().setup_repository_mount(repository("shop"))

    assert sorted(project.containers()) == ["filesystem-1", "filesystem-2", "graph-1", "orchestrator-1"]
    assert project.names("filesystem", "/mine") == project.names("filesystem", str(place)) == ["app.py"]
    assert other.read_text().startswith(written.format(mine=mine))
    assert not project.override.exists()


def test_a_repository_that_is_gone_is_no_longer_mounted_with_the_next(
    running: SmallProject, repository: Making
) -> None:
    gone = repository("gone")
    running.mounting().setup_repository_mount(gone)
    (gone / "app.py").unlink()
    gone.rmdir()

    running.mounting().setup_repository_mount(repository("next"))

    assert str(gone) not in running.override.read_text()
    assert not gone.exists(), "Docker made it anew"


def test_a_prefix_of_ones_own_and_the_container_by_its_name(running: SmallProject, repository: Making) -> None:
    made = repository("own")
    mounting = running.mounting(prefix=PurePosixPath("/repositories/mine"), container=f"{running.name}-orchestrator-1")
    mounting.url = "http://proxy.example:443"
    mounting.wait_for_service = lambda: None  # there is no such proxy

    assert mounting.setup_repository_mount(made) == PurePosixPath("/repositories/mine/own")
    with pytest.raises(NotInContainers, match="no container 'nobody'"):
        running.mounting(container="nobody").setup_repository_mount(made)


async def test_a_command_that_is_killed_leaves_whole_containers(running: SmallProject, repository: Making) -> None:
    made = repository("killed")
    before = running.containers()
    process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-m", "codestory.cli.main", "ingest", "mount", str(made)],
        env=running.environment(),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )

    async def begun() -> bool:
        try:
            return any("up" in child.cmdline() for child in psutil.Process(process.pid).children())
        except psutil.ZombieProcess:  # one that has ended
            return False

    await wait_until(begun, "the exchange has begun", 60)
    process.kill()
    process.wait()

    async def exchanged() -> bool:
        now = running.containers()
        return all(now.get(name, before[name]) != before[name] for name in ("filesystem-1", "orchestrator-1"))

    await wait_until(exchanged, "the containers are exchanged all the same", 60)
    assert running.run("ingest", "mount", str(made)).returncode == 0
    assert running.names("filesystem", "/repositories/killed") == ["app.py"]


def test_one_parent_is_chosen_when_the_service_is_brought_up(project: SmallProject, repository: Making) -> None:
    made = repository("shop", below="my own sources")
    environment = {"CODESTORY_URL": "", "DOCKER_HOST": os.environ.get("DOCKER_HOST", "")}

    ran = project.run(
        "service", "start", "--repositories", str(made.parent), "--compose-file", str(project.folder), **environment
    )

    assert ran.returncode == 0, ran.stderr
    assert project.url in ran.stdout
    before = project.containers()
    assert project.mounting().setup_repository_mount(made) == PurePosixPath("/repositories/shop")
    assert project.names("filesystem", "/repositories/shop") == ["app.py"]
    assert project.containers() == before
    assert f"CODESTORY_PORT={project.port}" in (project.folder / ".env").read_text()  # what stood there stays
