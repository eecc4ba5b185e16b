"""Says which repository a directory holds: its name, and the id that everything of it has in the graph."""

import hashlib
import os
import re
import socket
import unicodedata
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from codestory import git_config
from codestory.contracts.jobs import Repository
from codestory.contracts.snapshots import PREFIX

#: As in `Repository.name`.
MAX_NAME: Final = 300
#: As in `Repository.path`.
MAX_PATH: Final = 4096

_SCHEMES: Final = frozenset({"https", "http", "ssh", "git", "git+ssh", "git+https", "ftp", "ftps"})
#: `user@host:path`, git's short form of ssh. A single letter before the colon is a Windows drive.
_SCP: Final = re.compile(r"(?:[^/:@]+@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:@\[\]]{2,}):(?P<path>[^:].*)")
_AT_HOST: Final = re.compile(r"[^/:@\s]+@[^/:@\s]+:.+")
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?")


class RepositoryError(Exception):
    """The directory cannot be ingested as it is."""


def identify(path: Path, name: str | None = None) -> Repository:
    """The repository in the directory `path`; reads the disk.

    Named by `name`, else by its git remote `origin` (`github.com/org/repo`), else by its folder. The id comes from
    the name alone, so it is the same in every clone and mount. Raises RepositoryError with a message for the user.
    """
    directory = _directory(path)
    url, remote_name = _remote(git_config.origin(directory))
    chosen = _stated(name) if name is not None else remote_name or _folder_name(directory)
    return Repository(id=repository_id(chosen), name=chosen, path=str(directory), url=url)


def repository_id(name: str) -> str:
    """The id that belongs to a repository's name: 32 hex digits."""
    normal = unicodedata.normalize("NFC", name)
    return hashlib.blake2b(normal.encode("utf-8"), digest_size=16).hexdigest()


def origin(repository: Repository) -> str:
    """What a name is bound to: the remote, the same for every way to write its address, else the path."""
    _, remote_name = _remote(repository.url)
    return remote_name or repository.origin or repository.path


def is_elsewhere(repository: str) -> bool:
    """It names no folder: a git address, or a snapshot. `host:path` without a user may be a folder's name."""
    return "://" in repository or repository.startswith(PREFIX) or _AT_HOST.fullmatch(repository) is not None


def upload_origin(directory: Path) -> str:
    """What the name of an uploaded repository without a remote is bound to: its place, unreadable for others."""
    place = f"{socket.gethostname()}\0{os.path.realpath(directory)}"
    return f"upload:{hashlib.blake2b(place.encode('utf-8', 'surrogateescape'), digest_size=16).hexdigest()}"


def stated(name: str | None, *, url: str, otherwise: str = "") -> tuple[str, str]:
    """Name and address, without credentials, of a repository that is not at hand: `name`, else by its address.

    Raises RepositoryError where neither says anything, nor does `otherwise`."""
    clean, remote_name = _remote(url)
    return _stated(name or remote_name or otherwise), clean


def _directory(path: Path) -> Path:
    """The real directory at `path`, known to hold something."""
    try:
        directory = Path(os.path.realpath(path))
        with os.scandir(directory) as entries:
            empty = all(entry.name == ".git" for entry in entries)
    except FileNotFoundError as error:
        raise RepositoryError(f"{_shown(path)} does not exist") from error
    except NotADirectoryError as error:
        raise RepositoryError(f"{_shown(path)} is not a directory") from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise RepositoryError(f"{_shown(path)} cannot be read: {reason}") from error
    if empty:
        raise RepositoryError(f"{_shown(path)} is empty: there is nothing to ingest")
    if not _is_text(str(directory)) or len(str(directory)) > MAX_PATH:
        raise RepositoryError(f"{_shown(path)} cannot be named in a message: its path is not UTF-8, or is too long")
    return directory


def _stated(name: str) -> str:
    normal = unicodedata.normalize("NFC", name.strip())
    if not normal or len(normal) > MAX_NAME:
        raise RepositoryError(f"the name must have 1 to {MAX_NAME} characters")
    if not all(map(_is_plain, normal)):
        raise RepositoryError(f"the name {normal!r} holds control characters")
    return normal


def _folder_name(directory: Path) -> str:
    """The folder's name; what cannot be shown in it is escaped."""
    normal = unicodedata.normalize("NFC", directory.name)
    name = "".join(c if _is_plain(c) else c.encode("unicode_escape").decode() for c in normal).strip()
    if not name or len(name) > MAX_NAME:
        raise RepositoryError(f"{_shown(directory)} has no name that could be its own: state one with --name")
    return name


def _is_plain(character: str) -> bool:
    """Neither a control character nor one that turns the text around it, a line break or half a character."""
    return unicodedata.category(character) not in {"Cc", "Zl", "Zp", "Cs"} and (
        unicodedata.bidirectional(character) not in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    )


def _remote(address: str) -> tuple[str, str]:
    """A remote's address without credentials, and the name of the repository there.

    Both empty if the address is no place that is the same from everywhere, such as a path on this machine.
    """
    if not address or len(address) > 2000 or not all(map(_is_plain, address)):
        return "", ""
    if "://" not in address:
        scp = _SCP.fullmatch(address)
        if scp is None:
            return "", ""
        address = f"ssh://{scp['host']}/{scp['path'].lstrip('/')}"
    try:
        parts = urlsplit(address)
        host, port = _host(parts), f":{parts.port}" if parts.port else ""
    except ValueError:
        return "", ""
    # A password with an unescaped `/`, `?` or `#` looks like a path. Git cannot use it, and it must not be shown.
    if not host or ("@" in address and "@" not in parts.netloc):
        return "", ""
    segments = [segment for segment in parts.path.split("/") if segment]
    name = "/".join([host.removesuffix("."), *segments]).removesuffix(".git").rstrip("/")
    if "/" not in name or {".", ".."} & set(segments) or len(name) > MAX_NAME:
        return "", ""
    return f"{parts.scheme}://{host}{port}/{'/'.join(segments)}", unicodedata.normalize("NFC", name)


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if parts.scheme not in _SCHEMES:
        return ""
    if ":" in host:
        try:
            return f"[{IPv6Address(host).compressed}]"
        except AddressValueError:
            return ""
    return host if _HOST.fullmatch(host.removesuffix(".")) else ""


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _shown(path: Path) -> str:
    """The path as it can be printed."""
    text = str(path)
    return text if text.isprintable() else repr(text)
