"""Which containers of Code Story there are, what each sees of this host's folders, and whether it is well."""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast
from urllib.parse import urlsplit

import docker
import docker.errors
import requests
from docker.models.containers import Container

from codestory.containers.errors import EngineUnavailable, NotInContainers

#: An image whose containers read repositories carries it.
READS = "org.codestory.reads-repositories"
PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
FOLDER, FILES = "com.docker.compose.project.working_dir", "com.docker.compose.project.config_files"
#: Docker Desktop shows the host's folders to its virtual machine below this.
DESKTOP = "/host_mnt"
SECONDS = 10
#: Run in a container: the names in a folder, apart by zero bytes.
LISTING = "import os, sys; os.write(1, b'\\0'.join(os.listdir(os.fsencode(sys.argv[1]))))"


@dataclass(frozen=True)
class Mount:
    """A folder of the host, as one container sees it."""

    source: Path
    destination: PurePosixPath

    def shows(self, path: Path) -> PurePosixPath | None:
        """Where this path is in the container; None: this mount does not hold it."""
        return self.destination / path.relative_to(self.source) if path.is_relative_to(self.source) else None


@dataclass(frozen=True)
class Reader:
    """A container that reads repositories."""

    container: Container
    service: str
    mounts: tuple[Mount, ...]

    @property
    def name(self) -> str:
        return str(self.container.name)

    def shows(self, path: Path) -> PurePosixPath | None:
        """Where the path is in this container, by the nearest mount that holds it and is not covered by another."""
        for mount in sorted(self.mounts, key=lambda one: len(one.source.parts), reverse=True):
            shown = mount.shows(path)
            if shown and not self._covered(mount, shown):
                return shown
        return None

    def _covered(self, by: Mount, shown: PurePosixPath) -> bool:
        deeper = (m.destination for m in self.mounts if len(m.destination.parts) > len(by.destination.parts))
        return any(shown.is_relative_to(destination) for destination in deeper)

    def listing(self, path: PurePosixPath) -> list[str] | None:
        """Names in that folder, as the container sees them; None: it is no folder there."""
        with answered():
            ended = self.container.exec_run(["python", "-S", "-c", LISTING, str(path)], demux=True)
        if ended.exit_code:
            return None
        out = cast("tuple[bytes | None, bytes | None]", ended.output)[0] or b""
        return out.decode("utf-8", "surrogateescape").split("\0") if out else []


@dataclass(frozen=True)
class Project:
    """A Compose project that runs Code Story."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    readers: tuple[Reader, ...]

    @property
    def services(self) -> list[str]:
        return sorted({reader.service for reader in self.readers})


@contextmanager
def answered() -> Generator[None]:
    """What Docker's client raises, in words that say what to do."""
    try:
        yield
    except docker.errors.DockerException as error:
        raise _unavailable(error) from error
    except (requests.RequestException, OSError) as error:
        raise _unavailable(error) from error


def connect() -> docker.DockerClient:
    with answered():
        client = docker.from_env(timeout=SECONDS)
        client.ping()
        return client


def find(client: docker.DockerClient, url: str, container: str = "") -> Project:
    """The project whose orchestrator answers at `url`, or that of the named container. Raises NotInContainers."""
    with answered():
        if container:
            found = _named(client, container)
        else:
            found = next((one for one in client.containers.list() if _publishes(one, _port(url))), None)
        labels = cast("dict[str, str]", found.labels) if found else {}
        if found is None or PROJECT not in labels:
            named = (
                f"The container {container!r} is not of a Compose project"
                if container
                else f"No container answers {url}"
            )
            raise NotInContainers(f"{named}. Which containers there are: docker compose ps")
        filters: dict[str, str | list[str] | bool] = {"label": [f"{PROJECT}={labels[PROJECT]}", f"{READS}=true"]}
        readers = tuple(_reader(one) for one in client.containers.list(filters=filters))
    files = tuple(Path(file) for file in labels.get(FILES, "").split(",") if file)
    return Project(labels[PROJECT], Path(labels.get(FOLDER, ".")), files, readers)


def _named(client: docker.DockerClient, name: str) -> Container:
    try:
        return client.containers.get(name)
    except docker.errors.NotFound as error:
        raise NotInContainers(f"There is no container {name!r}. Which there are: docker ps") from error


def _publishes(container: Container, port: int) -> bool:
    ports = cast("dict[str, list[dict[str, str]] | None]", container.attrs["NetworkSettings"]["Ports"] or {})
    return str(port) in [binding["HostPort"] for bindings in ports.values() for binding in bindings or ()]


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _reader(container: Container) -> Reader:
    mounts = [
        Mount(_of_this_host(mount["Source"]), PurePosixPath(mount["Destination"]))
        for mount in cast("list[dict[str, str]]", container.attrs["Mounts"])
        if mount["Type"] == "bind"
    ]
    labels = cast("dict[str, str]", container.labels)
    return Reader(container, labels.get(SERVICE, str(container.name)), tuple(mounts))


def _of_this_host(source: str) -> Path:
    return Path(source.removeprefix(DESKTOP) if source.startswith(f"{DESKTOP}/") else source)


def _unavailable(error: Exception) -> EngineUnavailable:
    said = str(error)
    if errno.errorcode[errno.EACCES] in said or "Permission denied" in said:
        return EngineUnavailable(
            "Docker may not be asked by you: its socket is closed to you. Join its group (sudo usermod -aG docker "
            f"$USER, then log in again), or name an engine that is open to you with DOCKER_HOST. ({said})"
        )
    return EngineUnavailable(
        "Docker does not answer. Start it (Linux: sudo systemctl start docker; otherwise open Docker Desktop), or name "
        f"it with DOCKER_HOST. Without a mount: codestory ingest start PATH --upload. ({said})"
    )
