"""Has the service in containers see a repository of this host: found, mounted if it must be, and waited for."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import httpx

from codestory.containers import engine, override, refusals
from codestory.containers.engine import Project
from codestory.containers.errors import ContainersError, EngineUnavailable, MountStale, NotShared, Unhealthy

PREFIX = PurePosixPath("/repositories")
#: For Compose to exchange the containers: what runs in them is drained first.
EXCHANGE_SECONDS = 300.0
POLL_SECONDS = 0.2


@dataclass
class AutoMount:
    """`url`: where the service answers. `container`: the orchestrator's, when several projects might be meant.
    `prefix`: below which the containers are to see what is mounted. `say`: told what goes on."""

    url: str
    container: str = ""
    prefix: PurePosixPath = PREFIX
    say: Callable[[str], None] = field(default=lambda _: None)
    seconds: float = EXCHANGE_SECONDS

    def setup_repository_mount(self, repo_path: Path) -> PurePosixPath:
        """Where every container that reads repositories sees this one. It is mounted first where it is not yet; then
        only these containers are exchanged, and what they were at goes on afterwards."""
        repository = refusals.refuse(repo_path)
        project = self.project()
        if shown := _shown(project, repository):
            return shown
        destination = self.create_repo_config(repository)
        self.say(f"Mounting {repository} at {destination} in {', '.join(project.services)}")
        self._exchange(project)
        self.wait_for_service()
        project = self.project()
        if shown := _shown(project, repository):
            return shown
        raise MountStale(
            f"{repository} was mounted at {destination}, but the containers do not see what is in it. On Docker "
            f"Desktop share the folder (Settings, Resources, File sharing); otherwise make them anew: {_anew(project)}"
        )

    def is_repo_mounted(self, repo_path: Path) -> bool:
        """Whether the orchestrator and every step see what is in it now."""
        return _shown(self.project(), refusals.refuse(repo_path)) is not None

    def create_repo_config(self, repo_path: Path) -> PurePosixPath:
        """Write the mount into compose.override.yaml beside compose.yaml, which `docker compose` reads each time it is
        run, and which says which repository has which name. Where the containers will see it after that."""
        repository = refusals.refuse(repo_path)
        project = self.project()
        destination = override.add(project.folder / override.NAME, repository, project.services, self.prefix)
        _make_place(project, destination)
        return destination

    def wait_for_service(self) -> None:
        """Until it is ready. Raises Unhealthy."""
        deadline = time.monotonic() + self.seconds
        said = "it does not answer"
        while time.monotonic() < deadline:
            try:
                answer = httpx.get(f"{self.url.rstrip('/')}/readyz", timeout=5, trust_env=False)
                if answer.is_success:
                    return
                said = answer.text[:300]
            except httpx.HTTPError as error:
                said = str(error) or type(error).__name__
            time.sleep(POLL_SECONDS)
        raise Unhealthy(
            f"{self.url} is not ready after {self.seconds:g} s: {said}. See: docker compose logs orchestrator"
        )

    def project(self) -> Project:
        return engine.find(engine.connect(), self.url, self.container)

    def _exchange(self, project: Project) -> None:
        """Only what its configuration has changed for; what depends on it stays."""
        command = [*_compose(project), "up", "--detach", "--no-deps", "--wait", "--no-build", *project.services]
        try:
            ended = subprocess.run(
                command,
                cwd=project.folder,
                capture_output=True,
                text=True,
                timeout=self.seconds,
                check=False,
                errors="replace",
            )
        except FileNotFoundError as error:
            raise EngineUnavailable(
                "The program `docker` with Compose is not installed: see docs.docker.com/compose."
            ) from error
        except subprocess.TimeoutExpired as error:
            raise Unhealthy(
                f"The containers were not exchanged within {self.seconds:g} s. See: docker compose ps"
            ) from error
        if ended.returncode:
            raise _why(ended.stderr, project)


def _shown(project: Project, repository: Path) -> PurePosixPath | None:
    """Where all see it, and see in it what is there. Raises MountStale for a mount that shows something else."""
    places = {reader.shows(repository) for reader in project.readers}
    if len(places) != 1 or (place := places.pop()) is None:
        return None
    here = {entry.name for entry in os.scandir(repository)}
    for reader in project.readers:
        there = reader.listing(place)
        if there is None or set(there) != here:
            raise MountStale(
                f"{repository} is mounted at {place} in {reader.name}, but shows something else there: it was probably "
                f"moved or replaced since. Make the containers anew: {_anew(project)}"
            )
    return place


def _make_place(project: Project, destination: PurePosixPath) -> None:
    """A mount inside a read-only mount needs a folder there to cover, and Docker cannot make one."""
    for reader in project.readers:
        for mount in reader.mounts:
            if destination.is_relative_to(mount.destination) and destination != mount.destination:
                place = mount.source / destination.relative_to(mount.destination)
                try:
                    place.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise NotShared(
                        f"{destination} lies in what is mounted from {mount.source}, where no folder can be made for "
                        f"it ({error}). Name another place, which CODESTORY_REPOSITORY_ROOTS holds: --path-prefix."
                    ) from error


def _compose(project: Project) -> list[str]:
    """With the files it was started with, and the override."""
    written = project.folder / override.NAME
    files = [*project.files, *([] if written in project.files else [written])]
    return [
        "docker",
        "compose",
        "--project-name",
        project.name,
        *(part for file in files for part in ("--file", str(file))),
    ]


def _anew(project: Project) -> str:
    return _command(project, "up", "--detach", "--force-recreate", *project.services)


def _command(project: Project, *arguments: str) -> str:
    return f"(cd {project.folder} && docker compose {' '.join(arguments)})"


def _why(said: str, project: Project) -> ContainersError:
    last = " ".join(said.strip().splitlines()[-3:])[-600:]
    if "not shared" in said or "Mounts denied" in said:
        return NotShared(
            f"Docker may not mount it: share the folder (Docker Desktop: Settings, Resources, File sharing). ({last})"
        )
    if "port is already allocated" in said or "address already in use" in said:
        return Unhealthy(f"A port is taken: name another one with CODESTORY_PORT, or end what has it. ({last})")
    if "permission denied" in said and "docker" in said.lower() and "socket" in said:
        return EngineUnavailable(
            f"Docker may not be asked by you: sudo usermod -aG docker $USER, then log in again. ({last})"
        )
    logs = _command(project, "logs", "--tail", "50", *project.services)
    return Unhealthy(f"The containers did not come up again. See: {logs} ({last})")
