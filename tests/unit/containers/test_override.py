import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from codestory.containers import override
from codestory.containers.errors import OverrideUnusable

PREFIX = PurePosixPath("/repositories")
PERSONS = """# mine
services:
  orchestrator:
    environment:
      CODESTORY_LOG_LEVEL: "DEBUG"  # while I look
    volumes:
      - /srv/extra:/extra:ro
  mailhog:
    image: mailhog/mailhog
"""


def content(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text())


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_a_repository_is_mounted_read_only_in_every_service(tmp_path: Path) -> None:
    file = tmp_path / override.NAME
    where = override.add(file, Path("/src/flask"), ["blarify", "orchestrator"], PREFIX)
    assert where == PurePosixPath("/repositories/flask")
    assert content(file) == {
        override.MOUNTED: {"/repositories/flask": "/src/flask"},
        "services": {name: {"volumes": ["/src/flask:/repositories/flask:ro"]} for name in ("blarify", "orchestrator")},
    }


def test_what_a_person_wrote_stays_comments_and_quotes_included(tmp_path: Path) -> None:
    file = tmp_path / override.NAME
    file.write_text(PERSONS)
    file.chmod(0o640)
    override.add(file, Path("/src/flask"), ["orchestrator"], PREFIX)
    assert [line for line in PERSONS.splitlines() if line not in file.read_text().splitlines()] == []
    volumes = content(file)["services"]["orchestrator"]["volumes"]
    assert volumes == ["/srv/extra:/extra:ro", "/src/flask:/repositories/flask:ro"]
    assert file.stat().st_mode & 0o777 == 0o640


def test_twice_is_once_and_several_repositories_stand_side_by_side(tmp_path: Path) -> None:
    file, flask, django = tmp_path / override.NAME, made(tmp_path / "flask"), made(tmp_path / "django")
    for path in (flask, django, flask):
        override.add(file, path, ["blarify"], PREFIX)
    assert content(file)["services"]["blarify"]["volumes"] == [
        f"{flask}:/repositories/flask:ro",
        f"{django}:/repositories/django:ro",
    ]


def test_two_repositories_of_one_name_do_not_collide(tmp_path: Path) -> None:
    file, one, two = tmp_path / override.NAME, made(tmp_path / "a" / "shop"), made(tmp_path / "b" / "shop")
    first = override.add(file, one, ["blarify"], PREFIX)
    second = override.add(file, two, ["blarify"], PREFIX)
    assert first != second
    assert second.name.startswith("shop-")
    assert override.add(file, two, ["blarify"], PREFIX) == second


def test_a_name_that_is_taken_otherwise_gets_a_suffix_too(tmp_path: Path) -> None:
    file, shop = tmp_path / override.NAME, made(tmp_path / "shop")
    where = override.add(file, shop, ["blarify"], PREFIX, free=lambda place: place.name != "shop")
    assert where.name.startswith("shop-")


def test_a_repository_that_is_gone_is_dropped_and_one_can_be_taken_out(tmp_path: Path) -> None:
    file, gone, taken, kept = (tmp_path / override.NAME, *(made(tmp_path / name) for name in ("a", "b", "c")))
    file.write_text(f"services:\n  blarify:\n    volumes:\n      - {gone}:/mine:ro  # a person's\n")
    for path in (gone, taken):
        override.add(file, path, ["blarify"], PREFIX)
    gone.rmdir()
    override.add(file, kept, ["blarify"], PREFIX)
    override.remove(file, taken)
    assert content(file)["services"]["blarify"]["volumes"] == [f"{gone}:/mine:ro", f"{kept}:/repositories/c:ro"]
    assert override.mounted_by_us(file) == {"/repositories/c": str(kept)}


@pytest.mark.parametrize("name", ["compose.override.yml", "docker-compose.override.yaml"])
def test_the_override_that_compose_reads_is_the_one_that_is_written(tmp_path: Path, name: str) -> None:
    assert override.beside(tmp_path) == tmp_path / override.NAME
    (tmp_path / name).touch()
    assert override.beside(tmp_path) == tmp_path / name


@pytest.mark.parametrize(
    "text", ["services: [", "- a list", "services: 3", "services: {blarify: {volumes: none}}", "\xff"]
)
def test_a_file_that_cannot_be_used_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / override.NAME
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(OverrideUnusable, match=r"compose\.override\.yaml"):
        override.add(file, Path("/src/flask"), ["blarify"], PREFIX)
    assert file.read_bytes() == text.encode("latin-1")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.endswith(".yaml")] == [override.NAME]


ADD = """
import sys
from pathlib import Path, PurePosixPath
from codestory.containers import override
Path(sys.argv[2]).mkdir()
override.add(Path(sys.argv[1]), Path(sys.argv[2]), ["blarify"], PurePosixPath("/repositories"))
"""


def test_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / override.NAME
    command = [sys.executable, "-c", ADD, str(file)]
    processes = [subprocess.Popen([*command, str(tmp_path / f"repository{number}")]) for number in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(content(file)["services"]["blarify"]["volumes"]) == 4


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OverrideUnusable, match="cannot be written"):
        override.add(tmp_path / "file" / override.NAME, Path("/src/flask"), ["blarify"], PREFIX)
