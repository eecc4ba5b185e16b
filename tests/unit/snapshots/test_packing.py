"""A repository is packed the same way wherever and whenever that is done, and comes out as it was."""

import os
import subprocess
from pathlib import Path

import pytest

from codestory.contracts.snapshots import Manifest
from codestory.files.head import head
from codestory.files.repository import Entry, FileSettings, Kind, RepositoryFiles
from codestory.repository_identity import identify
from codestory.snapshots import packing, tape
from codestory.snapshots.packing import Packing, Part
from codestory.snapshots.unpacking import Limits, unpack

AMPLE = Limits(bytes=10**9, entries=10**6)


def packed(root: Path) -> tuple[list[Part], Manifest]:
    with Packing(identify(root)) as whole:
        parts = list(whole.parts())
        return parts, Manifest.model_validate_json(whole.manifest())


def unpacked(parts: list[Part], target: Path) -> Path:
    target.mkdir()
    unpack((part.data for part in parts), target, AMPLE)
    return target


def walked(root: Path) -> list[Entry]:
    with RepositoryFiles(root, FileSettings(max_file_bytes=1000)) as files:
        return [entry for entry in files.walk() if entry.kind is not Kind.OTHER]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Names, links, rules and sizes of all kinds, and a checkout whose git would run things."""
    root = tmp_path / "shop"
    (root / "src" / "empty").mkdir(parents=True)
    (root / "kept").mkdir()
    (root / "ignored").mkdir()
    (root / "src" / "a.py").write_text("PRICE = 3\n")
    (root / "big.bin").write_bytes(bytes(5000))
    (root / "none").write_text("")
    (root / ("long" * 60)).write_text("a name that needs a header of its own")
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).write_text("not UTF-8")
    (root / "ignored" / "x").write_text("x")
    (root / "a.log").write_text("ignored")
    (root / "kept" / "b.log").write_text("taken back by a rule that is ignored itself")
    (root / "secret").write_text("excluded")
    (root / ".gitignore").write_text("ignored/\n*.log\n")
    (root / "kept" / ".gitignore").write_text("!b.log\n.gitignore\n")
    (root / "src" / "inside").symlink_to("../none")
    (root / "src" / "outside").symlink_to("/etc/passwd")
    (root / "src" / "up").symlink_to("../../elsewhere")
    os.mkfifo(root / "pipe")
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b.example"]
    subprocess.run([*git, "init", "-q", "-b", "feature/x"], check=True)
    (root / ".git" / "info" / "exclude").write_text("secret\n")
    subprocess.run([*git, "add", "src/a.py"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "https://me:word@git.example/org/shop.git"], check=True)
    return root


def test_what_a_walk_finds_is_the_same_before_and_after(root: Path, tmp_path: Path) -> None:
    parts, _ = packed(root)

    copy = unpacked(parts, tmp_path / "copy")

    assert walked(copy) == walked(root)
    assert (copy / "src" / "a.py").read_text() == "PRICE = 3\n"
    assert str((copy / "src" / "inside").readlink()) == "../none"
    assert not (copy / "ignored").exists()
    assert not (copy / "secret").exists()


def test_what_is_checked_out_comes_along_and_nothing_that_git_would_run_or_should_not_tell(
    root: Path, tmp_path: Path
) -> None:
    (root / ".git" / "hooks" / "post-checkout").write_text("#!/bin/sh\n")

    parts, manifest = packed(root)
    copy = unpacked(parts, tmp_path / "copy")

    with RepositoryFiles(root) as before, RepositoryFiles(copy) as after:
        assert head(after) == head(before)
        assert (manifest.branch, manifest.commit) == ("feature/x", head(before).commit)
    assert (manifest.name, manifest.url) == ("git.example/org/shop", "https://git.example/org/shop.git")
    assert {path.name for path in (copy / ".git").iterdir()} == {"HEAD", "info", "refs"}
    assert b"word" not in b"".join(part.data for part in parts)


def test_a_link_out_of_the_repository_says_only_that_it_is_one(root: Path, tmp_path: Path) -> None:
    parts, _ = packed(root)

    copy = unpacked(parts, tmp_path / "copy")

    assert {str((copy / "src" / name).readlink()) for name in ("outside", "up")} == {tape.OUTSIDE.decode()}


def test_the_same_files_make_the_same_parts_whatever_their_times_and_rights(root: Path, tmp_path: Path) -> None:
    parts, manifest = packed(root)
    copy = unpacked(parts, tmp_path / "shop2")
    os.utime(copy / "src" / "a.py", (0, 0))
    (copy / "src" / "a.py").chmod(0o700)

    again, second = packed(copy)

    assert [part.sha256 for part in again] == [part.sha256 for part in parts]
    assert second.files == manifest.files
    assert packed(root) == (parts, manifest)


def test_what_cannot_be_packed_is_named(root: Path) -> None:
    _, manifest = packed(root)

    assert [(left.path, left.reason) for left in manifest.left_out] == [("pipe", "named pipe")]
    assert manifest.left_out_count == 1


def test_a_change_in_one_file_changes_the_parts_around_it_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "LEAST", 4000)
    monkeypatch.setattr(packing, "MOST", 64_000)
    root = tmp_path / "many"
    root.mkdir()
    for number in range(300):
        (root / f"{number:03}.txt").write_text(f"{number}\n" * 200)

    before = {part.sha256 for part in packed(root)[0]}
    (root / "100.txt").write_text("something else\n" * 90)
    after = {part.sha256 for part in packed(root)[0]}

    assert len(before) > 10
    assert len(after - before) <= 2


def test_a_part_is_never_larger_than_it_may_be_whatever_the_size_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "LEAST", 100_000)
    monkeypatch.setattr(packing, "MOST", 300_000)
    root = tmp_path / "large"
    root.mkdir()
    (root / "random").write_bytes(os.urandom(2_000_000))

    parts, manifest = packed(root)
    copy = unpacked(parts, tmp_path / "copy")

    assert len(parts) > 3
    assert max(len(part.data) for part in parts) < 600_000
    assert (copy / "random").read_bytes() == (root / "random").read_bytes()
    assert manifest.bytes == 2_000_000


def test_two_uploads_of_one_folder_are_of_one_origin_and_two_folders_are_not(tmp_path: Path) -> None:
    origins: list[str] = []
    for place in ("one/app", "one/app", "two/app"):
        folder = tmp_path / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.py").write_text(str(len(origins)))
        origins.append(packed(folder)[1].origin)

    assert origins[0] == origins[1] != origins[2]
    assert str(tmp_path) not in origins[0]
