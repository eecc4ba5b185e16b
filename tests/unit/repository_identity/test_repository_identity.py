"""A repository is known by its name: stated, from its remote, or its folder's, and by no place where it is mounted."""

import os
import shutil
from pathlib import Path

import pytest

from codestory.repository_identity import RepositoryError, identify, origin, repository_id


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.py").write_text("print()")
    return folder


def with_config(repository: Path, text: str) -> Path:
    (repository / ".git").mkdir(exist_ok=True)
    (repository / ".git" / "config").write_text(text)
    return repository


def with_remote(repository: Path, url: str) -> Path:
    return with_config(repository, f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {url}\n\tfetch = +refs/*\n')


def test_the_folder_gives_the_name_where_nothing_else_does(repository: Path) -> None:
    found = identify(repository)

    assert (found.name, found.url, found.path) == ("shop", "", str(repository))
    assert found.id == repository_id("shop")


def test_the_remote_gives_the_name_before_the_folder(repository: Path) -> None:
    found = identify(with_remote(repository, "https://github.com/org/shop.git"))

    assert (found.name, found.url) == ("github.com/org/shop", "https://github.com/org/shop.git")


def test_the_stated_name_goes_before_the_remote(repository: Path) -> None:
    found = identify(with_remote(repository, "https://github.com/org/shop.git"), " my shop ")

    assert (found.name, found.id) == ("my shop", repository_id("my shop"))
    assert origin(found) == "github.com/org/shop"


def test_the_id_does_not_depend_on_where_the_repository_is_mounted(repository: Path, tmp_path: Path) -> None:
    with_remote(repository, "https://github.com/org/shop.git")
    elsewhere = tmp_path / "mnt" / "other"
    shutil.copytree(repository, elsewhere)

    assert identify(repository).id == identify(elsewhere).id


def test_the_id_is_the_same_for_both_ways_to_write_a_letter() -> None:
    assert repository_id("caf\u00e9") == repository_id("cafe\u0301")


def test_a_symlink_stands_for_the_folder_behind_it(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repository)

    assert identify(tmp_path / "link") == identify(repository)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/org/shop",
        "https://github.com/org/shop.git",
        "https://github.com/org/shop.git/",
        "https://GitHub.com:443/org//shop.git",
        "https://ghp_secret@github.com/org/shop.git",
        "https://user:p@ss:secret@github.com/org/shop.git?token=secret#secret",
        "git@github.com:org/shop.git",
        "github.com:/org/shop.git",
        "ssh://git@github.com:22/org/shop.git",
        "git://github.com/org/shop",
        '"https://github.com/org/shop.git" ; a comment',
        "https://github.com/org/\\\n\tshop.git",
    ],
)
def test_every_way_to_write_a_remote_gives_one_name_and_no_credentials(repository: Path, url: str) -> None:
    found = identify(with_remote(repository, url.replace("\\\n\t", "\\\n")))

    assert found.name == origin(found) == "github.com/org/shop"
    assert "secret" not in found.url
    assert "@" not in found.url


@pytest.mark.parametrize(
    "url",
    [
        "/srv/git/shop.git",
        "../shop.git",
        "file:///srv/shop",
        "C:/code/shop",
        "C:\\\\work",
        "ext::sh -c 'touch x'",
        "https://",
        "https://host",
        "https://host/.git",
        "https://host/../shop",
        "https://ho st/shop",
        "https://host:port/shop",
        "https://user:12/secret@host/shop",
        "https://user:12/a?secret@host/shop",
        "https://tok/secret@host/shop",
        "javascript://host/x",
        "https://host/a\x1bb",
        "https://host/" + "x" * 400,
        "",
    ],
)
def test_a_remote_that_is_no_place_for_everyone_is_passed_over(repository: Path, url: str) -> None:
    found = identify(with_remote(repository, url))

    assert (found.name, found.url) == ("shop", "")
    assert origin(found) == str(repository)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ('[Remote "origin"]\nURL=https://h.org/a', "h.org/a"),
        ("[remote.origin] url = https://h.org/a", "h.org/a"),
        ('[remote "origin"]\nurl = https://h.org/a\nurl = https://h.org/b', "h.org/a"),
        ('[remote "Origin"]\nurl = https://h.org/a', "shop"),
        ('[remote "upstream"]\nurl = https://h.org/a', "shop"),
        ('# [remote "origin"]\n;url = https://h.org/a\n[x]\nurl = https://h.org/b', "shop"),
        ('# a comment \\\n[remote "origin"]\nurl = https://h.org/a', "h.org/a"),
        ('[include]\npath = ../../other\n[remote "origin"]\nurl = https://h.org/a # c', "h.org/a"),
        ('[remote "origin"]\npushurl = https://h.org/a', "shop"),
        ("[[[\x00 garbage\n= =\n", "shop"),
        ('[remote "origin"]\nurl = https://h.org/a\\', "h.org/a"),
    ],
)
def test_gits_configuration_is_read_as_git_reads_it(repository: Path, config: str, name: str) -> None:
    assert identify(with_config(repository, config)).name == name


def test_a_worktree_has_the_name_of_its_main_repository(repository: Path, tmp_path: Path) -> None:
    with_remote(repository, "https://github.com/org/shop.git")
    tree, entry = tmp_path / "tree", repository / ".git" / "worktrees" / "tree"
    tree.mkdir()
    (tree / "app.py").touch()
    (tree / ".git").write_text(f"gitdir: {entry}\n")
    entry.mkdir(parents=True)
    (entry / "gitdir").write_text(f"{tree}/.git\n")
    (entry / "commondir").write_text("../..\n")

    assert identify(tree).name == "github.com/org/shop"


def test_a_submodule_has_the_name_of_its_own_remote(repository: Path) -> None:
    module, entry = repository / "lib", repository / ".git" / "modules" / "lib"
    module.mkdir()
    (module / "lib.py").touch()
    (module / ".git").write_text("gitdir: ../.git/modules/lib\n")
    entry.mkdir(parents=True)
    (entry / "config").write_text('[core]\nworktree = ../../../lib\n[remote "origin"]\nurl = https://h.org/lib\n')

    assert identify(module).name == "h.org/lib"


def test_a_pointer_to_a_foreign_repository_is_not_followed(repository: Path, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    with_remote(private, "https://internal.example/hidden")
    for target in (private / ".git", private / ".git" / "worktrees" / "x", private / ".git" / "modules" / "x"):
        (repository / ".git").write_text(f"gitdir: {target}\n")

        assert identify(repository).name == "shop"


def test_a_link_to_a_foreign_configuration_is_not_followed(repository: Path, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    with_remote(private, "https://internal.example/hidden")
    (repository / ".git").symlink_to(private / ".git")
    assert identify(repository).name == "shop"

    (repository / ".git").unlink()
    (repository / ".git").mkdir()
    (repository / ".git" / "config").symlink_to(private / ".git" / "config")
    assert identify(repository).name == "shop"


def test_a_fifo_in_the_configurations_place_is_not_waited_for(repository: Path) -> None:
    (repository / ".git").mkdir()
    os.mkfifo(repository / ".git" / "config")

    assert identify(repository).name == "shop"


def test_what_cannot_be_ingested_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "fifo")

    for name, reason in {
        "none": "does not exist",
        "file": "is not a directory",
        "fifo": "is not a directory",
        "file/below": "is not a directory",
        "empty": "is empty: there is nothing to ingest",
        "loop": "cannot be read: Too many levels of symbolic links",
        "x" * 300: "cannot be read: File name too long",
        "nul\0": "cannot be read: .*null (byte|character)",
    }.items():
        with pytest.raises(RepositoryError, match=reason):
            identify(tmp_path / name)


def test_a_path_that_no_message_can_carry_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "a.py").touch()

    with pytest.raises(RepositoryError, match="not UTF-8") as refused:
        identify(folder)

    assert str(refused.value).isprintable()


def test_control_characters_are_escaped_in_a_folders_name_and_refused_in_a_stated_one(tmp_path: Path) -> None:
    folder = tmp_path / "a\nb\u202e"
    folder.mkdir()
    (folder / "a.py").touch()

    assert identify(folder).name == "a\\nb\\u202e"
    for name in ("a\nb", "a\u202eb", "", "  ", "x" * 301):
        with pytest.raises(RepositoryError, match="the name"):
            identify(folder, name)


def test_the_root_of_the_file_system_needs_a_name() -> None:
    with pytest.raises(RepositoryError, match="--name"):
        identify(Path("/"))

    assert identify(Path("/"), "machine").path == "/"
