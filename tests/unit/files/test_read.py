"""Reading stays inside the repository, whatever is in it and whatever happens to it meanwhile."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codestory.files.confined import BLOCK
from codestory.files.repository import FileSettings, RepositoryFiles, Unreadable

SECRET = b"not of this repository"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_bytes(SECRET)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    (path / "src").mkdir(parents=True)
    (path / "src/a.py").write_bytes(b"print()\n")
    return path


@pytest.fixture
def files(root: Path) -> Iterator[RepositoryFiles]:
    with RepositoryFiles(root) as opened:
        yield opened


def test_a_file_is_read_by_its_path(files: RepositoryFiles) -> None:
    assert files.read("src/a.py") == b"print()\n"


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret",
        "src/../../outside/secret",
        "src/../src/a.py",
        "/etc/passwd",
        "//etc/passwd",
        "./src/a.py",
        "src//a.py",
        "src/a.py/",
        "",
        "\0",
        "src/a.py\0",
        r"..\x2foutside\x2fsecret",
        r"\x2e\x2e/outside/secret",
        "\ud800",
        "~/secret",
        "%2e%2e/outside/secret",
        "\uff0e\uff0e/outside/secret",
        "\\\\server\\share",
        "a/" * 5_000 + "b",
        "x" * 300,
    ],
)
def test_no_path_leads_out_or_to_anything_but_a_file(files: RepositoryFiles, outside: Path, path: str) -> None:
    assert (outside / "secret").exists()

    with pytest.raises(Unreadable):
        files.read(path)


@pytest.mark.parametrize(("path", "reason"), [(".", "not a regular file"), ("src", "not a regular file")])
def test_a_directory_is_no_file(files: RepositoryFiles, path: str, reason: str) -> None:
    with pytest.raises(Unreadable) as refused:
        files.read(path)

    assert refused.value.reason == reason


def test_a_link_is_not_followed_as_file_or_on_the_way(files: RepositoryFiles, root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside / "secret")
    (root / "way").symlink_to(outside)
    (root / "inside").symlink_to("src")

    for path in ("link", "way/secret", "inside/a.py"):
        with pytest.raises(Unreadable) as refused:
            files.read(path)
        assert refused.value.reason in {"symbolic link", "not a directory"}


def test_the_root_itself_may_be_a_link(tmp_path: Path, root: Path) -> None:
    (tmp_path / "link").symlink_to(root)

    with RepositoryFiles(tmp_path / "link") as files:
        assert files.read("src/a.py") == b"print()\n"


@pytest.mark.timeout(20)
def test_a_pipe_does_not_hang(files: RepositoryFiles, root: Path) -> None:
    os.mkfifo(root / "fifo")

    with pytest.raises(Unreadable, match="not a regular file"):
        files.read("fifo")


def test_a_file_larger_than_the_limit_is_refused(root: Path) -> None:
    with RepositoryFiles(root, FileSettings(max_file_bytes=7)) as files:
        with pytest.raises(Unreadable, match="larger than 7 bytes"):
            files.read("src/a.py")

        assert files.read("src/a.py", max_bytes=8) == b"print()\n"


def test_a_file_that_is_gone_is_named(files: RepositoryFiles, root: Path) -> None:
    (root / "src/a.py").unlink()

    with pytest.raises(Unreadable) as refused:
        files.read("src/a.py")

    assert refused.value.path == "src/a.py"
    assert refused.value.reason == "vanished before it could be read"


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    path.write_bytes(b"y" * (2 * BLOCK))


def cut(path: Path) -> None:
    os.truncate(path, 1)


@pytest.mark.parametrize("change", [append, overwrite, cut])
def test_a_file_that_changes_while_it_is_read_is_refused(
    files: RepositoryFiles, root: Path, change: Callable[[Path], None]
) -> None:
    path = root / "large"
    path.write_bytes(b"x" * (2 * BLOCK))
    os.utime(path, ns=(0, 0))
    blocks = files.blocks("large")
    next(blocks)
    change(path)

    with pytest.raises(Unreadable, match="changed while it was read"):
        list(blocks)


def test_a_file_deleted_while_it_is_read_is_read_to_its_end(files: RepositoryFiles, root: Path) -> None:
    (root / "large").write_bytes(b"x" * (2 * BLOCK))
    blocks = files.blocks("large")
    first = next(blocks)
    (root / "large").unlink()

    assert first + b"".join(blocks) == b"x" * (2 * BLOCK)


def test_a_file_that_grows_without_end_is_cut_off_by_the_limit(root: Path) -> None:
    path = root / "log"
    path.write_bytes(b"x" * BLOCK)
    with RepositoryFiles(root, FileSettings(max_file_bytes=BLOCK)) as files:
        blocks = files.blocks("log")
        next(blocks)
        append(path)

        with pytest.raises(Unreadable, match="larger than"):
            list(blocks)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_closed_to_us_is_named(files: RepositoryFiles, root: Path) -> None:
    (root / "src/a.py").chmod(0)

    with pytest.raises(Unreadable, match="permission denied"):
        files.read("src/a.py")


def test_no_byte_of_another_place_is_read_while_links_and_directories_are_swapped(root: Path, outside: Path) -> None:
    (root / "real").mkdir()
    (root / "real/secret").write_bytes(b"mine")
    (root / "link").symlink_to(outside)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for source, target in (("real", "spare"), ("link", "real"), ("real", "link"), ("spare", "real")):
                (root / source).rename(root / target)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: set[bytes] = set()
    try:
        for _ in range(300):
            with RepositoryFiles(root) as files:
                try:
                    seen.add(files.read("real/secret"))
                except Unreadable as error:
                    seen.add(error.reason.encode())
                seen.update(entry.path.encode() for entry in files.walk() if entry.path.endswith("link/secret"))
    finally:
        done.set()
        swapper.join()

    assert SECRET not in seen
    assert b"mine" in seen


def test_threads_may_read_at_once(root: Path) -> None:
    for number in range(40):
        (root / f"d{number}").mkdir()
        (root / f"d{number}/f").write_text(str(number))
    wrong: list[str] = []
    with RepositoryFiles(root) as files:

        def read_all() -> None:
            for number in range(40):
                text = files.read(f"d{number}/f").decode()
                if text != str(number):
                    wrong.append(text)

        threads = [threading.Thread(target=read_all) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []
