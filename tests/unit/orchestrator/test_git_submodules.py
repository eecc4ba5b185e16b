"""A repository's submodules: fetched where they are asked for, by the rules that hold for the repository itself."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from codestory.testing_git import HOST, GitServer, git
from codestory_orchestrator.fetching import submodules
from codestory_orchestrator.fetching.addresses import BadGitAddress, Wanted, check, parse
from codestory_orchestrator.fetching.git import fetched
from codestory_orchestrator.fetching.process import FetchFailed
from codestory_orchestrator.fetching.settings import FetchSettings
from codestory_orchestrator.fetching.submodules import Entry

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here: apt-get install git")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("../other.git", "https://git.example/org/other.git"),
        ("../../else/other", "https://git.example/else/other"),
        ("./below", "https://git.example/org/main.git/below"),
        ("https://other.example/a", "https://other.example/a"),
        ("git@other.example:a.git", "ssh://git@other.example/a.git"),
    ],
)
def test_an_address_may_be_relative_to_its_parents(url: str, found: str) -> None:
    assert submodules.address_of(url, parse("https://git.example/org/main.git")).url == found


@pytest.mark.parametrize(
    "url", ["../../../../x", "../a/../../../b", "/srv/a", "file:///srv/a", "ext::sh", "", "../a?b"]
)
def test_an_address_that_leads_out_or_into_the_machine_is_refused(url: str) -> None:
    with pytest.raises(BadGitAddress):
        submodules.address_of(url, parse("https://git.example/org/main.git"))


@pytest.mark.parametrize("path", ["../a", "/a", "a/../b", ".git", "a/.GIT/hooks", "a//b", "", "."])
def test_a_place_outside_of_the_repository_is_none(path: str) -> None:
    said = f"submodule.a.path\n{path}\0submodule.a.url\nhttps://git.example/a\0"

    assert submodules.stated(said) == {}


def test_what_the_file_says_last_counts_and_what_it_wants_run_does_not() -> None:
    said = (
        "submodule.a.b.path\nlibs/a\0submodule.a.b.url\nhttps://git.example/old\0submodule.a.b.url\nhttps://git.example/a\0"
        "submodule.none.path\nlibs/none\0"
    )

    assert submodules.stated(said) == {"libs/a": "https://git.example/a"}


def test_a_secret_goes_to_the_submodules_of_its_own_server_only() -> None:
    main = parse("https://git.example/org/main")

    for url, secret in (
        ("https://git.example/other/a", "corp"),
        ("https://evil.example/a", ""),
        ("http://git.example/a", ""),
        ("https://git.example:8443/a", ""),
        ("ssh://git@git.example/a", ""),
    ):
        assert submodules.credential_of(parse(url), main, "corp") == secret


def test_files_are_put_through_folders_only(tmp_path: Path) -> None:
    files, tree, outside = tmp_path / "files", tmp_path / "tree", tmp_path / "outside"
    for directory in (files, tree, outside / "a"):
        directory.mkdir(parents=True)
    (tree / "link").symlink_to(outside)

    with pytest.raises(FetchFailed, match="no folder"):
        submodules.put(files, tree, "link/a")
    with pytest.raises(FetchFailed, match="no folder"):
        submodules.put(files, tree, "link")
    assert list((outside / "a").iterdir()) == []


def test_they_are_fetched_only_where_that_is_set() -> None:
    wanted = Wanted(parse("https://git.example/a"), submodules=True)

    with pytest.raises(BadGitAddress, match="CODESTORY_GIT_SUBMODULES"):
        check(wanted, FetchSettings())
    check(wanted, FetchSettings(git_submodules=True))


def test_a_tree_is_read_as_git_prints_it() -> None:
    assert submodules.entries("160000 commit abc\ta b\x00100644 blob def\t.gitmodules\0") == [
        Entry("160000", "abc", "a b"),
        Entry("100644", "def", ".gitmodules"),
    ]


# from a server


@pytest.fixture
def settings(tmp_path: Path) -> FetchSettings:
    directory = tmp_path / "fetches"
    directory.mkdir()
    return FetchSettings(git_private_hosts=(HOST,), git_directory=directory, git_submodules=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "git") as server:
        yield server


def files_of(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in directory.rglob("*")
        if path.is_file() and path.relative_to(directory).parts[0] not in {".git", ".gitmodules"}
    }


async def test_each_is_there_as_its_parents_commit_names_it(server: GitServer, settings: FetchSettings) -> None:
    server.repository("org/deep", {"deep.py": "D = 1\n"})
    server.repository("org/lib", {"lib.py": "L = 1\n"})
    server.submodule("org/lib", "vendor/deep", "../deep", server.commit("org/deep", {"deep.py": "D = 2\n"}))
    named = server.head("org/lib")
    server.commit("org/lib", {"lib.py": "too new\n"})
    server.repository("org/main", {"main.py": "M = 1\n"})
    server.submodule("org/main", "libs/lib", f"{server.url}/org/lib", named)

    async with fetched(Wanted(parse(f"{server.url}/org/main"), submodules=True), settings) as found:
        seen, count, commit = files_of(found.directory), found.submodules, found.commit
        assert not list(found.directory.glob("libs/**/.git"))
    async with fetched(Wanted(parse(f"{server.url}/org/main")), settings) as found:
        without = files_of(found.directory)

    assert seen == {"main.py": "M = 1\n", "libs/lib/lib.py": "L = 1\n", "libs/lib/vendor/deep/deep.py": "D = 2\n"} | {
        "libs/lib/.gitmodules": seen["libs/lib/.gitmodules"]
    }
    assert count == 2
    assert commit == server.head("org/main")
    assert without == {"main.py": "M = 1\n"}
    assert settings.git_directory
    assert list(settings.git_directory.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"git_submodule_depth": 2}, "CODESTORY_GIT_SUBMODULE_DEPTH"),
        ({"git_submodule_depth": 20, "git_submodules_max": 4}, "CODESTORY_GIT_SUBMODULES_MAX"),
    ],
)
async def test_a_repository_that_goes_on_and_on_is_given_up(
    server: GitServer, settings: FetchSettings, changes: dict[str, int], says: str
) -> None:
    server.repository("org/end", {"a": "a"})
    for number in range(6):
        before = "org/end" if not number else f"org/turn{number - 1}"
        server.repository(f"org/turn{number}", {"a": "a"})
        server.submodule(f"org/turn{number}", "again", f"{server.url}/{before}", server.head(before))

    with pytest.raises(FetchFailed, match=says) as failed:
        async with fetched(
            Wanted(parse(f"{server.url}/org/turn5"), submodules=True), settings.model_copy(update=changes)
        ):
            pass

    assert not failed.value.passing


@pytest.mark.parametrize(
    ("url", "changes", "says"),
    [
        ("https://evil.example/a", {"git_hosts": (HOST,)}, "CODESTORY_GIT_HOSTS"),
        ("http://localhost:1/a", {}, "CODESTORY_GIT_PRIVATE_HOSTS"),
        ("file:///etc", {"git_files": True}, "is a file"),
        ("https://me:word@git.example/a", {}, "credential"),
        ("../nowhere", {}, "could not fetch"),
    ],
)
async def test_one_that_may_not_be_fetched_fails_the_job_and_is_named(
    server: GitServer, settings: FetchSettings, url: str, changes: dict[str, object], says: str
) -> None:
    server.repository("org/main", {"a": "a"})
    server.submodule("org/main", "libs/x", url, "1" * 40)

    with pytest.raises(FetchFailed, match=says) as failed:
        async with fetched(
            Wanted(parse(f"{server.url}/org/main"), submodules=True), settings.model_copy(update=changes)
        ):
            pass

    assert "libs/x" in str(failed.value)
    assert "word" not in str(failed.value)


async def test_their_size_counts(server: GitServer, settings: FetchSettings) -> None:
    server.repository("org/large", {"large": os.urandom(400_000).hex()})
    server.repository("org/main", {"a": "a"})
    server.submodule("org/main", "libs/large", "../large", server.head("org/large"))
    small = settings.model_copy(update={"git_max_bytes": 700_000})

    async with fetched(Wanted(parse(f"{server.url}/org/main")), small):
        pass
    with pytest.raises(FetchFailed, match="CODESTORY_GIT_MAX_BYTES"):
        async with fetched(Wanted(parse(f"{server.url}/org/main"), submodules=True), small):
            pass


async def test_a_file_that_says_nothing_or_is_a_link_is_none(server: GitServer, settings: FetchSettings) -> None:
    work = server.repository("org/empty", {".gitmodules": "# nothing\n"})
    server.repository("org/link", {"a": "a"})
    target = _piped(server.directory / "org/link", "/etc/passwd", "hash-object", "-w", "--stdin")
    tree = _piped(server.directory / "org/link", f"120000 blob {target}\t.gitmodules\n", "mktree")
    made = git(server.directory / "org/link", "commit-tree", tree, "-m", "link")
    git(server.directory / "org/link", "update-ref", "refs/heads/main", made)

    async with fetched(Wanted(parse(f"{server.url}/org/empty"), submodules=True), settings) as found:
        assert found.submodules == 0
    with pytest.raises(FetchFailed, match="gitmodules"):  # git lets no such file be
        async with fetched(Wanted(parse(f"{server.url}/org/link"), submodules=True), settings):
            pass
    (work / ".gitmodules").write_text("[broken\n")
    server.commit("org/empty", {})
    with pytest.raises(FetchFailed):
        async with fetched(Wanted(parse(f"{server.url}/org/empty"), submodules=True), settings):
            pass


async def test_a_tree_that_lays_a_link_where_a_submodule_belongs_writes_nothing_outside(
    server: GitServer, settings: FetchSettings, tmp_path: Path
) -> None:
    """No git makes such a tree; a server that means harm can."""
    outside = tmp_path / "outside" / "a"
    outside.mkdir(parents=True)
    commit = git(server.repository("org/lib", {"evil": "evil"}), "rev-parse", "HEAD")
    work = server.repository("org/main", {"a": "a"})
    server.submodule("org/main", "link/a", f"{server.url}/org/lib", commit)
    inner = git(work, "rev-parse", "HEAD:link")
    modules = git(work, "rev-parse", "HEAD:.gitmodules")
    target = _piped(work, str(outside.parent), "hash-object", "-w", "--stdin")
    listing = f"100644 blob {modules}\t.gitmodules\n120000 blob {target}\tlink\n040000 tree {inner}\tlink\n"
    tree = _piped(work, listing, "mktree")
    git(work, "update-ref", "refs/heads/main", git(work, "commit-tree", tree, "-m", "evil"))

    with suppress(FetchFailed):  # git itself may see one of the two alone
        async with fetched(Wanted(parse(f"{server.url}/org/main"), submodules=True), settings):
            pass

    assert list(outside.iterdir()) == []


def _piped(work: Path, text: str, *arguments: str) -> str:
    ran = subprocess.run(["git", "-C", str(work), *arguments], input=text, text=True, check=True, capture_output=True)
    return ran.stdout.strip()
