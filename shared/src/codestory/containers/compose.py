"""The program `docker compose`, for the files of one project."""

import json
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from codestory.containers.errors import (
    ComposeUnavailable,
    ContainersError,
    EngineUnavailable,
    NotShared,
    OverrideUnusable,
    PortTaken,
    Unhealthy,
)

#: The files that Compose takes by itself in the folder where it is run: the first of each that is there.
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
#: Of what it says, so much is passed on.
SAID = 800
NOT_INSTALLED = (
    "Docker Compose is not installed here, or too old: see docs.docker.com/compose/install. Without a mount: "
    "codestory ingest start PATH --upload."
)


@dataclass(frozen=True)
class Compose:
    """`folder`: where it is run. `name`: of the project, if it is not what the files say."""

    folder: Path
    files: tuple[Path, ...]
    name: str = ""
    variables: tuple[Path, ...] = ()

    def configuration(self, seconds: float) -> dict[str, Any]:
        """The files as Compose reads them: merged, and with the variables' values."""
        code, out, said = self._run(["config", "--format", "json"], seconds)
        if code:
            raise self._known(said) or OverrideUnusable(
                f"Docker Compose cannot read its files. Mend what it says, and see: {self.shown('config', '--quiet')} "
                f"({_last(said)})"
            )
        try:
            return cast("dict[str, Any]", json.loads(out))
        except ValueError as error:
            raise ComposeUnavailable(NOT_INSTALLED) from error

    def up(self, services: Mapping[str, int], seconds: float) -> None:
        """Have so many containers of each run and be healthy; those whose configuration has changed are exchanged.

        What depends on them stays. It goes on even when this process is ended: half of it done would be worse."""
        scale = [
            part for service, number in services.items() if number > 1 for part in ("--scale", f"{service}={number}")
        ]
        arguments = ["up", "--detach", "--no-deps", "--no-build", "--wait", "--wait-timeout", str(round(seconds))]
        code, out, said = self._run([*arguments, *scale, *services], seconds + 30)
        if code:
            raise self._why(said or out, *services)

    def up_all(self, seconds: float, say: Callable[[str], None]) -> None:
        """Have every service run and be healthy; images that are not there yet are built."""
        arguments = ["up", "--detach", "--wait", "--wait-timeout", str(round(seconds))]
        say(f"Bringing the containers up, minutes the first time: {self.shown('up', '--detach', '--wait')}")
        code, out, said = self._run(arguments, seconds + 30)
        if code:
            raise self._why(said or out)

    def listing(self, seconds: float) -> str:
        """Its containers, for a person."""
        _, out, said = self._run(["ps", "--all"], seconds)
        return (out + said).rstrip()

    def shown(self, *arguments: str) -> str:
        """The command as a person can type it, as short as it can be."""
        by_itself = all(file.parent == self.folder and file.name in (*FILES, *OVERRIDES) for file in self.files)
        named = ["--project-name", self.name] if self.name else []
        command = shlex.join(["docker", "compose", *named, *([] if by_itself else self._files()), *arguments])
        return f"(cd {shlex.quote(str(self.folder))} && {command})"

    def _command(self, arguments: Iterable[str]) -> list[str]:
        named = ["--project-name", self.name] if self.name else []
        where = ["--project-directory", str(self.folder)]
        return ["docker", "compose", *where, *named, *self._files(), *arguments]

    def _files(self) -> list[str]:
        files = [part for file in self.files for part in ("--file", str(file))]
        return files + [part for file in self.variables for part in ("--env-file", str(file))]

    def _run(self, arguments: list[str], seconds: float) -> tuple[int, str, str]:
        """Exit code, output, what it said. Into files: a pipe that nobody reads any more would end it."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    self._command(arguments),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=said,
                    start_new_session=True,
                )
            except (FileNotFoundError, NotADirectoryError) as error:
                if not self.folder.is_dir():
                    raise OverrideUnusable(
                        f"{self.folder}, where the containers were started, is not there any more. Start them anew."
                    ) from error
                raise ComposeUnavailable(NOT_INSTALLED) from error
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired as error:
                _end(process)
                raise Unhealthy(
                    f"Docker Compose did not end within {seconds:g} s. See: {self.shown('ps', '--all')}"
                ) from error
            return code, _content(out), _content(said)

    def _why(self, said: str, *services: str) -> ContainersError:
        return self._known(said, *services) or Unhealthy(
            f"The containers did not come up. See: {self.shown('ps', '--all')}; "
            f"{self.shown('logs', '--tail', '50', *services)}. Then: {self._again(services)} ({_last(said)})"
        )

    def _known(self, said: str, *services: str) -> ContainersError | None:
        last, small = _last(said), said.lower()
        if "'compose' is not a docker command" in small or "unknown flag: --project-" in small:
            return ComposeUnavailable(NOT_INSTALLED)
        if "permission denied" in small and "docker" in small and "sock" in small:
            return EngineUnavailable(
                f"Docker may not be asked by you: sudo usermod -aG docker $USER, then log in again. ({last})"
            )
        if "cannot connect to the docker daemon" in small or "is the docker daemon running" in small:
            return EngineUnavailable(
                "Docker does not answer. Start it (Linux: sudo systemctl start docker; otherwise open Docker "
                f"Desktop). ({last})"
            )
        if "mounts denied" in small or "not shared from the host" in small or "not a shared mount" in small:
            return NotShared(
                "Docker may not mount the folder: it is not shared with it. Share it (Docker Desktop: Settings, "
                "Resources, File sharing), then say the same again; or send the files: codestory ingest start PATH "
                f"--upload. ({last})"
            )
        if "port is already allocated" in small or "address already in use" in small or "ports are not ava" in small:
            return PortTaken(
                "Something else has the port that a container is to have. End it (who has it: sudo ss -ltnp), or name "
                f"another port (CODESTORY_PORT in .env, and in CODESTORY_URL), then: {self._again(services)} ({last})"
            )
        return None

    def _again(self, services: Iterable[str]) -> str:
        return self.shown("up", "--detach", "--wait", *services)


def _last(said: str) -> str:
    return " ".join(said.strip().splitlines()[-4:])[-SAID:]


def _content(file: Any) -> str:
    file.seek(0)
    return cast("bytes", file.read()).decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """`docker` starts Compose as a program of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
