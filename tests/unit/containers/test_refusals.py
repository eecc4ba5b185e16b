import os
from pathlib import Path

import pytest

from codestory.containers.errors import MountRefused
from codestory.containers.refusals import refuse


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with a repository in it."""
    home = tmp_path / "home" / "ada"
    (home / "src" / "flask").mkdir(parents=True)
    return home


def test_a_repository_is_taken_as_it_really_is(home: Path) -> None:
    (home / "link").symlink_to(home / "src" / "flask")
    assert refuse(home / "link", home) == Path(os.path.realpath(home / "src" / "flask"))
    assert refuse(home / "src" / "flask" / ".." / "flask", home) == refuse(home / "link", home)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/", "holds more than a repository"),
        ("/home", "holds more than a repository"),
        ("/etc", "belongs to the system"),
        ("/etc/ssl", "belongs to the system"),
        ("/proc/self", "belongs to the system"),
        ("/var/lib/docker/volumes", "belongs to the system"),
        ("/usr/share", "belongs to the system"),
    ],
)
def test_what_is_no_repository_is_refused_with_the_reason(path: str, why: str, home: Path) -> None:
    with pytest.raises(MountRefused, match=why):
        refuse(Path(path), home)


def test_home_what_holds_it_and_its_secrets_are_refused(home: Path) -> None:
    (home / ".ssh").mkdir()
    for path, why in ((home, "your home folder"), (home.parent, "holds more"), (home / ".ssh", "credentials")):
        with pytest.raises(MountRefused, match=why):
            refuse(path, home)


@pytest.mark.parametrize(
    ("name", "why"),
    [("a:b", "colon"), ("a\nb", "control"), ("a\x7fb", "control"), ("a$HOME", r"\$"), ("a\udcff", "UTF-8")],
)
def test_names_that_no_mount_can_have_are_refused(name: str, why: str, home: Path) -> None:
    with pytest.raises(MountRefused, match=why):
        refuse(home / name, home)


def test_a_link_does_not_hide_what_is_refused(home: Path) -> None:
    (home / "harmless").symlink_to("/etc")
    (home / "b:c").mkdir()
    (home / "plain").symlink_to(home / "b:c")
    with pytest.raises(MountRefused, match="system"):
        refuse(home / "harmless", home)
    with pytest.raises(MountRefused, match="colon"):
        refuse(home / "plain", home)


def test_what_is_not_there_is_no_folder(home: Path) -> None:
    with pytest.raises(MountRefused, match="not a folder"):
        refuse(home / "src" / "nothing", home)
