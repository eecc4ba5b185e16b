"""The whole system in a Kubernetes cluster, brought up once for all of these tests, and used from this host."""

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from codestory.client import AsyncClient
from codestory.contracts.api import JobView, StepView
from codestory.testing import executable, free_port, wait_until

ROOT = Path(__file__).parents[3]
K8S = ROOT / "k8s"
STEPS = ("blarify", "filesystem", "summarizer", "documentation-grapher")
#: Image of each service, as `docker compose build` names it.
IMAGES = ("orchestrator", "blarify", "filesystem", "summarizer", "docgrapher")
PUBLIC_IMAGES = ("nats:2.15-alpine", "neo4j:5.26-community", "python:3.13-slim")
#: Where a script is that loads images into the cluster: read before the tests forget CODESTORY_*.
TOOLS = Path(os.environ.get("CODESTORY_TOOLS") or ROOT.parent / "shared" / "tools")
#: The command that does, the images after it: `kind load docker-image`, `minikube image load`.
LOAD = os.environ.get("CODESTORY_TEST_CLUSTER_LOAD") or f"{TOOLS / 'cluster.sh'} load"
#: The tag of images that are there already, instead of those of the sources as they are now.
GIVEN = os.environ.get("CODESTORY_TEST_CLUSTER_TAG")
UP_SECONDS = 420
SEE_SECONDS = 60
#: Commands go to another worker after a few seconds of silence; transactions are small, many of them.
QUICK = {
    "CODESTORY_ACK_WAIT_SECONDS": "4",
    "CODESTORY_PRESENCE_SECONDS": "6",
    "CODESTORY_PROGRESS_SECONDS": "0.2",
    "CODESTORY_GRAPH_BATCH_ROWS": "25",
}
#: As k8s/README.md says for another namespace: whom KEDA asks, the last of its components having the word.
ASKED = {
    "keda": ("nats-headless", "spec.triggers.*.metadata.natsServerMonitoringEndpoint"),
    "keda-metrics-api": ("orchestrator", "spec.triggers.*.metadata.url"),
}
#: In every pod of the stack, and nothing else: whoever wishes to look from inside has Python there.
CONNECTS = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 4)"


def run(
    *command: str, limit: float = SEE_SECONDS, check: bool = True, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CODESTORY_")}
    ran = subprocess.run(
        command,
        env={**outside, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit,
        check=False,
    )
    if check and ran.returncode:
        raise AssertionError(f"{shlex.join(command)} ended with {ran.returncode}: {ran.stderr[-4000:]}")
    return ran


class Cluster:
    """`kubectl`, in one namespace."""

    def __init__(self, program: str, namespace: str) -> None:
        self.program, self.namespace = program, namespace

    def __call__(
        self, *arguments: str, limit: float = SEE_SECONDS, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return run(self.program, "--namespace", self.namespace, *arguments, limit=limit, check=check, stdin=stdin)

    def get(self, *arguments: str) -> Any:
        return json.loads(self("get", *arguments, "--output", "json").stdout)

    def build(self, overlay: Path) -> str:
        return run(self.program, "kustomize", str(overlay)).stdout

    def pods(self, app: str) -> list[dict[str, Any]]:
        """Those that are not on their way out."""
        pods = self.get("pods", "--selector", f"app={app}")["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def delete(self) -> None:
        """The namespace. Its controller would wait for half of the longest grace: nothing here needs any."""
        self("delete", "deployments,statefulsets,pods", "--all", "--grace-period=1", "--wait=false", check=False)
        self("delete", "namespace", self.namespace, "--ignore-not-found", limit=300, check=False)

    def connects(self, pod: str, host: str, port: int) -> bool:
        """From within a pod that has Python."""
        return self("exec", pod, "--", "python", "-c", CONNECTS, host, str(port), check=False).returncode == 0


class Forwarded:
    """A port of this host that leads to a service in the cluster, whichever pod stands behind it just now."""

    def __init__(self, cluster: Cluster, service: str, port: int) -> None:
        self.port = free_port()
        self._command = [cluster.program, "-n", cluster.namespace, "port-forward", f"service/{service}"]
        self._command.append(f"{self.port}:{port}")
        self._closed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def _go_on(self) -> None:
        """A pod that goes takes the connection with it: then to the next one."""
        while not self._closed.wait(0.3):
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if self._closed.is_set():
                self._process.kill()
            self._process.wait()

    def close(self) -> None:
        self._closed.set()
        if self._process:
            with suppress(OSError):
                self._process.kill()
        self._thread.join(10)


class ClusterStack:
    """The overlay of these tests in a namespace of its own: three servers of the bus, policies, small requests."""

    def __init__(self, folder: Path, kubectl: Cluster, tag: str) -> None:
        self.folder, self.kubectl, self.tag = folder, kubectl, tag
        self.secrets = folder / "secrets"
        self.viewer_key = ""
        self._ports: list[Forwarded] = []
        self._environment: dict[str, str] = {}

    def up(self) -> None:
        """Every pod ready when this returns."""
        self.kubectl("create", "namespace", self.kubectl.namespace)
        self.viewer_key = self._key_of_a_viewer()
        made = run(
            str(K8S / "make-secrets"),
            str(self.secrets),
            CODESTORY=executable("codestory"),
            PYTHON=sys.executable,
        )
        self.kubectl("apply", "--filename", "-", stdin=made.stdout)
        self.apply(self.overlay("stack"))
        self.ready("statefulset/nats", "statefulset/neo4j", *(f"deployment/{d}" for d in ("orchestrator", *STEPS)))
        api, bolt = (Forwarded(self.kubectl, *it) for it in (("orchestrator", 8420), ("neo4j", 7687)))
        self._ports = [api, bolt]
        self._environment = {
            "CODESTORY_STATE_DIR": str(self.folder / "state"),
            "CODESTORY_URL": self.url,
            "CODESTORY_API_KEY_FILE": str(self.secrets / "api_key"),
            "CODESTORY_NEO4J_URI": f"bolt://127.0.0.1:{bolt.port}",
            "CODESTORY_NEO4J_PASSWORD_FILE": str(self.secrets / "neo4j_password"),
        }

    def _key_of_a_viewer(self) -> str:
        """For a scaler, as k8s/README.md says. A key that is made later is known to the pods minutes later."""
        self.secrets.mkdir(mode=0o700)
        keys = ("--file", str(self.secrets / "api_keys.json"), "--owner", "keda", "--role", "viewer")
        return json.loads(run(executable("codestory"), "auth", "keys", "create", *keys, "--json").stdout)["key"]

    def down(self) -> None:
        for port in self._ports:
            port.close()
        self.kubectl.delete()

    def overlay(self, name: str, *components: str) -> Path:
        """A folder for kustomize: what these tests run, and the components besides."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)

        def there(path: Path) -> str:
            return os.path.relpath(path, folder)

        chosen = ("small", "nats-cluster", "network-policies", "disruption-budgets", *components)
        kustomization: dict[str, Any] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.kubectl.namespace,
            "resources": [there(K8S / "base")],
            "components": [there(K8S / "components" / component) for component in chosen],
            "configMapGenerator": [
                {
                    "name": "codestory",
                    "behavior": "merge",
                    "literals": [f"{k}={v}" for k, v in QUICK.items()],
                    "options": {"disableNameSuffixHash": True},
                }
            ],
            "images": [{"name": f"codestory/{image}", "newTag": self.tag} for image in IMAGES],
        }
        if scalers := [ASKED[component] for component in components if component in ASKED]:
            service, path = scalers[-1]
            kustomization["replacements"] = [
                {
                    "source": {"kind": "Service", "name": service, "fieldPath": "metadata.namespace"},
                    "targets": [
                        {
                            "select": {"kind": "ScaledObject"},
                            "fieldPaths": [path],
                            "options": {"delimiter": ".", "index": 1},
                        }
                    ],
                }
            ]
        (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
        return folder

    def apply(self, overlay: Path) -> subprocess.CompletedProcess[str]:
        return self.kubectl("apply", "--filename", "-", stdin=self.kubectl.build(overlay))

    def ready(self, *what: str) -> None:
        try:
            for one in what:
                self.kubectl("rollout", "status", one, f"--timeout={UP_SECONDS}s", limit=UP_SECONDS + 30)
        except AssertionError as error:
            pods = self.kubectl("get", "pods", "--output", "wide", check=False).stdout
            events = self.kubectl("get", "events", "--field-selector", "type=Warning", check=False).stdout
            raise AssertionError(f"{error}\n{pods}\n{events[-4000:]}") from error

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports[0].port}"

    def run(self, *arguments: str, limit: float = 400) -> subprocess.CompletedProcess[str]:
        """One `codestory` command on this host."""
        return run(executable("codestory"), *arguments, limit=limit, check=False, **self._environment)

    def answer(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
        """What a command that must succeed says with `--json`."""
        ran = self.run(*arguments, "--json")
        if ran.returncode not in codes:
            raise AssertionError(f"codestory {' '.join(arguments)} ended with {ran.returncode}: {ran.stderr[-4000:]}")
        return json.loads(ran.stdout)

    def start(self, repository: Path, *arguments: str) -> str:
        """A job on an upload of the folder, by its id. It goes on by itself."""
        return self.answer("ingest", "start", str(repository), "--upload", "--detach", *arguments)["id"]

    def digest(self, repository: str) -> str:
        return self.answer("graph", "digest", repository)["digest"]

    def client(self) -> AsyncClient:
        return AsyncClient(self.url, api_key=(self.secrets / "api_key").read_text().strip())

    async def step(self, client: AsyncClient, job: str, name: str) -> StepView:
        return next(step for step in (await client.get(job)).steps if step.name == name)

    async def writing(self, client: AsyncClient, job: str, name: str, limit: float = 240) -> StepView:
        """The step once it has said that it has done something."""

        async def at_work() -> bool:
            step = await self.step(client, job, name)
            return step.state == "RUNNING" and bool(step.progress and step.progress.done)

        await wait_until(at_work, f"{name} of {job} is at work", limit)
        return await self.step(client, job, name)

    async def ended(self, client: AsyncClient, job: str, limit: float = 400) -> JobView:
        async def there() -> bool:
            return (await client.get(job)).state.ended

        await wait_until(there, f"{job} ended", limit)
        return await client.get(job)


@pytest.fixture(scope="session")
def kubectl() -> str:
    """The program, and a cluster that answers it."""
    program = os.environ.get("KUBECTL") or shutil.which("kubectl")
    how = f"KUBECONFIG=FILE make test-cluster, or first {TOOLS / 'cluster.sh'} up"
    if not os.environ.get("KUBECONFIG") or not program:
        pytest.skip(f"no cluster: KUBECONFIG and kubectl (or KUBECTL) say which, and how to ask it. {how}")
    if run(program, "get", "--raw", "/readyz", check=False).returncode:
        pytest.skip(f"the cluster of KUBECONFIG does not answer. {how}")
    return program


@pytest.fixture(scope="session")
def image_tag(kubectl: str) -> Iterator[str]:
    """That of our images, which are in the cluster then. Where nothing of them is cached, their build takes minutes."""
    assert kubectl
    if not shutil.which("docker") or run("docker", "version", check=False).returncode:
        pytest.skip("no Docker engine answers, to build the images with: start one, then `make test-cluster`")
    if not shutil.which(shlex.split(LOAD)[0]):
        pytest.skip(f"nothing loads images into the cluster: CODESTORY_TEST_CLUSTER_LOAD=COMMAND ({LOAD} is not there)")
    tag = GIVEN or f"test-{secrets.token_hex(4)}"
    images = [f"codestory/{image}:{tag}" for image in IMAGES]
    try:
        if not GIVEN:
            run("docker", "compose", "--file", str(ROOT / "compose.yaml"), "build", limit=1200, CODESTORY_VERSION=tag)
        run(*shlex.split(LOAD), *images, *PUBLIC_IMAGES, limit=600)
        yield tag
    finally:
        if not GIVEN:
            run("docker", "image", "rm", "--force", *images, check=False)


@pytest.fixture(scope="session")
def cluster_stack(kubectl: str, image_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterStack]:
    """Everything ready. Tests have repositories of their own in it, and leave every service running."""
    namespace = f"codestory-test-{secrets.token_hex(4)}"
    stack = ClusterStack(tmp_path_factory.mktemp("cluster"), Cluster(kubectl, namespace), image_tag)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture
def second_image(cluster_stack: ClusterStack) -> Iterator[Callable[[str], str]]:
    """Makes a later image of a service, in the cluster too, and says what it is called."""
    made: list[str] = []

    def make(image: str) -> str:
        first = f"codestory/{image}:{cluster_stack.tag}"
        made.append(f"{first}-later")
        dockerfile = f"FROM {first}\nENV CODESTORY_LATER=yes\n"
        run("docker", "build", "--tag", made[-1], "-", stdin=dockerfile, limit=300)
        run(*shlex.split(LOAD), made[-1], limit=300)
        return made[-1]

    yield make
    run("docker", "image", "rm", "--force", *made, check=False)
