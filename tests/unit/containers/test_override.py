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
    for line in PERSONS.splitlines():
        assert line.strip() in file.read_text()
    volumes = content(file)["services"]["orchestrator"]["volumes"]
    assert volumes == ["/srv/extra:/extra:ro", "/src/flask:/repositories/flask:ro"]
    assert file.stat().st_mode & 0o777 == 0o640


def test_twice_is_once_and_several_repositories_stand_side_by_side(tmp_path: Path) -> None:
    file = tmp_path / override.NAME
    for path in ("/src/flask", "/src/django", "/src/flask"):
        override.add(file, Path(path), ["blarify"], PREFIX)
    assert content(file)["services"]["blarify"]["volumes"] == [
        "/src/flask:/repositories/flask:ro",
        "/src/django:/repositories/django:ro",
    ]


def test_two_repositories_of_one_name_do_not_collide(tmp_path: Path) -> None:
    file = tmp_path / override.NAME
    first = override.add(file, Path("/a/shop"), ["blarify"], PREFIX)
    second = override.add(file, Path("/b/shop"), ["blarify"], PREFIX)
    assert first != second
    assert second.name.startswith("shop-")
    assert override.add(file, Path("/b/shop"), ["blarify"], PREFIX) == second


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
override.add(Path(sys.argv[1]), Path(sys.argv[2]), ["blarify"], PurePosixPath("/repositories"))
"""


def test_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / override.NAME
    command = [sys.executable, "-c", ADD, str(file)]
    processes = [subprocess.Popen([*command, f"/src/repository{number}"]) for number in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(content(file)["services"]["blarify"]["volumes"]) == 4


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OverrideUnusable, match="cannot be written"):
        override.add(tmp_path / "file" / override.NAME, Path("/src/flask"), ["blarify"], PREFIX)
