"""Has the service in containers see a repository of this host: found, mounted if it must be, and waited for."""

import os
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Self

import httpx
from filelock import FileLock, Timeout

from codestory.containers import configuration, engine, override, project, refusals
from codestory.containers.errors import (
    ContainersError,
    MountStale,
    NotReadable,
    NotShared,
    OverrideUnusable,
    Unhealthy,
)
from codestory.containers.project import Project, Reader, Sight
from codestory.containers.settings import ContainersSettings

PREFIX = PurePosixPath("/repositories")
READY = "/readyz"
#: Beside compose.yaml. Whoever exchanges the containers holds it.
LOCK = ".codestory-mount.lock"


@dataclass
class AutoMount:
    """`url`: where the service answers. `container`: the orchestrator's, when it is not known by the address.
    `prefix`: below which the containers are to see what is mounted. `say`: told what goes on."""

    url: str
    container: str = ""
    prefix: PurePosixPath = PREFIX
    say: Callable[[str], None] = field(default=lambda _: None)
    settings: ContainersSettings = field(default_factory=ContainersSettings)

    def setup_repository_mount(self, repo_path: Path) -> PurePosixPath:
        """Where every container that reads repositories sees this one. It is mounted first where it is not yet; then
        only the containers that lack it are exchanged, and what they were at goes on afterwards."""
        found, repository, shown = self._look(repo_path)
        if shown:
            if self._after_others(found):
                self.wait_for_service()
            return shown
        destination = self._configured(found, repository)
        with self._alone(found):
            found = self.project()
            if not self._shown(found, repository):  # else another command has exchanged them, with this mount too
                self._exchange(found, repository, destination)
            # Still alone: whoever exchanges them next has them stopped for a moment.
            self.wait_for_service()
            found = self.project()
            if shown := self._shown(found, repository):
                return shown
        raise MountStale(
            f"{repository} was mounted at {destination}, but not every container has the mount: "
            f"{_who_lacks(found, repository)}. Make them anew: {self._anew(found)}"
        )

    def is_repo_mounted(self, repo_path: Path) -> bool:
        """Whether the orchestrator and every step see what is in it now."""
        return self.where(repo_path) is not None

    def where(self, repo_path: Path) -> PurePosixPath | None:
        """Where they see it; None: not all of them do. Changes nothing."""
        return self._look(repo_path)[2]

    def create_repo_config(self, repo_path: Path) -> PurePosixPath:
        """Write the mount into compose.override.yaml beside compose.yaml. `docker compose` reads it each time it is
        run there; we read in it which repository has which name. Where the containers will see it after that."""
        found = self.project()
        repository = refusals.refuse(repo_path)
        file = override.beside(found.folder)
        compose = found.compose(*([file] if file.exists() else []))
        added = override.mounted_by_us(file)
        configured = compose.configuration(self.settings.compose_seconds)
        configuration.same_as_running(configured, found, added)
        destination = override.add(
            file,
            repository,
            configuration.readers(self._client(), configured, found),
            self.prefix,
            free=lambda place: _is_free(place, repository, found, added),
            seconds=self.settings.mount_lock_seconds,
        )
        _make_place(found, destination)
        return destination

    def wait_for_service(self) -> None:
        """Until it is ready. Raises Unhealthy."""
        deadline = time.monotonic() + self.settings.mount_seconds
        said = "it does not answer"
        with _asking(self.url) as client:
            while time.monotonic() < deadline:
                try:
                    answer = client.get(READY)
                    if answer.is_success:
                        return
                    said = answer.text[:300]
                except httpx.HTTPError as error:
                    said = str(error) or type(error).__name__
                time.sleep(self.settings.mount_poll_seconds)
        raise Unhealthy(
            f"{self.url} is not ready after {self.settings.mount_seconds:g} s: {said}. See: docker compose ps --all; "
            "docker compose logs --tail 50 orchestrator"
        )

    def readiness(self) -> httpx.Response:
        """What the service says of itself now."""
        with _asking(self.url) as client:
            return client.get(READY)

    def project(self) -> Project:
        """As it is now. Raises Unhealthy if its orchestrator does not run."""
        found = project.find(self._client(), self.url, self.container)
        if found.stopped:
            raise Unhealthy(found.stopped)
        return found

    def _client(self) -> Any:
        if self._connected is None:
            self._connected = engine.connect(self.settings.docker_seconds)
        return self._connected

    def close(self) -> None:
        """Leave Docker alone; it is asked again when it must be."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    _connected: Any = field(default=None, init=False, repr=False)

    def _look(self, repo_path: Path) -> tuple[Project, Path, PurePosixPath | None]:
        """What does not run while another command exchanges the containers is looked at again after it."""
        found = project.find(self._client(), self.url, self.container)
        repository = refusals.refuse(repo_path)
        if not found.stopped:
            with suppress(Unhealthy):
                return found, repository, self._shown(found, repository)
        with self._undisturbed(found):
            found = self.project()
            return found, repository, self._shown(found, repository)

    def _configured(self, found: Project, repository: Path) -> PurePosixPath:
        with suppress(Unhealthy):  # as it seems while another command exchanges the containers
            return self.create_repo_config(repository)
        with self._undisturbed(found):
            return self.create_repo_config(repository)

    def _undisturbed(self, found: Project) -> AbstractContextManager[None]:
        """Nobody exchanges them meanwhile: nobody has yet, or whoever may has to wait."""
        return self._alone(found) if os.access(found.folder / LOCK, os.W_OK) else nullcontext()

    def _shown(self, found: Project, repository: Path) -> PurePosixPath | None:
        """Where all see it, and see in it what is there."""
        places = {reader.shows(repository) for reader in found.readers}
        if len(places) != 1 or (place := places.pop()) is None:
            return None
        with ThreadPoolExecutor(len(found.readers)) as asked:  # each takes a third of a second
            sights = list(asked.map(partial(self._sight, place, repository), found.readers))
        for reader, sight in zip(found.readers, sights, strict=True):
            if sight is not Sight.SAME:
                raise self._wrong(sight, reader, place, repository, found)
        return place

    def _sight(self, place: PurePosixPath, repository: Path, reader: Reader) -> Sight:
        """A folder that is being written differs for a moment: it is looked at again."""
        deadline = time.monotonic() + self.settings.mount_settle_seconds
        while (sight := reader.sees(place, repository)) in {Sight.OTHER, Sight.EMPTY, Sight.NONE}:
            if time.monotonic() > deadline:
                return sight
            time.sleep(self.settings.mount_poll_seconds)
        return sight

    def _wrong(
        self, sight: Sight, reader: Reader, place: PurePosixPath, repository: Path, found: Project
    ) -> ContainersError:
        if sight is Sight.FORBIDDEN:
            return NotReadable(
                f"{repository} is mounted at {place}, but the user of {reader.name} may not read it. Let others read "
                f"it: chmod -R o+rX {repository}. Or send the files: codestory ingest start {repository} --upload"
            )
        return MountStale(
            f"{repository} is mounted at {place} in {reader.name}, which sees {sight.value} there: the folder was "
            f"moved, or made anew, since the container was started. Make the containers anew: {self._anew(found)}"
        )

    @contextmanager
    def _alone(self, found: Project) -> Generator[None]:
        """Two exchanges at once would take each other's containers for their own."""
        lock = FileLock(found.folder / LOCK)
        try:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                self.say("Another command is exchanging the containers: waiting for it")
                lock.acquire(timeout=self.settings.mount_seconds)
        except Timeout as error:
            raise OverrideUnusable(
                f"Another command has been exchanging the containers for {self.settings.mount_seconds:g} s. See "
                f"what it waits for: {found.compose().shown('ps', '--all')}"
            ) from error
        except OSError as error:
            raise OverrideUnusable(f"{lock.lock_file} cannot be written: {error}. Become who may.") from error
        try:
            yield
        finally:
            lock.release()

    def _after_others(self, found: Project) -> bool:
        """Whether another command was exchanging the containers; it has ended."""
        if not os.access(found.folder / LOCK, os.W_OK):
            return False
        lock = FileLock(found.folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            with self._alone(found):
                return True
        lock.release()
        return False

    def _exchange(self, found: Project, repository: Path, destination: PurePosixPath) -> None:
        services = {service: found.number(service) for service in found.services}
        self.say(f"Mounting {repository} at {destination} in {', '.join(services)}")
        started = time.monotonic()
        file = override.beside(found.folder)
        try:
            found.compose(file).up(services, self.settings.mount_seconds)
        except ContainersError:
            with suppress(ContainersError):
                if any(reader.shows(repository) is None for reader in self.project().readers):
                    override.remove(file, repository, seconds=self.settings.mount_lock_seconds)
            raise
        self.say(f"Mounted after {time.monotonic() - started:.0f} s")

    def _anew(self, found: Project) -> str:
        compose = found.compose(*(file for file in [override.beside(found.folder)] if file.exists()))
        return compose.shown("up", "--detach", "--wait", "--no-deps", "--force-recreate", *found.services)


def _who_lacks(found: Project, repository: Path) -> str:
    return ", ".join(reader.name for reader in found.readers if reader.shows(repository) is None) or "they differ"


def _is_free(place: PurePosixPath, repository: Path, found: Project, ours: Mapping[str, str]) -> bool:
    """Whether nothing else is seen there by now: a person's mount, or another repository in the parent's."""
    for reader in found.readers:
        for mount in reader.mounts:
            if mount.destination == place:
                return mount.source == repository or str(place) in ours
            below = place.is_relative_to(mount.destination)
            if below and _holds_something(mount.source / place.relative_to(mount.destination)):
                return False
    return True


def _holds_something(there: Path) -> bool:
    try:
        return any(there.iterdir())
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _make_place(found: Project, destination: PurePosixPath) -> None:
    """A mount inside a read-only mount needs a folder there to cover, and Docker cannot make one."""
    for reader in found.readers:
        for mount in reader.mounts:
            if destination.is_relative_to(mount.destination) and destination != mount.destination:
                place = mount.source / destination.relative_to(mount.destination)
                try:
                    place.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise NotShared(
                        f"{destination} lies in what is mounted from {mount.source}, where no folder can be made for "
                        f"it ({error}). Make it (sudo mkdir -p {place}), and say the same again; or name another "
                        "place, which CODESTORY_REPOSITORY_ROOTS holds: --path-prefix."
                    ) from error


def _asking(url: str) -> httpx.Client:
    tls: Any = ssl.create_default_context() if url.startswith("https:") else False
    return httpx.Client(base_url=url.rstrip("/"), timeout=5, trust_env=False, verify=tls)
