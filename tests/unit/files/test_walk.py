"""What the walk finds, and what it says of what it does not enter or read."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codestory.files.repository import Entry, FileSettings, Kind, RepositoryFiles
from codestory.step_errors import RepositoryUnavailable, StepError

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes files, each with its own path as content; a path that ends with / is a directory."""

    def make(*files: str) -> Path:
        for file in files:
            path = tmp_path / file
            if file.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file)
        return tmp_path

    return make


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """2,000 directories, one in the other, with a file in the last. Longer than any path that can be opened by name."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2_000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f.txt", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)

    yield tmp_path

    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # rmtree would recurse


def walked(root: Path, settings: FileSettings | None = None) -> list[Entry]:
    with RepositoryFiles(root, settings) as files:
        return list(files.walk())


def reasons(root: Path, settings: FileSettings | None = None) -> dict[str, str]:
    return {entry.path: entry.reason for entry in walked(root, settings) if entry.reason}


def test_a_directory_comes_before_its_contents_and_files_before_directories(tree: Tree) -> None:
    root = tree("b/z.py", "b/a/x.py", "a.py", "c.py", "empty/", "B.py")

    found = [entry.path for entry in walked(root)]

    assert found == ["B.py", "a.py", "c.py", "b", "b/z.py", "b/a", "b/a/x.py", "empty"]


def test_an_entry_says_what_it_is_and_how_large(tree: Tree) -> None:
    root = tree("src/a.py")

    assert walked(root) == [Entry("src", Kind.DIRECTORY), Entry("src/a.py", Kind.FILE, size=8)]
    assert walked(root)[1].name == "a.py"


def test_an_empty_repository_has_no_entries(tmp_path: Path) -> None:
    assert walked(tmp_path) == []


def test_symbolic_links_are_named_and_never_followed(tree: Tree) -> None:
    root = tree("src/a.py")
    (root / "file").symlink_to("src/a.py")
    (root / "directory").symlink_to("src")
    (root / "broken").symlink_to("nowhere")
    (root / "src/loop").symlink_to("../src")
    (root / "itself").symlink_to("itself")
    (root / "out").symlink_to("/etc/passwd")
    (root / "src/up").symlink_to("../../elsewhere")

    found = walked(root)

    assert {entry.path: entry.reason for entry in found if entry.kind is Kind.SYMLINK} == {
        "file": "symbolic link",
        "directory": "symbolic link",
        "broken": "symbolic link",
        "src/loop": "symbolic link",
        "itself": "symbolic link",
        "out": "symbolic link out of the repository",
        "src/up": "symbolic link out of the repository",
    }
    assert len(found) == 9


@pytest.mark.timeout(20)
def test_pipes_and_sockets_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")

        found = reasons(tmp_path)

    assert found == {"fifo": "named pipe", "socket": "socket"}


def test_a_device_is_named() -> None:
    with RepositoryFiles(Path("/dev")) as files:
        found = {entry.path: entry for entry in files.walk()}

    assert found["null"].kind is Kind.OTHER
    assert found["null"].reason == "device"


def test_a_large_file_is_named_with_its_size_and_the_limit(tmp_path: Path) -> None:
    with (tmp_path / "sparse.bin").open("wb") as file:
        file.truncate(100_000_000)

    [entry] = walked(tmp_path)

    assert entry == Entry("sparse.bin", Kind.FILE, size=100_000_000, reason="larger than 10 MB")


def test_names_that_are_not_utf8_are_found_and_can_be_read(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"new\nline", b"back\\slash", "ünï".encode()):
        (tmp_path / os.fsdecode(name)).write_bytes(name)

    with RepositoryFiles(tmp_path) as files:
        contents = {entry.path: files.read(entry) for entry in files.walk()}

    assert contents == {
        r"back\x5cslash": b"back\\slash",
        r"caf\xe9": b"caf\xe9",
        r"new\x0aline": b"new\nline",
        "ünï": "ünï".encode(),
    }


def test_two_thousand_directories_deep_is_walked_and_read(deep: Path) -> None:
    with RepositoryFiles(deep) as files:
        *directories, file = files.walk()

        assert len(directories) == 2_000
        assert file.path.count("/") == 2_000
        assert files.read(file) == b""


def test_deeper_than_the_limit_is_named(tree: Tree) -> None:
    root = tree("a/b/c/d.py", "a/x.py")

    found = walked(root, FileSettings(max_depth=2))

    assert [entry.path for entry in found] == ["a", "a/x.py", "a/b", "a/b/c"]
    assert found[-1].reason == "more than 2 directories deep"
    assert not found[-1].failed


def test_a_path_longer_than_the_limit_is_named(tree: Tree) -> None:
    root = tree("abc/def/g.py")

    assert reasons(root, FileSettings(max_path_bytes=6)) == {"abc/def": "path longer than 6 bytes"}
    assert reasons(root, FileSettings(max_path_bytes=7)) == {}


def test_a_wide_tree_keeps_its_way(tree: Tree) -> None:
    """More directories open at once than are kept, and back again."""
    deep = "/".join("d" * 100)
    root = tree(*(f"{deep[: 2 * level]}f{level}" for level in range(100)))

    with RepositoryFiles(root) as files:
        entries = [entry for entry in files.walk() if entry.kind is Kind.FILE]
        forwards = [files.read(entry) for entry in entries]
        backwards = [files.read(entry) for entry in reversed(entries)]

    assert forwards == backwards[::-1] == [entry.path.encode() for entry in entries]
    assert len(entries) == 100


def test_more_files_than_allowed_are_refused_and_not_cut_off(tree: Tree) -> None:
    root = tree("a", "b", "c/d", "__pycache__/ignored")

    assert len(walked(root, FileSettings(max_files=4))) == 4
    with pytest.raises(StepError, match="more than 3 files and directories"):
        walked(root, FileSettings(max_files=3))


def test_a_repository_that_is_not_there_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(RepositoryUnavailable, match="vanished"):
        walked(tmp_path / "nowhere")


def test_a_repository_that_is_a_file_cannot_be_read(tree: Tree) -> None:
    root = tree("file")

    with pytest.raises(RepositoryUnavailable, match="not a directory"):
        walked(root / "file")


def test_a_directory_that_vanishes_during_the_walk_is_a_failure_of_that_directory_alone(tree: Tree) -> None:
    root = tree("a/x.py", "b/y.py", "c/z.py")
    with RepositoryFiles(root) as files:
        walk = files.walk()
        assert next(walk).path == "a"
        shutil.rmtree(root / "b")

        rest = list(walk)

    assert [entry.path for entry in rest] == ["a/x.py", "b", "c", "c/z.py"]
    assert rest[1] == Entry("b", Kind.DIRECTORY, reason="vanished before it could be read", failed=True)


def test_a_directory_that_becomes_a_link_is_not_entered(tree: Tree) -> None:
    root = tree("a/x.py", "b/y.py")
    with RepositoryFiles(root) as files:
        walk = files.walk()
        next(walk)
        shutil.rmtree(root / "b")
        (root / "b").symlink_to("/etc")

        rest = list(walk)

    assert rest[-1].path == "b"
    assert rest[-1].reason in {"symbolic link", "not a directory"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_closed_to_us_is_a_failure(tree: Tree) -> None:
    root = tree("closed/x.py", "open/y.py")
    (root / "closed").chmod(0)

    found = walked(root)
    (root / "closed").chmod(0o700)

    assert found[0] == Entry("closed", Kind.DIRECTORY, reason="permission denied", failed=True)
    assert [entry.path for entry in found[1:]] == ["open", "open/y.py"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to count descriptors")
def test_nothing_stays_open(tree: Tree) -> None:
    def count() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    root = tree("a/b/c.py", "d/e.py")
    before = count()

    with RepositoryFiles(root) as files:
        for entry in files.walk():
            if entry.kind is Kind.FILE:
                next(files.blocks(entry))

    assert count() == before
