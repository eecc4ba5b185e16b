"""Fetches one commit of a repository of strangers, and of its submodules if they are asked for: the files alone."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from codestory_orchestrator.fetching import addresses, submodules
from codestory_orchestrator.fetching.addresses import COMMIT, BadGitAddress, GitAddress, Wanted
from codestory_orchestrator.fetching.process import OUTPUT_BYTES, FetchFailed, Git
from codestory_orchestrator.fetching.settings import FetchSettings
from codestory_orchestrator.fetching.way import Way, way_to

#: Of a fetch's folder.
_PREFIX = "codestory-git-"
#: What `git config` ends with where nothing fits.
NONE_FOUND = 1
#: Before what is in the files, so that no attribute of theirs runs a filter or changes a byte.
_ATTRIBUTES = "* -filter -text -ident -working-tree-encoding -diff -merge\n"


@dataclass(frozen=True)
class Fetched:
    """The files of one commit. `branch`: empty if a tag or a commit was asked for. `submodules`: how many are in it."""

    directory: Path
    commit: str
    branch: str
    submodules: int = 0


@asynccontextmanager
async def fetched(wanted: Wanted, settings: FetchSettings) -> AsyncGenerator[Fetched]:
    """There until the block ends. Raises FetchFailed."""
    await asyncio.to_thread(_clear, settings)
    directory = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=_PREFIX, dir=settings.git_directory))
    try:
        try:
            async with asyncio.timeout(settings.git_timeout_seconds):
                found = await _Fetch(wanted, directory, settings).all()
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


@dataclass
class _Fetch:
    """All that one job wants. Each repository of it has a folder of its own, until it is put where it belongs."""

    wanted: Wanted
    directory: Path
    settings: FetchSettings
    #: The submodules so far.
    count: int = field(default=0, init=False)

    async def all(self) -> Fetched:
        wanted = self.wanted
        main = await self._checkout("main", wanted.address, wanted.credential)
        commit, branch = await main.fetch(wanted.ref)
        if wanted.submodules:
            await self._submodules(main, commit, self.settings.git_submodule_depth)
        return Fetched(main.tree, commit, branch, self.count)

    async def _checkout(self, name: str, address: GitAddress, credential: str) -> "_Checkout":
        own = self.directory / name
        own.mkdir(mode=0o700)
        git = Git(self.directory, self.settings)
        return _Checkout(git, address, await way_to(address, credential, own, self.settings), own / "tree")

    async def _submodules(self, parent: "_Checkout", commit: str, depth: int) -> None:
        for entry, url in await parent.submodules(commit):
            try:
                await self._submodule(parent, entry, url, depth)
            except BadGitAddress as error:
                raise FetchFailed(f"its submodule {entry.path[:200]!r}: the git address {error}") from error
            except FetchFailed as error:
                raise FetchFailed(f"its submodule {entry.path[:200]!r}: {error}", passing=error.passing) from error

    async def _submodule(self, parent: "_Checkout", entry: submodules.Entry, url: str, depth: int) -> None:
        if not depth:
            limit = self.settings.git_submodule_depth
            raise FetchFailed(f"submodules are nested deeper than {limit} levels (CODESTORY_GIT_SUBMODULE_DEPTH)")
        self.count += 1
        if self.count > self.settings.git_submodules_max:
            limit = self.settings.git_submodules_max
            raise FetchFailed(f"there are more than {limit} submodules (CODESTORY_GIT_SUBMODULES_MAX)")
        address = submodules.address_of(url, parent.address)
        addresses.check(Wanted(address), self.settings)
        credential = submodules.credential_of(address, self.wanted.address, self.wanted.credential)
        checkout = await self._checkout(f"submodule-{self.count}", address, credential)
        commit, _ = await checkout.fetch(submodules.commit_of(entry))
        await self._submodules(checkout, commit, depth - 1)
        await asyncio.to_thread(shutil.rmtree, checkout.tree / ".git")
        await asyncio.to_thread(submodules.put, checkout.tree, parent.tree, entry.path)


@dataclass(frozen=True)
class _Checkout:
    git: Git
    address: GitAddress
    way: Way
    tree: Path

    async def fetch(self, ref: str) -> tuple[str, str]:
        """The commit whose files are there now, and its branch; empty if it is none's head."""
        await self.git.run("init", "--quiet", "--template=", str(self.tree))
        await self._local("config", "core.sparseCheckout", "false")
        info = self.tree / ".git" / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text(_ATTRIBUTES)
        wanted, branch = await self._wanted(ref)
        await self._remote(
            *("-C", str(self.tree), "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules"),
            *("--no-write-fetch-head", "--no-auto-maintenance", "--", self.address.url),
            f"+{wanted}:refs/codestory/fetched",
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
        return commit, branch

    async def submodules(self, commit: str) -> list[tuple[submodules.Entry, str]]:
        """Those of this commit that say where they come from, each with that address."""
        said = submodules.entries(await self._local("ls-tree", "-z", commit, "--", submodules.FILE))
        if not any(entry.mode in submodules.FILES for entry in said):
            return []
        blob = f"{commit}:{submodules.FILE}"
        told = await self.git.run(
            *("-C", str(self.tree), "config", "--no-includes", "--blob", blob, "--null"),
            *("--get-regexp", r"^submodule\..*\.(path|url)$"),
            fine=(NONE_FOUND,),
        )
        if len(told.encode()) >= OUTPUT_BYTES:
            raise FetchFailed(f"its {submodules.FILE} is too long")
        urls = submodules.stated(told)
        if not urls:
            return []
        names = list(urls)
        found: list[submodules.Entry] = []
        for start in range(0, len(names), 100):
            here = names[start : start + 100]
            found += submodules.entries(await self._local("--literal-pathspecs", "ls-tree", "-z", commit, "--", *here))
        return [
            (entry, urls[entry.path]) for entry in found if entry.mode == submodules.SUBMODULE and entry.path in urls
        ]

    async def _wanted(self, ref: str) -> tuple[str, str]:
        """What to ask for, and the branch's name if it is one."""
        if COMMIT.fullmatch(ref):
            return ref, ""
        names = [f"refs/heads/{ref}", f"refs/tags/{ref}"] if ref else ["HEAD"]
        said = await self._remote("ls-remote", "--symref", "--", self.address.url, *names)
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
        return await self.git.run("-C", str(self.tree), *arguments)

    async def _remote(self, *arguments: str) -> str:
        return await self.git.run(*arguments, options=self.way.options, environment=self.way.environment)


def _clear(settings: FetchSettings) -> None:
    """What a process that died has left; no fetch that goes on is as old."""
    oldest = time.time() - 2 * settings.git_timeout_seconds - 60
    for left in (settings.git_directory or Path(tempfile.gettempdir())).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            status = left.lstat()
            if status.st_uid == os.getuid() and status.st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)
