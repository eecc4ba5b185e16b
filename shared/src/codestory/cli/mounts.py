"""What the commands say to a service in containers on this machine: the folder as its containers see it."""

import ipaddress
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from rich.console import Console

from codestory import local
from codestory.cli.exits import BadUse
from codestory.cli.settings import read
from codestory.cli.text import plain, plain_lines
from codestory.client import ProblemError
from codestory.repository_identity import is_elsewhere

#: The codes of the problems "there is no such folder" and "this folder is not served".
NOT_SEEN = {"repository_refused", "outside_roots"}
TO_SEND = "Or send its files: --upload."


@dataclass(frozen=True)
class How:
    """As it was typed."""

    auto: bool = True
    prefix: str = ""
    container: str = ""
    debug: bool = False


def place(repository: str, how: How, screen: Console, *, change: bool = True) -> tuple[str, str]:
    """The repository as the service is told it, and what is to be said if the service does not see it there."""
    prefix = _prefix(how)
    url = local.LocalSettings.read().url
    if url is None:
        if how.container or how.prefix:
            raise BadUse(
                "--container and --path-prefix are about a service in containers: name it with CODESTORY_URL. The one "
                "on this machine reads the folder itself."
            )
        return repository, ""
    if is_elsewhere(repository) or not Path(repository).is_dir():
        return repository, ""  # where the service is, it may be one
    if not how.auto:
        told = str(prefix / Path(repository).resolve().name) if how.prefix else repository
        return told, f"Nothing was mounted (--no-auto-mount). {TO_SEND}"
    if not how.container and not _on_this_machine(url):
        return repository, f"The service is on another machine. {TO_SEND}"
    return _mounted(Path(repository), url, how, screen, change=change)


@contextmanager
def explained(why: str) -> Generator[None]:
    """A service that does not see the folder says so; why it does not, we know."""
    try:
        yield
    except ProblemError as error:
        if why and error.code in NOT_SEEN:
            raise BadUse(f"{error} {why}") from error
        raise


def _mounted(repository: Path, url: str, how: How, screen: Console, *, change: bool) -> tuple[str, str]:
    # Docker's client takes a quarter of a second to load
    from codestory.containers.errors import EngineUnavailable, NotInContainers  # noqa: PLC0415

    try:
        with diagnosed(url, how, screen):
            place = _seen(repository, url, how, screen, change=change)
    except (EngineUnavailable, NotInContainers) as error:
        if how.container:
            raise
        return str(repository), f"It was not mounted: {error}"
    if place is None:
        raise BadUse(
            f"The containers do not see {plain(repository)} yet, and --dry-run changes nothing. Have them see it: "
            f"codestory ingest mount {plain(repository)}"
        )
    return str(place), ""


def _seen(repository: Path, url: str, how: How, screen: Console, *, change: bool) -> PurePosixPath | None:
    with mounter(url, how, screen) as mounting:
        return mounting.setup_repository_mount(repository) if change else mounting.where(repository)


def mounter(url: str, how: How, screen: Console):  # noqa: ANN201 - its type is loaded with it
    from codestory.containers.auto_mount import AutoMount  # noqa: PLC0415 - as above
    from codestory.containers.settings import ContainersSettings  # noqa: PLC0415

    return AutoMount(
        url,
        how.container,
        _prefix(how),
        say=lambda said: screen.print(f"  {plain(said)}", soft_wrap=True),
        settings=read(ContainersSettings),
    )


@contextmanager
def diagnosed(url: str, how: How, screen: Console) -> Generator[None]:
    """With --debug an error brings along what can be known of the containers."""
    from codestory.containers.errors import ContainersError  # noqa: PLC0415 - as above

    try:
        yield
    except ContainersError as error:
        if how.debug:
            from codestory.containers import diagnosis  # noqa: PLC0415 - as above

            with mounter(url, how, screen) as mounting:
                said = diagnosis.bundle(mounting, error)
            screen.print(plain_lines(said), soft_wrap=True, markup=False, highlight=False)
        raise


def _prefix(how: How) -> PurePosixPath:
    prefix = PurePosixPath(how.prefix or "/repositories")
    wrong = not prefix.is_absolute() or ".." in prefix.parts or len(prefix.parts) == 1
    if wrong or set(how.prefix) & set(":$") or not how.prefix.isprintable():
        raise BadUse(f"--path-prefix is a folder in the containers, as /repositories, not '{plain(how.prefix)}'.")
    return prefix


def _on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
