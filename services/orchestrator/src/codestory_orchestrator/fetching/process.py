"""Runs git where the repository is a stranger's: nothing of it is run, and no more is taken than is allowed."""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from codestory_orchestrator.fetching.settings import FetchSettings

#: Of what git says.
OUTPUT_BYTES = 1024 * 1024
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
#: What they say when it will not help, and what does. The first that fits; whatever _PASSING makes of the rest.
_HINTS = (
    (
        re.compile(
            r"could not read Username|Authentication failed|Permission denied|returned error: 40[13]", re.IGNORECASE
        ),
        "name a secret of the service that opens it with `credential`, or there is no such repository",
    ),
    (
        re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED", re.IGNORECASE),
        "the service does not know this host's key: CODESTORY_GIT_KNOWN_HOSTS",
    ),
    (
        re.compile(r"certificate", re.IGNORECASE),
        "if the server's certificate has not expired, name who has signed it in CODESTORY_GIT_CA_FILE",
    ),
)


class FetchFailed(Exception):
    """It could not be fetched. `passing`: later it may be."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message[:900])
        self.passing = passing


class Git:
    """`directory`: all that it makes, whose size is watched, and its home."""

    def __init__(self, directory: Path, settings: FetchSettings) -> None:
        self._directory, self._settings = directory, settings
        self._program = shutil.which("git") or ""
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
            "GIT_ALLOW_PROTOCOL": "",
        }

    async def run(
        self,
        *arguments: str,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        fine: Collection[int] = (),
    ) -> str:
        """What it prints. `fine`: these exit codes too, where it complains of nothing.

        Ended with all it has started if it grows too large, or nobody waits any more.

        Without `options` and `environment` of a way somewhere it asks nobody."""
        if not self._program:
            raise FetchFailed("there is no git at this service: install it beside the orchestrator")
        process = await asyncio.create_subprocess_exec(
            *(self._program, *_OPTIONS, *options, *arguments),
            cwd=self._directory,
            env=self._environment | dict(environment or {}),
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
        if process.returncode and (err.strip() or process.returncode not in fine):
            raise _failed(err)
        return out

    async def _watch_size(self) -> None:
        limit = self._settings.git_max_bytes
        if await asyncio.to_thread(_size, self._directory, limit) > limit:
            raise FetchFailed(f"it is larger than {limit:,} bytes (CODESTORY_GIT_MAX_BYTES)")


def _failed(complaint: str) -> FetchFailed:
    lines = [line.strip() for line in complaint.splitlines() if line.strip(" @\t")]
    said = "; ".join(line for line in lines[-4:]) or "git said nothing"
    passing = bool(_PASSING.search(complaint))
    for sign, hint in _HINTS:
        if sign.search(complaint):
            return FetchFailed(f"git could not fetch it: {said[:700]} ({hint})", passing=passing)
    return FetchFailed(f"git could not fetch it: {said}", passing=passing)


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
