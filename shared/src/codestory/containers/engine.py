"""Docker's engine: the one that `docker` itself would ask, and what it answers when it cannot help."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from socket import AF_UNIX, socket
from typing import cast

import docker
import docker.errors
import requests
from docker.constants import DEFAULT_UNIX_SOCKET
from docker.context import Context, ContextAPI

from codestory.containers.errors import EngineUnavailable

SECONDS = 10.0


def connect(seconds: float = SECONDS) -> docker.DockerClient:
    """Raises EngineUnavailable."""
    environment = _environment()
    with answered():
        _knock(environment.get("DOCKER_HOST") or DEFAULT_UNIX_SOCKET.removeprefix("http+"), seconds)
        client = docker.from_env(timeout=cast("int", seconds), environment=environment)
        try:
            client.ping()
        except BaseException:
            client.close()
            raise
        return client


def _knock(host: str, seconds: float) -> None:
    """Docker's client leaves a socket open when nobody is behind it."""
    if host.startswith("unix://"):
        with socket(AF_UNIX) as probe:
            probe.settimeout(seconds)
            probe.connect(host.removeprefix("unix://"))


@contextmanager
def answered() -> Generator[None]:
    """What Docker's client raises, in words that say what to do."""
    try:
        yield
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise _unavailable(error) from error


def _environment() -> dict[str, str]:
    """As `docker` has it: DOCKER_HOST, else the context that is chosen. Docker Desktop's socket is known by its."""
    found = dict(os.environ)
    if not found.get("DOCKER_HOST"):
        context = cast("Context | None", ContextAPI.get_context(found.get("DOCKER_CONTEXT") or None))
        if context is not None and context.Name != "default" and (host := context.Host):
            found["DOCKER_HOST"] = host
    return found


def _unavailable(error: Exception) -> EngineUnavailable:
    said = str(error)
    if errno.errorcode[errno.EACCES] in said or "Permission denied" in said or "PermissionError" in said:
        return EngineUnavailable(
            "Docker may not be asked by you: its socket is closed to you. Join its group (sudo usermod -aG docker "
            f"$USER, then log in again), or name an engine that is open to you with DOCKER_HOST. ({said})"
        )
    return EngineUnavailable(
        "Docker does not answer. Start it (Linux: sudo systemctl start docker; otherwise open Docker Desktop), or name "
        f"it with DOCKER_HOST. Without a mount: codestory ingest start PATH --upload. ({said})"
    )
