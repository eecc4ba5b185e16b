"""Servers of tests in containers. What runs as a process otherwise has the same verbs here."""

import os
from pathlib import Path

import docker.errors
from testcontainers.core.container import DockerContainer

#: As compose.yaml has them.
NATS_IMAGE = os.environ.get("CODESTORY_TEST_NATS_IMAGE") or "nats:2.15-alpine"
NEO4J_IMAGE = os.environ.get("CODESTORY_TEST_NEO4J_IMAGE") or "neo4j:5.26-community"
CONFIG, USERS = "/etc/codestory/nats.conf", "/etc/codestory/users.conf"
NATS_PORT, BOLT_PORT = 4222, 7687
#: What the engine answers to a kill then.
NOT_RUNNING = 409


class NatsContainer:
    """A nats-server at a port of this machine, the same one after each start. Its data lies in the container."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._container: DockerContainer | None = None
        self._logged = ""
        #: Where the containers' ports are reached: another machine where the engine runs on one.
        self.host = "127.0.0.1"

    def start(self, sync: str, users: Path | None) -> None:
        """Again, with what was stored, after `kill`."""
        if self._container:
            self._copy(users)
            self._container.get_wrapped_container().start()
            return
        include = f'include "./{Path(USERS).name}"\n' if users else ""
        config = f'listen: 0.0.0.0:{NATS_PORT}\njetstream {{ store_dir: "/data"{sync} }}\n{include}'
        container = DockerContainer(NATS_IMAGE).with_bind_ports(NATS_PORT, self._port)
        container.with_command(["nats-server", "-c", CONFIG]).with_copy_into_container(config.encode(), CONFIG)
        if users:
            container.with_copy_into_container(users.read_bytes(), USERS)
        self._container = container
        try:
            container.start()
        except BaseException:
            self.close()
            raise
        self.host = container.get_container_host_ip()

    def reload(self, users: Path | None) -> None:
        self._copy(users)
        assert self._container, "it has not been started"
        self._container.get_wrapped_container().kill("SIGHUP")

    def log(self) -> str:
        now = self._container.get_wrapped_container().logs() if self._container else b""
        return self._logged + now.decode(errors="replace")

    def kill(self) -> None:
        """Without an answer, as a process is killed. Done twice it is done once."""
        if not self._container:
            return
        try:
            self._container.get_wrapped_container().kill()
        except docker.errors.APIError as error:
            if error.status_code != NOT_RUNNING:
                raise
        self._container.wait()

    def wipe(self) -> None:
        self._logged = self.log()
        self.close()

    def close(self) -> None:
        if self._container:
            self._container.stop()
            self._container = None

    def _copy(self, users: Path | None) -> None:
        if users and self._container:
            self._container.copy_into_container(users.read_bytes(), USERS)


class Neo4jContainer:
    """A Neo4j with a password. It answers some seconds after it was started: poll its port."""

    def __init__(self, password: str, heap: str = "512m") -> None:
        self._container = DockerContainer(NEO4J_IMAGE).with_exposed_ports(BOLT_PORT)
        self._container.with_env("NEO4J_AUTH", f"neo4j/{password}")
        self._container.with_env("NEO4J_server_memory_heap_max__size", heap)

    def __enter__(self) -> str:
        """Its address."""
        try:
            self._container.start()
        except BaseException:
            self._container.stop()
            raise
        return f"bolt://{self._container.get_container_host_ip()}:{self._container.get_exposed_port(BOLT_PORT)}"

    def __exit__(self, *_: object) -> None:
        self._container.stop()
