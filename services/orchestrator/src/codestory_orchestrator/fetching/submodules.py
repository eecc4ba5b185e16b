"""What a repository says of its submodules: where they belong, and where they come from. Trusts none of it."""

import stat
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from codestory_orchestrator.fetching import addresses
from codestory_orchestrator.fetching.addresses import COMMIT, BadGitAddress, GitAddress
from codestory_orchestrator.fetching.process import FetchFailed

#: The mode of a submodule in a tree, and those of a file.
SUBMODULE, FILES = "160000", frozenset({"100644", "100755"})
FILE = ".gitmodules"


class Entry(NamedTuple):
    """One line of a tree."""

    mode: str
    object: str
    path: str


def entries(said: str) -> list[Entry]:
    """What `git ls-tree -z` has printed."""
    found: list[Entry] = []
    for line in said.split("\0"):
        head, tab, path = line.partition("\t")
        fields = head.split()
        if tab and len(fields) == 3:
            found.append(Entry(fields[0], fields[2], path))
    return found


def stated(said: str) -> dict[str, str]:
    """Path → address, of what `git config --null --get-regexp` has printed of the file; the last word counts."""
    paths: dict[str, str] = {}
    urls: dict[str, str] = {}
    for line in said.split("\0"):
        key, newline, value = line.partition("\n")
        name, _, what = key.removeprefix("submodule.").rpartition(".")
        if newline and what in {"path", "url"}:
            (paths if what == "path" else urls)[name] = value
    return {path.rstrip("/"): urls[name] for name, path in paths.items() if name in urls and _is_inside(path)}


def address_of(url: str, parent: GitAddress) -> GitAddress:
    """Where it comes from; `./` and `../` begin at its parent's address. Raises BadGitAddress."""
    address = addresses.parse(_absolute(url, parent) if url.startswith(("./", "../")) else url)
    if address.scheme == "file" and parent.scheme != "file":
        raise BadGitAddress("is a file, and the repository that names it is none")
    return address


def credential_of(address: GitAddress, main: GitAddress, credential: str) -> str:
    """The job's, where the submodule comes from the very server that it is for."""
    same = (address.scheme, address.host, address.port) == (main.scheme, main.host, main.port)
    return credential if same else ""


def commit_of(entry: Entry) -> str:
    if not COMMIT.fullmatch(entry.object):
        raise FetchFailed(f"git answered {entry.object[:100]!r}, which is no commit")
    return entry.object


def put(files: Path, tree: Path, path: str) -> None:
    """Move the submodule's files to its place, which git has left empty. It leads through folders only."""
    place = tree
    for name in path.split("/"):
        place /= name
        if not stat.S_ISDIR(place.lstat().st_mode):
            raise FetchFailed("its place is no folder")
    files.rename(place)


def _absolute(url: str, parent: GitAddress) -> str:
    parts = urlsplit(parent.url)
    folders = parts.path.strip("/").split("/")
    rest = url
    while rest.startswith(("./", "../")):
        if rest.startswith("../"):
            if not folders:
                raise BadGitAddress(f"{url[:200]!r} leads out of its host")
            folders.pop()
        rest = rest.partition("/")[2].lstrip("/")
    if ".." in rest.split("/"):
        raise BadGitAddress(f"{url[:200]!r} has a .. in its middle")
    return urlunsplit(parts._replace(path="/" + "/".join([*folders, rest])))


def _is_inside(path: str) -> bool:
    """As git lets a path be in a tree. What cannot be there is no submodule of it."""
    names = path.rstrip("/").split("/")
    return not any(name in {"", ".", ".."} or name.casefold() == ".git" for name in names)
