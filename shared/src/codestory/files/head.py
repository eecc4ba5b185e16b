"""What is checked out, read from git's own files. Git is never run in a repository: its settings may run anything."""

import posixpath
import re
from dataclasses import dataclass

from codestory.files import paths
from codestory.files.repository import RepositoryFiles, Unreadable

_COMMIT = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
#: A repository with a million refs has no larger file of them.
_MAX_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Head:
    """The commit and the branch; empty if there is none, or if git's files lie outside the repository's directory."""

    commit: str = ""
    branch: str = ""


def head(files: RepositoryFiles) -> Head:
    git = _git_directory(files)
    said = _read(files, f"{git}/HEAD")
    if _COMMIT.fullmatch(said):
        return Head(commit=said.decode("ascii"))
    if not said.startswith(b"ref: refs/heads/") or said.endswith(b"/.invalid"):  # .invalid: refs are in a reftable
        return Head()
    ref = said.removeprefix(b"ref: ")
    commit = _read(files, f"{git}/{paths.escape(ref)}")
    if not _COMMIT.fullmatch(commit):
        commit = _packed(files, git, ref)
    return Head(commit.decode("ascii"), paths.escape(ref.removeprefix(b"refs/heads/")))


def _git_directory(files: RepositoryFiles) -> str:
    """`.git`, or where the file `.git` says it is."""
    said = _read(files, ".git")
    if not said.startswith(b"gitdir: "):
        return ".git"
    # One that leads out is refused by whoever opens it.
    return paths.escape(posixpath.normpath(said.removeprefix(b"gitdir: ")))


def _packed(files: RepositoryFiles, git: str, ref: bytes) -> bytes:
    for line in _read(files, f"{git}/packed-refs").splitlines():
        commit, _, name = line.partition(b" ")
        if name == ref and _COMMIT.fullmatch(commit):
            return commit
    return b""


def _read(files: RepositoryFiles, path: str) -> bytes:
    try:
        return files.read(path, max_bytes=_MAX_BYTES).strip()
    except Unreadable:
        return b""
