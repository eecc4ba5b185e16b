"""Which containers of Code Story there are, and what each sees of this host's folders."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import urlsplit

import docker
import docker.errors
from docker.models.containers import Container

from codestory.containers.compose import Compose
from codestory.containers.engine import answered
from codestory.containers.errors import NotInContainers, Unhealthy

#: An image whose containers read repositories carries it.
READS = "org.codestory.reads-repositories"
PROJECT, SERVICE, ONE_OFF = "com.docker.compose.project", "com.docker.compose.service", "com.docker.compose.oneoff"
FOLDER, FILES = "com.docker.compose.project.working_dir", "com.docker.compose.project.config_files"
VARIABLES = "com.docker.compose.project.environment_file"
#: Docker Desktop shows the host's folders to its virtual machine below this.
DESKTOP = "/host_mnt"
#: Run in a container. First what the folder is, then the names in it, apart by zero bytes.
LOOK = r"""
import os, sys
try:
    folder = os.fsencode(sys.argv[1])
    names = os.listdir(folder)
    found = os.stat(os.path.join(folder, b"."))
except PermissionError:
    sys.exit(13)
except OSError:
    sys.exit(2)
sys.stdout.buffer.write(b"\0".join([b"%d" % found.st_dev, b"%d" % found.st_ino, *names]))
"""
#: What Docker says by the exit code when there is no such program in the container.
NO_PROGRAM = {126, 127}
#: What Docker answers for a container that is not there, or does not run.
GONE = {404, 409}


class Sight(Enum):
    """How a container sees a folder of this host."""

    SAME = "the same"
    EMPTY = "nothing in it"
    OTHER = "something else"
    NONE = "no folder"
    FORBIDDEN = "it may not be read"


@dataclass(frozen=True)
class Mount:
    """A folder or a file of the host, as one container sees it."""

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

    @property
    def state(self) -> str:
        return str(self.container.status)

    def shows(self, path: Path) -> PurePosixPath | None:
        """Where the path is in this container, by the nearest mount that holds it and is not covered by another."""
        for mount in sorted(self.mounts, key=lambda one: len(one.source.parts), reverse=True):
            shown = mount.shows(path)
            if shown and not self._covered(mount, shown):
                return shown
        return None

    def sees(self, place: PurePosixPath, path: Path) -> Sight:
        """Whether what this container has there is the folder of this host."""
        with answered():
            try:
                ended = self.container.exec_run(["python", "-S", "-c", LOOK, str(place)], demux=True)
            except (docker.errors.NotFound, docker.errors.APIError) as error:
                if error.status_code in GONE:
                    raise Unhealthy(
                        f"{self.name} does not run any more. See: docker ps --all; docker logs {self.name}"
                    ) from error
                raise
        if ended.exit_code in NO_PROGRAM:
            return Sight.SAME  # it cannot be asked; its mounts say so
        if ended.exit_code:
            return Sight.FORBIDDEN if ended.exit_code == 13 else Sight.NONE
        out = cast("tuple[bytes | None, bytes | None]", ended.output)[0] or b""
        if b"\0" not in out:
            return Sight.NONE  # engines lose the answer of a program that ends at once: ask again
        device, inode, *there = out.split(b"\0")
        here = path.stat()
        if int(device) == here.st_dev:  # no virtual machine in between: the folder itself, or another
            if int(inode) == here.st_ino:
                return Sight.SAME
        elif set(there) == {os.fsencode(entry.name) for entry in path.iterdir()}:
            return Sight.SAME
        return Sight.OTHER if there else Sight.EMPTY

    def last_lines(self, number: int) -> str:
        """Of its log."""
        with answered():
            return self.container.logs(tail=number).decode("utf-8", "replace").rstrip()

    def _covered(self, by: Mount, shown: PurePosixPath) -> bool:
        deeper = (m.destination for m in self.mounts if len(m.destination.parts) > len(by.destination.parts))
        return any(shown.is_relative_to(destination) for destination in deeper)


@dataclass(frozen=True)
class Project:
    """A Compose project that runs Code Story. `readers`: its containers that read repositories, and run.

    `stopped`: what to say of the orchestrator's container when it does not run; it may be being exchanged."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    variables: tuple[Path, ...]
    readers: tuple[Reader, ...]
    stopped: str = ""

    @property
    def services(self) -> list[str]:
        return sorted({reader.service for reader in self.readers})

    def number(self, service: str) -> int:
        """How many containers of it run."""
        return sum(reader.service == service for reader in self.readers)

    def compose(self, *more: Path) -> Compose:
        """With the files it was started with, and with these."""
        files = (*self.files, *(file for file in more if file not in self.files))
        return Compose(self.folder, files, name=self.name, variables=self.variables)


def find(client: docker.DockerClient, url: str, container: str = "") -> Project:
    """The project whose orchestrator answers at `url`, or that of the named container. Raises NotInContainers."""
    with answered():
        found = _named(client, container) if container else _publishing(client, url)
        labels = _labels(found)
        if PROJECT not in labels:
            raise NotInContainers(
                f"The container {found.name} was not made by Docker Compose. Mount the repository yourself, or send "
                "it: codestory ingest start PATH --upload"
            )
        filters: dict[str, Any] = {"label": [f"{PROJECT}={labels[PROJECT]}", f"{ONE_OFF}=False"]}
        of_project = client.containers.list(filters=filters, ignore_removed=True)
        readers = [one for one in of_project if _labels(one).get(READS) == "true"]
    stopped = _stopped(found)
    if not readers and not stopped:
        raise NotInContainers(f"No container of the Compose project {labels[PROJECT]!r} reads repositories.")
    return Project(
        labels[PROJECT],
        Path(labels.get(FOLDER, ".")),
        _paths(FILES, [labels, *map(_labels, of_project)]),
        tuple(file for file in _paths(VARIABLES, [labels]) if file.is_file()),
        tuple(sorted(map(_reader, readers), key=lambda reader: reader.name)),
        stopped,
    )


def _named(client: docker.DockerClient, name: str) -> Container:
    try:
        return client.containers.get(name)
    except docker.errors.NotFound as error:
        raise NotInContainers(f"There is no container {name!r}. Which there are: docker ps") from error


def _publishing(client: docker.DockerClient, url: str) -> Container:
    """The container whose port that is. One that has ended is named too: it may be the one that is meant."""
    port = _port(url)
    those = [one for one in client.containers.list(all=True, ignore_removed=True) if _publishes(one, port)]
    for one in sorted(those, key=lambda one: one.status != "running"):
        if one.status == "running" or _labels(one).get(READS) == "true":
            return one
    raise NotInContainers(f"No container answers at {url}. Which there are: docker ps")


def _stopped(container: Container) -> str:
    if container.status == "running":
        return ""
    folder = _labels(container).get(FOLDER, ".")
    mend = "unpause" if container.status == "paused" else "up --detach --wait"
    return f"{container.name} is {container.status}. Have it run: (cd {folder} && docker compose {mend})"


def _publishes(container: Container, port: int) -> bool:
    """By what it was made with: a container that does not run has no ports."""
    made_with = cast("dict[str, list[dict[str, str]] | None]", container.attrs["HostConfig"].get("PortBindings") or {})
    has = cast("dict[str, list[dict[str, str]] | None]", container.attrs["NetworkSettings"].get("Ports") or {})
    bindings = [binding for ports in (made_with, has) for each in ports.values() for binding in each or ()]
    return str(port) in [binding["HostPort"] for binding in bindings]


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _reader(container: Container) -> Reader:
    mounts = [
        Mount(_of_this_host(mount["Source"]), PurePosixPath(mount["Destination"]))
        for mount in cast("list[dict[str, str]]", container.attrs["Mounts"])
        if mount["Type"] == "bind"
    ]
    return Reader(container, _labels(container).get(SERVICE, str(container.name)), tuple(mounts))


def _of_this_host(source: str) -> Path:
    return Path(os.path.realpath(source.removeprefix(DESKTOP) if source.startswith(f"{DESKTOP}/") else source))


def _labels(container: Container) -> dict[str, str]:
    return cast("dict[str, str]", container.labels)


def _paths(label: str, all_labels: Iterable[dict[str, str]]) -> tuple[Path, ...]:
    """Each once, in the order in which Compose was given them. A service that was added later knows more files."""
    lists = [[Path(file) for file in labels.get(label, "").split(",") if file] for labels in all_labels]
    return tuple(dict.fromkeys(file for files in sorted(lists, key=len, reverse=True) for file in files))
