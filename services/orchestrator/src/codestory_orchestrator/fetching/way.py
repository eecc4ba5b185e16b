"""The way to a git address: one IP address, looked at before, and a secret in a file that only git's helper reads."""

import os
import shlex
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from codestory_orchestrator.fetching.addresses import GitAddress, resolve
from codestory_orchestrator.fetching.process import FetchFailed
from codestory_orchestrator.fetching.settings import FetchSettings

_ASKPASS = """#!/bin/sh
case "$1" in
Username*) sed -n 1p "$CODESTORY_GIT_SECRET" ;;
*) sed -n 2p "$CODESTORY_GIT_SECRET" ;;
esac
"""


@dataclass(frozen=True)
class Way:
    """`options` and `environment`: what git is given beside what it is given always."""

    options: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict[str, str])


async def way_to(address: GitAddress, credential: str, directory: Path, settings: FetchSettings) -> Way:
    """`directory`: there, and nobody else's. Raises BadGitAddress, FetchFailed, and OSError if there is none now."""
    options = ["-c", f"protocol.{address.scheme}.allow=always"]
    environment = {"GIT_ALLOW_PROTOCOL": address.scheme}
    if address.scheme == "file":
        return Way(tuple(options), environment)
    ip = await resolve(address, settings)
    if address.scheme == "ssh":
        environment["GIT_SSH_COMMAND"] = shlex.join(_ssh(address, ip, credential, directory, settings))
        return Way(tuple(options), environment)
    pinned = f"[{ip}]" if ":" in ip else ip
    options += ["-c", f"http.curloptResolve={address.host}:{address.port}:{pinned}"]
    if settings.git_ca_file:
        bundle = _private(directory / "authorities", _authorities(settings.git_ca_file))
        options += ["-c", f"http.sslCAInfo={bundle}"]
    if credential:
        user, _, token = _secret(address, credential, settings).partition(":")
        secret = _private(directory / "secret", f"{user}\n{token}\n")
        helper = _private(directory / "askpass", _ASKPASS, mode=0o700)
        environment |= {"GIT_ASKPASS": str(helper), "CODESTORY_GIT_SECRET": str(secret)}
    return Way(tuple(options), environment)


def _ssh(address: GitAddress, ip: str, credential: str, directory: Path, settings: FetchSettings) -> list[str]:
    given = ["ssh", "-F", os.devnull, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    given += ["-o", f"HostName={ip}", "-o", f"HostKeyAlias={address.host}", "-o", "IdentitiesOnly=yes"]
    given += ["-o", "ForwardAgent=no", "-o", "IdentityAgent=none", "-o", "ClearAllForwardings=yes"]
    known = settings.git_known_hosts
    given += ["-o", f"UserKnownHostsFile={known.absolute() if known else os.devnull}"]
    if credential:
        given += ["-i", str(_private(directory / "key", _secret(address, credential, settings) + "\n"))]
    return given


def _secret(address: GitAddress, credential: str, settings: FetchSettings) -> str:
    """The configuration may have changed since the job was made."""
    known = settings.git_credentials.get(credential)
    if known is None or known.host.lower() != address.host.lower():
        raise FetchFailed(f"the credential {credential!r} is not configured any more, or for another host")
    try:
        return known.file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FetchFailed(f"the credential {credential!r} cannot be read at the service") from error


def _authorities(also: Path) -> str:
    """Git knows one file only, and those whom the system trusts are trusted too."""
    system = ssl.get_default_verify_paths().cafile
    try:
        return "\n".join(Path(name).read_text() for name in (system, also) if name)
    except (OSError, UnicodeDecodeError) as error:
        raise FetchFailed("CODESTORY_GIT_CA_FILE cannot be read at the service") from error


def _private(path: Path, text: str, mode: int = 0o600) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path
