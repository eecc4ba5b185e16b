"""Each service's image: what is in it, what is not, and what it needs of the machine that runs it."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SERVICES = ("orchestrator", "blarify", "filesystem", "summarizer", "docgrapher")
pytestmark = [pytest.mark.compose, pytest.mark.timeout(1500)]

#: Run in the container, as compose.yaml runs it: what is asked of the inside, in one answer.
LOOK = """
import importlib.util, json, os, shutil, sys
def refused(path):
    try:
        open(path, "w").close()
    except OSError:
        return True
    return False
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "here": [name for name in sys.argv[1].split(",") if importlib.util.find_spec("codestory_" + name)],
    "user": os.getuid(),
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "closed": [refused("/opt/codestory/x"), refused("/etc/x")],
    "open": [not refused("/tmp/x"), not refused("/var/cache/codestory/x")],
    "tools": [tool for tool in ("gcc", "cc", "make", "uv") if shutil.which(tool)],
    "pip": importlib.util.find_spec("pip") is not None,
    "git": shutil.which("git") is not None,
}))
"""


@dataclass(frozen=True)
class Image:
    service: str

    @property
    def tag(self) -> str:
        return f"codestory/{self.service}:dev"

    def inspect(self) -> dict[str, Any]:
        return json.loads(docker("image", "inspect", self.tag).stdout)[0]

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        confined = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--network", "none")
        places = ("--tmpfs", "/tmp:mode=1777", "--volume", "/var/cache/codestory")
        return docker("run", "--rm", *confined, *places, "--entrypoint", "python", self.tag, *arguments, check=False)


def docker(*arguments: str, check: bool = True, limit: float = 180) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=limit, check=False, stdin=subprocess.DEVNULL
    )
    if check and ran.returncode:
        raise AssertionError(f"docker {' '.join(arguments)} ended with {ran.returncode}: {ran.stderr[-4000:]}")
    return ran


@pytest.fixture(scope="module")
def images() -> dict[str, Image]:
    """Made of the sources as they are now."""
    if not shutil.which("docker") or docker("version", check=False).returncode:
        pytest.skip("no Docker engine answers: start one, then `make test-compose`")
    docker("compose", "--file", str(ROOT / "compose.yaml"), "build", limit=1200)
    return {service: Image(service) for service in SERVICES}


@pytest.fixture(params=SERVICES)
def image(images: dict[str, Image], request: pytest.FixtureRequest) -> Image:
    return images[request.param]


def test_it_holds_its_own_service_alone_and_needs_no_rights(image: Image) -> None:
    ran = image.python("-c", LOOK, ",".join(SERVICES))
    assert not ran.returncode, ran.stderr
    found = json.loads(ran.stdout)

    assert found == {
        "here": [image.service],
        "user": 10001,
        "capabilities": 0,
        "closed": [True, True],
        "open": [True, True],
        "tools": [],
        "pip": False,
        "git": image.service == "orchestrator",
    }


def test_a_foreign_service_cannot_be_imported(image: Image) -> None:
    foreign = next(service for service in SERVICES if service != image.service)

    own = image.python("-c", f"import codestory_{image.service}")
    other = image.python("-c", f"import codestory_{foreign}")

    assert own.returncode == 0, own.stderr
    assert other.returncode == 1
    assert "ModuleNotFoundError" in other.stderr


def test_it_says_who_it_runs_as_how_it_is_asked_for_its_health_and_what_it_reads(image: Image) -> None:
    config = image.inspect()["Config"]

    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert "/readyz" in config["Healthcheck"]["Test"][-1]
    assert (config["Labels"] or {}).get("org.codestory.reads-repositories") == "true"
    assert not [name for name in config["Env"] if "PASSWORD" in name or "KEY" in name or "INDEX" in name]


def test_blarifys_environment_is_in_its_image_alone(images: dict[str, Image]) -> None:
    there = images["blarify"].python(
        "-c",
        "import subprocess; subprocess.run(['/opt/codestory/blarify/bin/python', '-c', 'import blarify'], check=True)",
    )
    elsewhere = images["filesystem"].python("-c", "import blarify")

    assert there.returncode == 0, there.stderr
    assert elsewhere.returncode == 1
