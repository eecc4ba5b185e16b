"""What goes wrong is said with its reason and the command that mends it. Each is provoked by a real engine.

Only Docker Desktop refuses folders that are not shared with it: its answer, word for word, is put in the engine's
place by a socket in between; all else goes through to the engine."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, socket

import pytest

from codestory.containers.errors import (
    ComposeUnavailable,
    EngineUnavailable,
    MountRefused,
    MountStale,
    NotInContainers,
    NotReadable,
    NotShared,
    OtherwiseNow,
    OverrideUnusable,
    PortTaken,
    Unhealthy,
)
from codestory.containers.parent import bring_up
from codestory.containers.settings import ContainersSettings
from codestory.testing import free_port

from .conftest import SmallProject

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]
Making = Callable[..., Path]
NOT_SHARED = (
    "Mounts denied: \\nThe path /src/flask is not shared from the host and is not known to Docker.\\nYou can configure "
    "shared paths from Docker -> Preferences... -> Resources -> File Sharing."
)
#: Everything that is used is loaded before another user has to find it.
AS_NOBODY = """
import os
from codestory.containers import engine
engine.connect().close()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    engine.connect()
except engine.EngineUnavailable as error:
    print(error)
"""


def test_an_engine_that_does_not_run(
    running: SmallProject, repository: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")

    with pytest.raises(EngineUnavailable, match=r"does not answer.*systemctl start docker.*--upload"):
        running.mounting().setup_repository_mount(repository())


def test_a_socket_that_is_closed_to_whoever_asks(running: SmallProject) -> None:
    assert running
    if os.geteuid() != 0:
        pytest.skip("only root can become another user: sudo make test-compose")

    ran = subprocess.run([sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, timeout=60, check=True)

    assert "may not be asked by you" in ran.stdout
    assert "usermod -aG docker" in ran.stdout


def test_a_program_docker_that_is_not_there(
    running: SmallProject, repository: Making, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ComposeUnavailable, match=r"docs\.docker\.com/compose/install"):
        running.mounting().setup_repository_mount(repository())


def test_a_folder_that_is_not_shared_with_docker(
    running: SmallProject, repository: Making, monkeypatch: pytest.MonkeyPatch, desktop: str
) -> None:
    before, made = running.containers(), repository("unshared")
    monkeypatch.setenv("DOCKER_HOST", desktop)

    with pytest.raises(NotShared, match=r"File sharing.*--upload.*Mounts denied"):
        running.mounting().setup_repository_mount(made)

    assert str(made) not in running.override.read_text(), "no container of the project would come up any more"
    monkeypatch.delenv("DOCKER_HOST")
    assert running.containers() == before


def test_a_mount_that_is_empty_since_its_folder_was_made_anew(running: SmallProject, repository: Making) -> None:
    made = repository("anew")
    running.mounting().setup_repository_mount(made)
    shutil.rmtree(made)
    repository("anew")

    with pytest.raises(MountStale, match=r"sees nothing in it there.*made anew.*--force-recreate") as told:
        running.mounting().setup_repository_mount(made)

    subprocess.run(["sh", "-c", str(told.value).rpartition("anew: ")[2]], check=True, timeout=120)  # as it says
    assert running.mounting().is_repo_mounted(made)


def test_a_mount_that_shows_what_was_there_before(running: SmallProject, repository: Making) -> None:
    made = repository("moved")
    running.mounting().setup_repository_mount(made)
    made.rename(made.with_name("away"))
    repository("moved")

    with pytest.raises(MountStale, match=r"sees something else there.*--force-recreate"):
        running.mounting().is_repo_mounted(made)


def test_a_repository_that_the_containers_user_may_not_read(running: SmallProject, repository: Making) -> None:
    made = repository("private")
    made.chmod(0o700)

    with pytest.raises(NotReadable, match=r"may not read it.*chmod -R o\+rX .*private"):
        running.mounting().setup_repository_mount(made)

    made.chmod(0o755)
    assert running.mounting().is_repo_mounted(made)


def test_what_is_never_mounted(running: SmallProject, repository: Making) -> None:
    for path in (Path("/"), Path.home(), Path("/etc"), Path("/var/lib/docker"), repository("a:b")):
        with pytest.raises(MountRefused):
            running.mounting().setup_repository_mount(path)
    ran = running.run("ingest", "mount", "/etc")
    assert ran.returncode == 2
    assert "belongs to the system" in ran.stderr


def test_variables_that_are_not_as_when_it_was_started(
    running: SmallProject, repository: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, made = running.containers(), repository("otherwise")
    for name, value, why in (
        ("CODESTORY_PORT", str(free_port()), f"does not publish port {running.port}"),
        ("REPOSITORY_SOURCE", str(made.parent), f"mounts no {running.folder}/repositories"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(OtherwiseNow, match=rf"{why}.*\.env"):
                running.mounting().setup_repository_mount(made)
    assert running.containers() == before


def test_a_container_that_is_ill_with_the_mount(project: SmallProject, repository: Making) -> None:
    project.up()

    ran = project.run("ingest", "mount", str(repository("sick")), "--debug")

    assert ran.returncode == 4
    assert "did not come up" in ran.stderr
    assert "unhealthy" in ran.stderr
    assert f"docker compose --project-name {project.name} logs --tail 50 filesystem orchestrator" in ran.stderr
    for part in ("API 1.", "last health check: exit 1", "at /repositories/sick", "mounted by", "200 {}"):
        assert part in ran.stderr, f"the bundle has no {part}"


def test_an_orchestrator_that_was_stopped(project: SmallProject, repository: Making) -> None:
    project.up()
    project.compose("stop", "--timeout", "1", "orchestrator")

    with pytest.raises(Unhealthy, match=r"orchestrator-1 is exited.*docker compose up --detach --wait"):
        project.mounting().setup_repository_mount(repository())


def test_a_port_that_something_else_has(project: SmallProject, tmp_path: Path) -> None:
    with closing(socket()) as taken:
        taken.bind(("127.0.0.1", project.port))
        taken.listen()

        with pytest.raises(PortTaken, match=r"ss -ltnp.*CODESTORY_PORT"):
            bring_up(project.folder, _parent(tmp_path), ContainersSettings(), print)


def test_a_service_that_is_in_no_container(project: SmallProject, repository: Making) -> None:
    with closing(socket()) as service:
        service.bind(("127.0.0.1", project.port))
        service.listen()

        with pytest.raises(NotInContainers, match="No container answers at"):
            project.mounting().setup_repository_mount(repository())


@pytest.mark.parametrize("text", ["services: [", "services: {filesystem: {volumes: none}}"])
def test_an_override_that_cannot_be_read(running: SmallProject, repository: Making, text: str) -> None:
    override = running.folder / "compose.override.yml"  # goes before ours
    override.write_text(text)
    try:
        with pytest.raises(OverrideUnusable, match=r"(?s)compose\.override\.yml.*Mend|Mend.*volumes"):
            running.mounting().setup_repository_mount(repository())
        assert override.read_text() == text
    finally:
        override.unlink()


def test_a_folder_without_code_storys_compose_file(project: SmallProject, tmp_path: Path) -> None:
    with pytest.raises(OverrideUnusable, match="--compose-file"):
        bring_up(tmp_path, _parent(tmp_path), ContainersSettings(), print)
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    with pytest.raises(OverrideUnusable, match="not Code Story's"):
        bring_up(tmp_path, _parent(tmp_path), ContainersSettings(), print)
    compose = project.folder / "compose.yaml"
    written = compose.read_text().replace("  graph:\n", "  graph:\n    secrets: [key]\n")
    compose.write_text(written + "secrets: {key: {file: ./secrets/key}}\n")
    with pytest.raises(OverrideUnusable, match="make compose-up"):
        bring_up(project.folder, _parent(tmp_path), ContainersSettings(), print)


def _parent(tmp_path: Path) -> Path:
    parent = tmp_path / "parent"
    parent.mkdir(exist_ok=True)
    return parent


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[str]:
    """Docker's engine, but for one answer: containers with new mounts are refused as Docker Desktop does."""
    engine = (os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock").removeprefix("unix://")
    path = tmp_path / "docker.sock"
    listener = socket(AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=_between, args=(client, engine), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"unix://{path}"
    finally:
        listener.shutdown(SHUT_RDWR)
        listener.close()


def _between(client: socket, engine: str) -> None:
    with closing(client), closing(socket(AF_UNIX)) as server, suppress(OSError):
        server.connect(engine)
        threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()
        while sent := client.recv(65536):
            if sent.startswith(b"POST") and b"/containers/create" in sent.split(b"\r\n", 1)[0]:
                _take_whole(client, sent)  # who is answered while it still writes finds a broken pipe, and no answer
                body = f'{{"message":"{NOT_SHARED}"}}'.encode()
                head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
                client.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
                break
            server.sendall(sent)
        with suppress(OSError):
            client.shutdown(SHUT_RDWR)


def _take_whole(client: socket, request: bytes) -> None:
    while b"\r\n\r\n" not in request and (more := client.recv(65536)):
        request += more
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    left = int(length[1]) - len(body) if length else 0
    while left > 0 and (more := client.recv(left)):
        left -= len(more)


def _pass_on(source: socket, to: socket) -> None:
    with suppress(OSError):
        while got := source.recv(65536):
            to.sendall(got)
        to.shutdown(SHUT_RDWR)
