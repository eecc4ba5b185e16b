"""Git addresses: which are taken, and where they lead. Asks the name service, and nobody else."""

import asyncio
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from codestory_orchestrator.fetching.settings import FetchSettings

PORTS = {"https": 443, "http": 80, "ssh": 22}
_SCP = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9._-]+):(?P<path>[^:\s].*)")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")
_USER = re.compile(r"[A-Za-z0-9._-]+")
#: What `git check-ref-format` refuses, and what could be taken for an option or a pattern.
_REF = re.compile(r"(?!-|/|.*(?:\.\.|//|@\{|\.lock(?:/|$)|/$|\.$))[^\x00-\x20\x7f~^:?*\[\\]+")
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class BadGitAddress(Exception):
    """The address, or what goes with it, is not taken. The message goes on after `The git address`."""


@dataclass(frozen=True)
class GitAddress:
    """`url` without credentials, as git is given it."""

    url: str
    scheme: str
    host: str = ""
    port: int = 0


@dataclass(frozen=True)
class Wanted:
    """What is asked for. `credential`: the name of the secret that opens it, or empty."""

    address: GitAddress
    ref: str = ""
    credential: str = ""
    submodules: bool = False


def parse(text: str) -> GitAddress:
    """Raises BadGitAddress."""
    if not text.isprintable() or len(text) > 2000:
        raise BadGitAddress("holds what no address has, or is longer than 2000 characters")
    if "://" not in text:
        scp = _SCP.fullmatch(text)
        if scp is None:
            raise BadGitAddress("is none: it looks like https://host/path, ssh://user@host/path or user@host:path")
        text = f"ssh://{scp['user']}@{scp['host']}/{scp['path'].lstrip('/')}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadGitAddress(f"cannot be read: {error}") from error
    if parts.scheme == "file":
        return GitAddress(text, "file")
    if parts.scheme not in PORTS:
        raise BadGitAddress(f"begins with {parts.scheme}://, and only {', '.join(PORTS)} are taken")
    if parts.query or parts.fragment:
        raise BadGitAddress("has a ? or a #, which no repository's address has")
    if parts.password is not None or (parts.username and parts.scheme != "ssh"):
        raise BadGitAddress("holds credentials, which would be stored: name a secret of the service with `credential`")
    if parts.username and not _USER.fullmatch(parts.username):
        raise BadGitAddress("has a strange user")
    host = parts.hostname or ""
    if not _HOST.fullmatch(f"[{host}]" if ":" in host else host) or len(parts.path) < 2:
        raise BadGitAddress("names no host, or no repository there")
    user = f"{parts.username}@" if parts.username else ""
    shown = f"[{host}]" if ":" in host else host
    url = f"{parts.scheme}://{user}{shown}{f':{port}' if port else ''}{parts.path}"
    return GitAddress(url, parts.scheme, host, port or PORTS[parts.scheme])


def check(wanted: Wanted, settings: FetchSettings, *, owner: str | None = None) -> None:
    """Refuse what this service does not fetch, as far as that is known without asking anybody.

    `owner`: whose job it is for; None: that is looked at elsewhere."""
    address, ref, credential = wanted.address, wanted.ref, wanted.credential
    if address.scheme == "file":
        if not settings.git_files:
            raise BadGitAddress("is a file: CODESTORY_GIT_FILES is not set at this service")
    elif not _among(address.host, settings.git_hosts):
        named = ", ".join(settings.git_hosts) or "none"
        raise BadGitAddress(f"is at {address.host}, and this service fetches from {named} (CODESTORY_GIT_HOSTS)")
    if ref and (not _REF.fullmatch(ref) or len(ref) > 300):
        raise BadGitAddress(f"comes with the ref {ref[:100]!r}, which can be no branch, tag or commit")
    if wanted.submodules and not settings.git_submodules:
        raise BadGitAddress("comes with a wish for its submodules: CODESTORY_GIT_SUBMODULES is not set at this service")
    if credential:
        known = settings.git_credentials.get(credential)
        theirs = known is not None and (owner is None or known.serves(owner))
        if known is None or not theirs or known.host.lower() != address.host.lower():
            raise BadGitAddress(not_for_you(credential))
        if address.scheme == "http":
            raise BadGitAddress("is not https: a secret is not sent in the open")


def not_for_you(credential: str) -> str:
    """The same words whatever is wrong with it: who may not use a secret does not hear that there is one."""
    return (
        f"comes with the credential {credential[:100]!r}, which this service has not, or not for that host, or not for "
        "you (CODESTORY_GIT_CREDENTIALS)"
    )


async def resolve(address: GitAddress, settings: FetchSettings) -> str:
    """An IP address of the host. Raises BadGitAddress for one that is not public, OSError if there is none now."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not _among(address.host, settings.git_private_hosts):
        for each in addresses:
            if not ip_address(each.partition("%")[0]).is_global:
                raise BadGitAddress(
                    f"leads to {each}, which is not public: this service would have to name {address.host} in "
                    "CODESTORY_GIT_PRIVATE_HOSTS"
                )
    return addresses[0]


def _among(host: str, names: Iterable[str]) -> bool:
    host = host.lower().removesuffix(".")
    return any(
        name == "*" or host == name.lower() or (name.startswith("*.") and host.endswith(name[1:].lower()))
        for name in names
    )
