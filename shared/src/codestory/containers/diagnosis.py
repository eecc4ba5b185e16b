"""What can be known of the containers when one of them is at fault, for a person to read or to send.

Names, states, mounts, the last lines of logs; no variables of their environment, which may hold secrets."""

import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from typing import Any, cast

from codestory.containers import engine, override
from codestory.containers.auto_mount import AutoMount
from codestory.containers.compose import Compose
from codestory.containers.errors import ContainersError
from codestory.containers.project import Project, Reader

LINES = 30


def bundle(mounting: AutoMount, error: ContainersError) -> str:
    """Every part that can be had; of one that cannot, why."""
    return "\n".join(_parts(mounting, error))


def _parts(mounting: AutoMount, error: ContainersError) -> Iterator[str]:
    yield f"--- {type(error).__name__}, cause: {error.__cause__!r}"
    yield f"codestory {metadata.version('codestory')}, Python {platform.python_version()}, {platform.platform()}"
    yield f"service: {mounting.url}, {_tried(lambda: _readiness(mounting))}"
    yield f"docker: {_tried(lambda: _engine(mounting))}"
    yield f"docker compose: {_tried(_compose)}"
    try:
        project = mounting.project()
    except ContainersError as cause:
        yield f"containers: {cause}"
        return
    yield from _project(project, mounting)


def _project(project: Project, mounting: AutoMount) -> Iterator[str]:
    yield f"project {project.name} in {project.folder}: {', '.join(map(str, project.files))}"
    written = override.beside(project.folder)
    mounted = _tried(lambda: "".join(f"\n  {path} at {where}" for where, path in _added(written)) or "nothing")
    yield f"mounted by {written}: {mounted}"
    for reader in project.readers:
        yield from _reader(reader)
    compose: Compose = project.compose()
    yield f"--- {compose.shown('ps', '--all')}"
    yield _tried(lambda: compose.listing(mounting.settings.compose_seconds))


def _added(written: Any) -> list[tuple[str, str]]:
    return list(override.mounted_by_us(written).items())


def _reader(reader: Reader) -> Iterator[str]:
    state = cast("dict[str, Any]", reader.container.attrs["State"])
    health = cast("dict[str, Any]", state.get("Health") or {})
    yield f"--- {reader.name}: {reader.state}, {health.get('Status', 'no health check')}, exit {state.get('ExitCode')}"
    yield f"image: {cast('dict[str, Any]', reader.container.attrs['Config']).get('Image')}"
    for mount in reader.mounts:
        there = "" if mount.source.exists() else " (is not there)"
        yield f"mount: {mount.source} at {mount.destination}{there}"
    if probes := cast("list[dict[str, Any]]", health.get("Log") or []):
        yield f"last health check: exit {probes[-1].get('ExitCode')}, {str(probes[-1].get('Output', '')).strip()}"
    yield _tried(lambda: reader.last_lines(LINES))


def _tried(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - one part that cannot be had hides no other
        return f"not to be had: {error or type(error).__name__}"


def _readiness(mounting: AutoMount) -> str:
    answer = mounting.readiness()
    return f"{answer.status_code} {answer.text[:300]}"


def _engine(mounting: AutoMount) -> str:
    with closing(engine.connect(mounting.settings.docker_seconds)) as client:
        version = client.version()
    return f"{version.get('Version')}, API {version.get('ApiVersion')}, {version.get('Os')}/{version.get('Arch')}"


def _compose() -> str:
    ended = subprocess.run(
        ["docker", "compose", "version", "--short"], capture_output=True, text=True, timeout=30, check=False
    )
    return (ended.stdout or ended.stderr).strip()
