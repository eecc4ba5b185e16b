"""What is checked out, read without running git."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from codestory.files.head import Head, head
from codestory.files.repository import RepositoryFiles

Tree = Callable[[Mapping[str, str | bytes]], Path]

ONE = "1" * 40
TWO = "2" * 40


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes files with the given contents."""

    def make(files: Mapping[str, str | bytes]) -> Path:
        root = tmp_path / "repository"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        root.mkdir(exist_ok=True)
        return root

    return make


def head_of(root: Path) -> Head:
    with RepositoryFiles(root) as files:
        return head(files)


def test_a_branch_and_its_commit(tree: Tree) -> None:
    root = tree({".git/HEAD": "ref: refs/heads/feature/x\n", ".git/refs/heads/feature/x": f"{ONE}\n"})

    assert head_of(root) == Head(ONE, "feature/x")


def test_a_packed_branch(tree: Tree) -> None:
    packed = f"# pack-refs with: peeled fully-peeled sorted \n{TWO} refs/heads/main2\n{ONE} refs/heads/main\n^{TWO}\n"
    root = tree({".git/HEAD": "ref: refs/heads/main\n", ".git/packed-refs": packed})

    assert head_of(root) == Head(ONE, "main")


def test_a_commit_without_a_branch(tree: Tree) -> None:
    assert head_of(tree({".git/HEAD": f"{ONE}\n"})) == Head(ONE, "")
    assert head_of(tree({".git/HEAD": "a" * 64})) == Head("a" * 64, "")


def test_a_branch_without_a_commit(tree: Tree) -> None:
    assert head_of(tree({".git/HEAD": "ref: refs/heads/main\n"})) == Head("", "main")


def test_no_git_at_all(tree: Tree) -> None:
    assert head_of(tree({"a": ""})) == Head()


@pytest.mark.parametrize(
    "said", ["", "garbage", "ref: refs/heads/.invalid", "ref: ../../x", "1" * 39, b"\xff\0", "ref: refs/heads/"]
)
def test_a_head_that_says_nothing_useful(tree: Tree, said: str | bytes) -> None:
    assert head_of(tree({".git/HEAD": said})) == Head()


def test_a_branch_whose_name_leads_out_is_not_followed(tree: Tree) -> None:
    root = tree({".git/HEAD": "ref: refs/heads/../../../../outside\n"})
    (root.parent / "outside").write_text(ONE)

    assert head_of(root).commit == ""


def test_a_git_file_that_points_inside_is_followed_and_one_that_points_out_is_not(tree: Tree) -> None:
    inside = tree({".git": "gitdir: ./kept/git\n", "kept/git/HEAD": f"{ONE}\n"})
    assert head_of(inside) == Head(ONE)

    (inside / ".git").write_text("gitdir: ../elsewhere\n")
    (inside.parent / "elsewhere").mkdir()
    (inside.parent / "elsewhere/HEAD").write_text(ONE)
    assert head_of(inside) == Head()

    (inside / ".git").write_text(f"gitdir: {inside.parent}/elsewhere\n")
    assert head_of(inside) == Head()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git on the PATH (apt-get install git)")
def test_what_git_itself_writes_is_understood(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        settings = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", *settings, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet", "--initial-branch=trunk")
    git("commit", "--quiet", "--allow-empty", "--message=x")
    commit = git("rev-parse", "HEAD")

    assert head_of(tmp_path) == Head(commit, "trunk")
    git("pack-refs", "--all")
    assert head_of(tmp_path) == Head(commit, "trunk")
    git("checkout", "--quiet", "--detach")
    assert head_of(tmp_path) == Head(commit, "")
