"""Which git addresses are taken, and what is refused before anything is asked of anybody."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from codestory.contracts.access import Principal, Role
from codestory.contracts.api import SubmitJob
from codestory.testing import wait_until
from codestory_orchestrator.errors import RepositoryRefused
from codestory_orchestrator.fetching.addresses import BadGitAddress, GitAddress, Wanted, check, parse, resolve
from codestory_orchestrator.fetching.git import Fetched, fetched
from codestory_orchestrator.fetching.process import FetchFailed
from codestory_orchestrator.fetching.settings import FetchSettings, GitCredential
from codestory_orchestrator.submission import refuse_secret
from codestory_orchestrator.submission import source as source_of

ANY = FetchSettings()
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here: apt-get install git")


@pytest.mark.parametrize(
    ("text", "url", "host", "port"),
    [
        ("https://git.example/org/a.git", "https://git.example/org/a.git", "git.example", 443),
        ("https://git.example:8443/a", "https://git.example:8443/a", "git.example", 8443),
        ("ssh://git@git.example/org/a.git", "ssh://git@git.example/org/a.git", "git.example", 22),
        ("git@git.example:org/a.git", "ssh://git@git.example/org/a.git", "git.example", 22),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a", "2001:db8::1", 443),
    ],
)
def test_an_address_is_taken_apart(text: str, url: str, host: str, port: int) -> None:
    address = parse(text)

    assert (address.url, address.host, address.port) == (url, host, port)


@pytest.mark.parametrize(
    "text",
    [
        "https://me:word@git.example/a.git",
        "https://token@git.example/a.git",
        "ssh://git:word@git.example/a.git",
        "ext::sh -c true",
        "ext://sh",
        "git://git.example/a",
        "https://-oProxyCommand=x/a",
        "ssh://-oProxyCommand=x/a",
        "-oProxyCommand=x@git.example:a",
        "https://git.example",
        "https:///a",
        "https://git.example/a?b",
        "https://git.example:99999/a",
        "https://git.example/a\nb",
        "nothing of the kind",
    ],
)
def test_what_is_no_address_or_holds_a_secret_is_refused(text: str) -> None:
    with pytest.raises(BadGitAddress):
        parse(text)


@pytest.mark.parametrize("ref", ["--upload-pack=x", "a..b", "a b", "a:b", "a^", "a@{1}", "/a", "a/", "a.lock", "*"])
def test_what_can_be_no_ref_is_refused(ref: str) -> None:
    with pytest.raises(BadGitAddress, match="ref"):
        check(Wanted(parse("https://git.example/a"), ref), ANY)


@pytest.mark.parametrize("ref", ["main", "feature/x", "v1.0", "a" * 40])
def test_a_branch_a_tag_and_a_commit_are_taken(ref: str) -> None:
    check(Wanted(parse("https://git.example/a"), ref), ANY)


def test_hosts_are_those_that_are_named() -> None:
    settings = FetchSettings(git_hosts=("git.example", "*.corp.example"))

    check(Wanted(parse("https://git.example/a")), settings)
    check(Wanted(parse("https://a.corp.example/a")), settings)
    for host in ("other.example", "corp.example", "evilcorp.example", "git.example.evil.example"):
        with pytest.raises(BadGitAddress, match="CODESTORY_GIT_HOSTS"):
            check(Wanted(parse(f"https://{host}/a")), settings)


def test_files_are_not_taken_unless_that_is_set() -> None:
    with pytest.raises(BadGitAddress, match="CODESTORY_GIT_FILES"):
        check(Wanted(parse("file:///srv/a")), ANY)

    check(Wanted(parse("file:///srv/a")), FetchSettings(git_files=True))


def test_a_secret_is_for_its_own_host_and_never_sent_in_the_open(tmp_path: Path) -> None:
    secret = GitCredential(host="git.example", file=tmp_path / "secret")
    settings = FetchSettings(git_credentials={"corp": secret})

    check(Wanted(parse("https://git.example/a"), "", "corp"), settings)
    for address, name in (("https://evil.example/a", "corp"), ("https://git.example/a", "other")):
        with pytest.raises(BadGitAddress, match="CODESTORY_GIT_CREDENTIALS"):
            check(Wanted(parse(address), "", name), settings)
    with pytest.raises(BadGitAddress, match="https"):
        check(Wanted(parse("http://git.example/a"), "", "corp"), settings)


def test_a_secret_is_for_its_owners_and_their_roles(tmp_path: Path) -> None:
    secret = GitCredential(host="git.example", file=tmp_path / "secret", owners=("team",), role=Role.ADMIN)
    settings = FetchSettings(git_credentials={"corp": secret})
    request = SubmitJob(repository="https://git.example/a", credential="corp")

    refuse_secret(request, Principal(owner="team", role=Role.ADMIN), settings)
    assert source_of(request, settings, "team")
    for caller in (Principal(owner="team", role=Role.OPERATOR), Principal(owner="others", role=Role.ADMIN)):
        with pytest.raises(RepositoryRefused, match="not for you"):
            refuse_secret(request, caller, settings)
    with pytest.raises(RepositoryRefused, match="not for you"):
        source_of(request, settings, "others")
    refuse_secret(SubmitJob(repository="https://git.example/a"), Principal(role=Role.VIEWER), settings)


def test_a_secret_of_which_nothing_more_is_said_is_for_whoever_may_make_jobs(tmp_path: Path) -> None:
    secret = GitCredential(host="git.example", file=tmp_path / "secret")
    settings = FetchSettings(git_credentials={"corp": secret})
    request = SubmitJob(repository="https://git.example/a", credential="corp")

    for role in (Role.OPERATOR, Role.ADMIN):
        refuse_secret(request, Principal(owner="anybody", role=role), settings)
    with pytest.raises(RepositoryRefused):
        refuse_secret(request, Principal(owner="anybody", role=Role.VIEWER), settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "localhost"])
async def test_what_leads_inside_is_refused_unless_it_is_named(host: str) -> None:
    address = parse(f"http://{host}:8080/a")

    with pytest.raises(BadGitAddress, match="CODESTORY_GIT_PRIVATE_HOSTS"):
        await resolve(address, ANY)
    if host != "localhost":
        assert await resolve(address, FetchSettings(git_private_hosts=(address.host,))) == address.host


# fetching, from a directory


def make(directory: Path) -> str:
    """A repository with all that a checkout could run. Its newest commit."""
    directory.mkdir()
    run = ["git", "-C", str(directory), "-c", "user.name=a", "-c", "user.email=a@b.example"]
    touched = directory.parent / "canary"
    (directory / "a.txt").write_bytes(b"one\r\ntwo $Id$\n")
    (directory / "sub").mkdir()
    (directory / "sub" / "x").symlink_to("../a.txt")
    (directory / ".gitattributes").write_text("* filter=canary text eol=crlf ident working-tree-encoding=UTF-16\n")
    (directory / ".gitmodules").write_text(f'[submodule "m"]\n path = m\n url = file://{directory}\n update = !touch\n')
    (directory / ".lfsconfig").write_text("[lfs]\n url = http://127.0.0.1:1/\n")
    subprocess.run([*run, "init", "-q", "-b", "main"], check=True)
    (directory / ".git" / "info" / "attributes").write_text("* -filter -text -ident -working-tree-encoding\n")
    subprocess.run([*run, "add", "."], check=True)
    subprocess.run([*run, "commit", "-qm", "one"], check=True)
    subprocess.run([*run, "tag", "-am", "first", "v1"], check=True)
    subprocess.run([*run, "checkout", "-qb", "feature/x"], check=True)
    (directory / "a.txt").write_text("of the branch\n")
    subprocess.run([*run, "commit", "-qam", "two"], check=True)
    subprocess.run([*run, "checkout", "-q", "main"], check=True)
    for name in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc"):
        hook = directory / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {touched}\n")
        hook.chmod(0o755)
    for key in ("core.fsmonitor", "filter.canary.smudge", "filter.canary.process", "core.sshCommand"):
        subprocess.run([*run, "config", key, f"touch {touched}"], check=True)
    return subprocess.run([*run, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> tuple[GitAddress, str]:
    commit = make(tmp_path / "source")
    return parse(f"file://{tmp_path / 'source'}"), commit


@pytest.fixture
def settings(tmp_path: Path) -> FetchSettings:
    directory = tmp_path / "fetches"
    directory.mkdir()
    return FetchSettings(git_files=True, git_directory=directory)


@needs_git
async def test_nothing_of_the_repository_is_run_and_its_files_are_as_they_were_committed(
    source: tuple[GitAddress, str], settings: FetchSettings, tmp_path: Path
) -> None:
    address, commit = source

    async with fetched(Wanted(address), settings) as found:
        assert found == Fetched(found.directory, commit, "main")
        assert (found.directory / "a.txt").read_bytes() == b"one\r\ntwo $Id$\n"
        assert (found.directory / "sub" / "x").is_symlink()
        assert not (found.directory / "m").exists()

    assert not (tmp_path / "canary").exists()
    assert list((tmp_path / "fetches").iterdir()) == []


@needs_git
async def test_what_a_process_that_died_has_left_is_removed_and_what_may_go_on_is_not(
    source: tuple[GitAddress, str], settings: FetchSettings, tmp_path: Path
) -> None:
    left, going_on = tmp_path / "fetches" / "codestory-git-left", tmp_path / "fetches" / "codestory-git-new"
    left.mkdir()
    going_on.mkdir()
    os.utime(left, (0, 0))

    async with fetched(Wanted(source[0]), settings):
        assert not left.exists()
        assert going_on.exists()


@needs_git
async def test_a_branch_a_tag_and_a_commit_can_be_asked_for(
    source: tuple[GitAddress, str], settings: FetchSettings
) -> None:
    address, commit = source

    async with fetched(Wanted(address, "feature/x"), settings) as found:
        assert (found.branch, (found.directory / "a.txt").read_text()) == ("feature/x", "of the branch\n")
    for ref in ("v1", commit):
        async with fetched(Wanted(address, ref), settings) as found:
            assert (found.branch, found.commit) == ("", commit)


@needs_git
async def test_what_is_not_there_is_said_so_and_not_tried_again(
    source: tuple[GitAddress, str], settings: FetchSettings, tmp_path: Path
) -> None:
    with pytest.raises(FetchFailed, match="no branch or tag 'nope'") as failed:
        async with fetched(Wanted(source[0], "nope"), settings):
            pass
    assert not failed.value.passing

    with pytest.raises(FetchFailed) as failed:
        async with fetched(Wanted(parse(f"file://{tmp_path}/nowhere")), settings):
            pass
    assert not failed.value.passing


@needs_git
async def test_a_server_that_is_away_is_tried_again(settings: FetchSettings) -> None:
    away = settings.model_copy(update={"git_private_hosts": ("127.0.0.1",)})

    with pytest.raises(FetchFailed) as failed:
        async with fetched(Wanted(parse("http://127.0.0.1:1/a")), away):
            pass

    assert failed.value.passing


@needs_git
async def test_what_is_too_large_or_takes_too_long_is_ended(
    source: tuple[GitAddress, str], settings: FetchSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = settings.model_copy(update={"git_max_bytes": 10_000})
    with pytest.raises(FetchFailed, match="CODESTORY_GIT_MAX_BYTES"):
        async with fetched(Wanted(source[0]), small):
            pass

    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nsleep 600 & wait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    hanging = settings.model_copy(update={"git_timeout_seconds": 0.3, "git_watch_seconds": 0.1})
    with pytest.raises(FetchFailed, match="CODESTORY_GIT_TIMEOUT_SECONDS"):
        async with fetched(Wanted(source[0]), hanging):
            pass
    assert list((tmp_path / "fetches").iterdir()) == []


@needs_git
async def test_a_secret_is_seen_neither_in_arguments_nor_in_the_environment_nor_in_what_is_said(
    settings: FetchSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("me:hunter2\n")
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/seen\nenv >> {tmp_path}/seen\n'
        f'case "$*" in *ls-remote*) ;; *) exec {shutil.which("git")} "$@" ;; esac\n'
        f'"$GIT_ASKPASS" "Username for x" >> {tmp_path}/answered\n"$GIT_ASKPASS" "Password" >> {tmp_path}/answered\n'
        "echo fatal: no >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    known = settings.model_copy(
        update={
            "git_credentials": {"corp": GitCredential(host="127.0.0.1", file=secret)},
            "git_private_hosts": ("127.0.0.1",),
        }
    )

    with pytest.raises(FetchFailed) as failed:
        async with fetched(Wanted(parse("https://127.0.0.1/a"), credential="corp"), known):
            pass

    assert "hunter2" not in (tmp_path / "seen").read_text() + str(failed.value)
    assert (tmp_path / "answered").read_text() == "me\nhunter2\n"


@needs_git
async def test_who_does_not_wait_any_more_ends_it(
    settings: FetchSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nsleep 600 & wait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    async def fetch() -> None:
        async with fetched(Wanted(parse("file:///x")), settings):
            pass

    task = asyncio.create_task(fetch())

    async def begun() -> bool:
        return (tmp_path / "begun").exists()

    await wait_until(begun, "git has begun")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert list((tmp_path / "fetches").iterdir()) == []
