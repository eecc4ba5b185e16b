"""The whole system in containers, brought up once for all of these tests, and used from this host as a user does."""

import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codestory.client import AsyncClient
from codestory.contracts.api import JobView, StepView
from codestory.testing import executable, free_port, wait_until
from codestory.testing_models import ModelServer, Rules

ROOT = Path(__file__).parents[3]
STEPS = ("blarify", "filesystem", "summarizer", "documentation_grapher")
IMAGES = ("orchestrator", "blarify", "filesystem", "summarizer", "docgrapher")
#: What compose.yaml reads beside itself.
FILES = ("compose.yaml", "pipeline_config.yml", "services/nats.conf")
#: Commands go to another worker after five seconds of silence; transactions are small, many of them.
QUICK = {
    "CODESTORY_ACK_WAIT_SECONDS": "5",
    "CODESTORY_PRESENCE_SECONDS": "6",
    "CODESTORY_SLOTS": "1",
    "CODESTORY_PROGRESS_SECONDS": "0.1",
    "CODESTORY_GRAPH_BATCH_ROWS": "25",
    "CODESTORY_DRAIN_SECONDS": "1",
}
UP_SECONDS = 480
SEE_SECONDS = 120
#: For a job, on a machine with other things to do.
JOB_SECONDS = 600


class ComposeStack:
    """A Compose project of its own: name, ports, tags of the images, a folder with compose.yaml, .env and secrets.

    Repositories lie below `repositories` on this host, and below /repositories in the containers. What `.env` says is
    read by every `docker compose` in the folder, whoever runs it; so is a compose.override.yaml."""

    def __init__(self, folder: Path, models: ModelServer | None = None, **settings: str) -> None:
        self.project = f"codestory-test-{secrets.token_hex(4)}"
        self.folder, self.repositories = folder, folder / "repositories"
        self.port, self.neo4j_port = free_port(), free_port()
        self.tag = self.project
        self.key_file = folder / "secrets" / "api_key"
        self._settings = {**QUICK, **settings}
        self._models = models
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("CODESTORY_", "COMPOSE_"))}
        self._outside = outside
        #: For `codestory` and the SDK on this host.
        self.environment = {
            **outside,
            "CODESTORY_STATE_DIR": str(folder / "state"),
            "CODESTORY_URL": self.url,
            "CODESTORY_API_KEY_FILE": str(self.key_file),
            "CODESTORY_NEO4J_URI": f"bolt://127.0.0.1:{self.neo4j_port}",
            "CODESTORY_NEO4J_PASSWORD_FILE": str(folder / "secrets" / "neo4j_password"),
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return self.key_file.read_text().strip()

    def up(self, *arguments: str) -> None:
        """Healthy when this returns. The images must be there."""
        self._prepare()
        try:
            self.compose("up", "--detach", "--wait", "--no-build", *arguments, limit=UP_SECONDS)
        except AssertionError as error:
            state = self.compose("ps", "--all", check=False)
            log = self.compose("logs", "--tail", "30", check=False)
            raise AssertionError(f"{error}\n{state.stdout}\n{log.stdout[-8000:]}") from error

    def down(self) -> None:
        """Nothing of it is left on this host but its folder."""
        self.compose("down", "--volumes", "--remove-orphans", limit=UP_SECONDS, check=False)
        tags = [f"codestory/{image}:{self.tag}" for image in IMAGES]
        docker("image", "rm", "--force", *tags, check=False)

    def compose(
        self, *arguments: str, limit: float = SEE_SECONDS, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """`docker compose` in the stack's folder."""
        return docker("compose", *arguments, cwd=self.folder, env=self._outside, limit=limit, check=check)

    def containers(self, service: str) -> list[str]:
        """Ids of those that run."""
        return self.compose("ps", "--quiet", service).stdout.split()

    def docker(self, *arguments: str, limit: float = SEE_SECONDS) -> subprocess.CompletedProcess[str]:
        return docker(*arguments, limit=limit)

    def inspect(self, container: str) -> dict[str, Any]:
        return json.loads(self.docker("inspect", container).stdout)[0]

    def run(self, *arguments: str, limit: float = JOB_SECONDS, **environment: str) -> subprocess.CompletedProcess[str]:
        """One `codestory` command on this host, away from any pipeline_config.yml but its own."""
        here = self.folder / "host"
        here.mkdir(exist_ok=True)
        return subprocess.run(
            [executable("codestory"), *arguments],
            cwd=here,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def answer(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
        """What a command that must succeed says with `--json`."""
        ran = self.run(*arguments, "--json")
        if ran.returncode not in codes:
            raise AssertionError(f"codestory {' '.join(arguments)} ended with {ran.returncode}: {ran.stderr[-4000:]}")
        return json.loads(ran.stdout)

    def digest(self, repository: str) -> str:
        return self.answer("graph", "digest", repository)["digest"]

    def inside(self, repository: str) -> str:
        """Where the containers see a folder of `repositories`."""
        return f"/repositories/{repository}"

    def client(self) -> AsyncClient:
        return AsyncClient(self.url, api_key=self.key)

    async def step(self, client: AsyncClient, job: str, name: str) -> StepView:
        return next(step for step in (await client.get(job)).steps if step.name == name)

    async def running(self, client: AsyncClient, job: str, name: str, limit: float = JOB_SECONDS) -> StepView:
        """The step once it is at work: it has said how far it is."""

        async def at_work() -> bool:
            step = await self.step(client, job, name)
            return step.state == "RUNNING" and step.progress is not None

        await wait_until(at_work, f"{name} of {job} is at work", limit)
        return await self.step(client, job, name)

    async def ended(self, client: AsyncClient, job: str, limit: float = JOB_SECONDS) -> JobView:
        async def there() -> bool:
            return (await client.get(job)).state.ended

        await wait_until(there, f"{job} ended", limit)
        return await client.get(job)

    def _prepare(self) -> None:
        for file in FILES:
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, self.folder / file)
        for image in IMAGES:
            docker("tag", f"codestory/{image}:dev", f"codestory/{image}:{self.tag}")
        (self.folder / ".env").write_text(
            f"COMPOSE_PROJECT_NAME={self.project}\nCOMPOSE_FILE=compose.yaml:compose.test.yaml:compose.override.yaml\n"
            f"CODESTORY_VERSION={self.tag}\nCODESTORY_PORT={self.port}\nNEO4J_PORT={self.neo4j_port}\n"
            f"CODESTORY_SECRETS={self.folder}/secrets\nREPOSITORY_SOURCE={self.repositories}\nNEO4J_HEAP=384m\n"
            + (self._model() if self._models else "")
        )
        services = {name: {"environment": self._settings} for name in ("orchestrator", *STEPS)}
        (self.folder / "compose.test.yaml").write_text(json.dumps({"services": services}))
        override = self.folder / "compose.override.yaml"  # named in COMPOSE_FILE, so that it must be there
        if not override.exists():
            override.write_text("services: {}\n")
        made = {"CODESTORY_SECRETS": str(self.folder / "secrets"), "REPOSITORY_SOURCE": str(self.repositories)}
        subprocess.run(
            [ROOT / ".ci" / "compose-secrets"],
            env={**self._outside, **made},
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=SEE_SECONDS,
        )
        if self._models:
            key = self.folder / "secrets" / "model_api_key"
            key.chmod(0o600)
            key.write_text(self._models.rules.key)
            key.chmod(0o444)

    def _model(self) -> str:
        assert self._models
        port = self._models.url.rpartition(":")[2]
        return (
            f"CODESTORY_OPENAI_URL=http://host.docker.internal:{port}/v1\nCODESTORY_OPENAI_MODEL=small\n"
            "CODESTORY_LLM_ALLOW_HTTP=true\n"
        )


def docker(
    *arguments: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    limit: float = SEE_SECONDS,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        ["docker", *arguments],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit,
        check=False,
    )
    if check and ran.returncode:
        raise AssertionError(f"docker {' '.join(arguments)} ended with {ran.returncode}: {ran.stderr[-4000:]}")
    return ran


@pytest.fixture(scope="session")
def images() -> tuple[str, ...]:
    """codestory/<service>:dev, made of the sources as they are now."""
    if not shutil.which("docker") or docker("version", check=False).returncode:
        pytest.skip("no Docker engine answers: start one, then `make test-compose`")
    if docker("compose", "version", check=False).returncode:
        pytest.skip("Docker has no Compose: install its plugin, then `make test-compose`")
    docker("compose", "--file", str(ROOT / "compose.yaml"), "build", cwd=ROOT, limit=1200)
    return tuple(f"codestory/{image}:dev" for image in IMAGES)


@pytest.fixture(scope="session")
def reachable_models() -> Iterator[ModelServer]:
    """A model's endpoint on this host, for containers to reach."""
    with ModelServer(Rules(latency=0.05), host=gateway()) as server:
        yield server


def gateway() -> str:
    """Where containers find this host: the bridge's address, or with Docker Desktop this host's own loopback."""
    shown = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").stdout.strip()
    with socket.socket() as probe:
        try:
            probe.bind((shown, 0))
        except OSError:
            return "127.0.0.1"
    return shown


@pytest.fixture(scope="session")
def compose_stack(
    tmp_path_factory: pytest.TempPathFactory, images: tuple[str, ...], reachable_models: ModelServer
) -> Iterator[ComposeStack]:
    """All services, healthy. Tests have repositories of their own in it, and leave every service running."""
    assert images
    stack = ComposeStack(tmp_path_factory.mktemp("compose"), reachable_models)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
