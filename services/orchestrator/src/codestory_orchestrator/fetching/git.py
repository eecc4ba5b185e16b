"""Runs git on a repository of strangers: nothing of the repository is run, nothing but its files is kept."""

import asyncio
import os
import re
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from codestory_orchestrator.fetching.addresses import COMMIT, BadGitAddress, GitAddress, resolve
from codestory_orchestrator.fetching.settings import FetchSettings

#: Of what git says.
OUTPUT_BYTES = 1024 * 1024
#: Of a fetch's folder.
_PREFIX = "codestory-git-"
#: Before what is in the files, so that no attribute of theirs runs a filter or changes a byte.
_ATTRIBUTES = "* -filter -text -ident -working-tree-encoding -diff -merge\n"
_ASKPASS = """#!/bin/sh
case "$1" in
Username*) sed -n 1p "$CODESTORY_GIT_SECRET" ;;
*) sed -n 2p "$CODESTORY_GIT_SECRET" ;;
esac
"""
_OPTIONS = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.attributesFile=/dev/null"),
    *("-c", "core.autocrlf=false", "-c", "core.symlinks=true", "-c", "core.protectNTFS=true"),
    *("-c", "core.protectHFS=true", "-c", "credential.helper=", "-c", "protocol.allow=never"),
    *("-c", "http.followRedirects=false", "-c", "submodule.recurse=false", "-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false", "-c", "transfer.bundleURI=false"),
    *("-c", "advice.detachedHead=false", "-c", "filter.lfs.smudge=", "-c", "filter.lfs.process="),
    *("-c", "filter.lfs.required=false", "-c", "safe.directory=*"),
)
#: What git, curl and ssh say when waiting may help.
_PASSING = re.compile(
    r"could not resolve|couldn't connect|failed to connect|connection (?:refused|reset|timed out|closed)|timed? ?out|"
    r"early eof|unexpected disconnect|hung up|rpc failed|temporar|returned error: (?:429|5\d\d)|network is unreachable",
    re.IGNORECASE,
)


class FetchFailed(Exception):
    """It could not be fetched. `passing`: later it may be."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message[:900])
        self.passing = passing


@dataclass(frozen=True)
class Fetched:
    """The files of one commit. `branch`: empty if a tag or a commit was asked for."""

    directory: Path
    commit: str
    branch: str


@asynccontextmanager
async def fetched(address: GitAddress, ref: str, credential: str, settings: FetchSettings) -> AsyncGenerator[Fetched]:
    """There until the block ends. Raises FetchFailed."""
    await asyncio.to_thread(_clear, settings)
    directory = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=_PREFIX, dir=settings.git_directory))
    try:
        run = _Run(address, directory, settings)
        try:
            async with asyncio.timeout(settings.git_timeout_seconds):
                await run.prepare(credential)
                found = await run.fetch(ref)
        except TimeoutError as error:
            limit = settings.git_timeout_seconds
            raise FetchFailed(f"it took longer than {limit:g} s (CODESTORY_GIT_TIMEOUT_SECONDS)") from error
        except BadGitAddress as error:
            raise FetchFailed(f"the git address {error}") from error
        except OSError as error:
            raise FetchFailed(f"it could not be fetched: {error}", passing=True) from error
        yield found
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True))


class _Run:
    def __init__(self, address: GitAddress, directory: Path, settings: FetchSettings) -> None:
        self._address, self._directory, self._settings = address, directory, settings
        self._tree = directory / "tree"
        self._program = shutil.which("git") or ""
        self._options = list(_OPTIONS)
        self._environment = {
            "PATH": os.defpath,
            "HOME": str(directory),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_ASKPASS": "false",
            "SSH_ASKPASS": "false",
            "GIT_ALLOW_PROTOCOL": address.scheme,
        }

    async def prepare(self, credential: str) -> None:
        """The way there: one IP address, looked at before; and the secret, in a file that only git's helper reads."""
        address = self._address
        if not self._program:
            raise FetchFailed("there is no git at this service: install it beside the orchestrator")
        self._options += ["-c", f"protocol.{address.scheme}.allow=always"]
        if address.scheme == "file":
            return
        ip = await resolve(address, self._settings)
        if address.scheme == "ssh":
            self._environment["GIT_SSH_COMMAND"] = shlex.join(self._ssh(ip, credential))
            return
        pinned = f"[{ip}]" if ":" in ip else ip
        self._options += ["-c", f"http.curloptResolve={address.host}:{address.port}:{pinned}"]
        if credential:
            user, _, token = self._secret(credential).partition(":")
            secret = self._private("secret", f"{user}\n{token}\n")
            helper = self._private("askpass", _ASKPASS, mode=0o700)
            self._environment |= {"GIT_ASKPASS": str(helper), "CODESTORY_GIT_SECRET": str(secret)}

    def _ssh(self, ip: str, credential: str) -> list[str]:
        known = self._settings.git_known_hosts
        given = ["ssh", "-F", os.devnull, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
        given += ["-o", f"HostName={ip}", "-o", f"HostKeyAlias={self._address.host}", "-o", "IdentitiesOnly=yes"]
        given += ["-o", "ForwardAgent=no", "-o", "IdentityAgent=none", "-o", "ClearAllForwardings=yes"]
        given += ["-o", f"UserKnownHostsFile={known or os.devnull}"]
        if credential:
            key = self._private("key", self._secret(credential) + "\n")
            given += ["-i", str(key)]
        return given

    def _secret(self, credential: str) -> str:
        """The configuration may have changed since the job was made."""
        known = self._settings.git_credentials.get(credential)
        if known is None or known.host.lower() != self._address.host.lower():
            raise FetchFailed(f"the credential {credential!r} is not configured any more, or for another host")
        try:
            return known.file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise FetchFailed(f"the credential {credential!r} cannot be read at the service") from error

    def _private(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self._directory / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        return path

    async def fetch(self, ref: str) -> Fetched:
        await self._git("init", "--quiet", "--template=", str(self._tree))
        await self._local("config", "core.sparseCheckout", "false")
        info = self._tree / ".git" / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text(_ATTRIBUTES)
        wanted, branch = await self._wanted(ref)
        await self._local(
            *("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
            *("--no-auto-maintenance", "--", self._address.url, f"+{wanted}:refs/codestory/fetched"),
        )
        commit = (await self._local("rev-parse", "--verify", "refs/codestory/fetched^{commit}")).strip()
        if not COMMIT.fullmatch(commit):
            raise FetchFailed(f"git answered {commit[:100]!r}, which is no commit")
        if branch:
            await self._local("update-ref", f"refs/heads/{branch}", commit)
            await self._local("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        else:
            await self._local("update-ref", "--no-deref", "HEAD", commit)
        await self._local("reset", "--hard", "--quiet", commit)
        return Fetched(self._tree, commit, branch)

    async def _wanted(self, ref: str) -> tuple[str, str]:
        """What to ask for, and the branch's name if it is one."""
        if COMMIT.fullmatch(ref):
            return ref, ""
        names = [f"refs/heads/{ref}", f"refs/tags/{ref}"] if ref else ["HEAD"]
        said = await self._git("ls-remote", "--symref", "--", self._address.url, *names)
        lines = [line.split("\t") for line in said.splitlines() if "\t" in line]
        there = {line[1]: line[0] for line in lines}
        for name in names:
            pointed = there.get(name, "")
            target = next((a.removeprefix("ref: ") for a, b in lines if b == name and a.startswith("ref: ")), name)
            if pointed:
                branch = target.removeprefix("refs/heads/") if target.startswith("refs/heads/") else ""
                return target, branch
        raise FetchFailed(f"there is no branch or tag {ref!r} there" if ref else "there is nothing in it yet")

    async def _local(self, *arguments: str) -> str:
        return await self._git("-C", str(self._tree), *arguments)

    async def _git(self, *arguments: str) -> str:
        """What it prints. Ended with all it has started if it grows too large, or nobody waits any more."""
        process = await asyncio.create_subprocess_exec(
            *(self._program, *self._options, *arguments),
            cwd=self._directory,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout
        assert process.stderr
        said, complained = asyncio.create_task(_read(process.stdout)), asyncio.create_task(_read(process.stderr))
        try:
            while not await _ended(process, self._settings.git_watch_seconds):
                await self._watch_size()
            await self._watch_size()
            out, err = await asyncio.gather(said, complained)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
            said.cancel()
            complained.cancel()
        if process.returncode:
            raise self._failed(err)
        return out

    async def _watch_size(self) -> None:
        limit = self._settings.git_max_bytes
        if await asyncio.to_thread(_size, self._directory, limit) > limit:
            raise FetchFailed(f"it is larger than {limit:,} bytes (CODESTORY_GIT_MAX_BYTES)")

    def _failed(self, complaint: str) -> FetchFailed:
        lines = [line.strip() for line in complaint.splitlines() if line.strip()]
        said = "; ".join(line for line in lines[-4:]) or "git said nothing"
        if "could not read Username" in complaint or "Authentication failed" in complaint:
            said += " (name a secret of the service with `credential`, or there is no such repository)"
        return FetchFailed(f"git could not fetch it: {said}", passing=bool(_PASSING.search(complaint)))


def _clear(settings: FetchSettings) -> None:
    """What a process that died has left; no fetch that goes on is as old."""
    oldest = time.time() - 2 * settings.git_timeout_seconds - 60
    for left in (settings.git_directory or Path(tempfile.gettempdir())).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            status = left.lstat()
            if status.st_uid == os.getuid() and status.st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)


async def _ended(process: asyncio.subprocess.Process, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await process.wait()
    return process.returncode is not None


async def _read(stream: asyncio.StreamReader) -> str:
    """The beginning; the rest is taken and dropped, so that who writes it does not wait."""
    kept = bytearray()
    while block := await stream.read(65536):
        kept += block[: max(0, OUTPUT_BYTES - len(kept))]
    return kept.decode("utf-8", "replace")


def _size(directory: Path, enough: int) -> int:
    """Bytes on disk of all that is in it; no more is counted once it is more than `enough`."""
    total, pending = 0, [str(directory)]
    while pending and total <= enough:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    return total
