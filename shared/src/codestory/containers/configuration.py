"""What Compose would make of its files now: which services read repositories, and whether these are those that run."""

import os
from collections.abc import Mapping
from typing import Any, cast

import docker
import docker.errors

from codestory.containers.engine import answered
from codestory.containers.errors import OtherwiseNow
from codestory.containers.project import READS, Project, Reader

Configured = Mapping[str, Any]


def readers(client: docker.DockerClient, configured: Configured, project: Project) -> list[str]:
    """The services that read repositories: those that run, and those of which no container runs now."""
    services = cast("dict[str, dict[str, Any]]", configured.get("services") or {})
    found = set(project.services) & set(services)
    for name, service in services.items():
        if name not in found and (_says(service.get("labels")) or _image_says(client, str(service.get("image", "")))):
            found.add(name)
    return sorted(found)


def same_as_running(configured: Configured, project: Project, added: Mapping[str, str]) -> None:
    """Raises OtherwiseNow where an exchange would take away a mount or a port: a variable that was set when the
    containers were started is not set now. `added`: the repositories that were mounted by us."""
    services = cast("dict[str, dict[str, Any]]", configured.get("services") or {})
    for reader in project.readers:
        service = services.get(reader.service)
        if service is None:
            raise _otherwise(project, f"has no service {reader.service!r}")
        sources = _sources(configured, service)
        for mount in reader.mounts:
            if str(mount.destination) not in added and str(mount.source) not in sources:
                raise _otherwise(project, f"mounts no {mount.source} at {mount.destination} in {reader.service!r}")
        ports = {str(port.get("published", "")) for port in cast("list[dict[str, Any]]", service.get("ports") or [])}
        if lost := {port for port in _ports(reader) if port not in ports}:
            raise _otherwise(project, f"does not publish port {', '.join(sorted(lost))} of {reader.service!r}")


def _otherwise(project: Project, lacks: str) -> OtherwiseNow:
    files = ", ".join(map(str, project.files))
    return OtherwiseNow(
        f"The containers were started otherwise than {files} now says, which {lacks}: mounting the repository would "
        "change more than its mount. Set the variables that they were started with (REPOSITORY_SOURCE, CODESTORY_PORT "
        f"…) here, or write them into {project.folder / '.env'}; or bring them up as they are to be: "
        f"{project.compose().shown('up', '--detach', '--wait')}"
    )


def _sources(configured: Configured, service: Mapping[str, Any]) -> set[str]:
    volumes = cast("list[dict[str, Any]]", service.get("volumes") or [])
    kinds = [cast("dict[str, dict[str, Any]]", configured.get(kind) or {}) for kind in ("secrets", "configs")]
    files = [one.get("file") for kind in kinds for one in kind.values()]
    named = [volume.get("source") for volume in volumes if volume.get("type") == "bind"] + files
    return {os.path.realpath(str(source)) for source in named if source}


def _ports(reader: Reader) -> set[str]:
    bound = cast("dict[str, list[dict[str, str]] | None]", reader.container.attrs["HostConfig"]["PortBindings"] or {})
    return {binding["HostPort"] for bindings in bound.values() for binding in bindings or ()} - {"", "0"}


def _says(labels: object) -> bool:
    return isinstance(labels, dict) and cast("dict[str, object]", labels).get(READS) == "true"


def _image_says(client: docker.DockerClient, image: str) -> bool:
    if not image:
        return False
    with answered():
        try:
            return cast("dict[str, str]", client.images.get(image).labels).get(READS) == "true"
        except docker.errors.ImageNotFound:
            return False
