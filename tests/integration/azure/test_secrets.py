"""azure/set-secrets fills a vault with what the templates ask it for; the bus for trying things out runs on it.

The Azure CLI is a program of a few lines here, which keeps what it is given in a folder."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nats
import pytest

from codestory.nats_users.permissions import inbox_prefix
from codestory.testing import executable, free_port, wait_until

pytestmark = pytest.mark.long

AZURE = Path(__file__).parents[3] / "azure"
#: A secret of a Key Vault, in bytes.
LARGEST = 25_000
AZ = """\
#!/bin/sh
[ "$*" = "keyvault secret set --vault-name vault --name $7 --file $9 --encoding utf-8 --output none" ] || exit 2
cp "$9" "$VAULT/$7"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` has the Azure CLI, `vault` what it was given, `secrets` is the user's own folder."""
    place = tmp_path_factory.mktemp("azure")
    for name in ("bin", "vault", "secrets"):
        (place / name).mkdir()
    (place / "bin" / "az").write_text(AZ)
    (place / "bin" / "az").chmod(0o755)
    (place / "secrets" / "neo4j_password").write_text("a long password\n")
    (place / "secrets" / "nats-ca.pem").write_text("who has signed the bus's certificate\n")
    (place / "secrets" / "otlp_headers").write_text("authorization=Bearer%20KEY\n")
    return place


def fill(place: Path, *given: str) -> subprocess.CompletedProcess[str]:
    codestory = Path(executable("codestory")).parent
    return subprocess.run(
        [AZURE / "set-secrets", *(given or ("vault", place / "secrets"))],
        env={
            "PATH": f"{place / 'bin'}:{codestory}:{os.environ['PATH']}",
            "VAULT": str(place / "vault"),
            "HOME": str(place),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def vault(place: Path) -> dict[str, bytes]:
    done = fill(place)
    assert done.returncode == 0, done.stderr
    return {file.name: file.read_bytes() for file in (place / "vault").iterdir()}


def test_every_secret_that_a_template_asks_for_is_there(vault: dict[str, bytes]) -> None:
    templates = "".join(file.read_text() for file in AZURE.rglob("*.bicep"))
    asked = set(re.findall(r"secret: '([a-z0-9-]+)'|}secrets/([a-z0-9-]+)'", templates))
    names = {one or other for one, other in asked}
    steps = {"blarify", "filesystem", "summarizer", "documentation-grapher"}

    assert names | {f"nats-step-{step}" for step in steps} == set(vault)
    assert all(0 < len(content) < LARGEST for content in vault.values())
    assert vault["neo4j-password"] == b"a long password"


def test_the_scaler_has_a_key_that_may_look_only(place: Path, vault: dict[str, bytes]) -> None:
    keys = json.loads(vault["api-keys"])["keys"]

    assert sorted(key["role"] for key in keys) == ["admin", "viewer"]
    assert re.fullmatch(rb"csk_\S+", vault["scaler-key"])  # no line's end: it goes into a header as it is
    assert (place / "secrets" / "api_key").read_bytes() != vault["scaler-key"]


def test_again_it_changes_nothing(place: Path, vault: dict[str, bytes]) -> None:
    done = fill(place)

    assert done.returncode == 0, done.stderr
    assert {file.name: file.read_bytes() for file in (place / "vault").iterdir()} == vault
    assert {file.name for file in (place / "secrets").iterdir()} == {
        *("api_key", "api_keys.json", "nats", "nats-ca.pem", "neo4j_password", "otlp_headers", "scaler_key"),
        *(file.name for file in (place / "secrets").iterdir() if file.name.endswith(".lock")),
    }


def test_without_the_graphs_password_it_says_what_to_do(place: Path, tmp_path: Path) -> None:
    done = fill(place, "vault", str(tmp_path))

    assert done.returncode == 1
    assert "write the password of the graph into it" in done.stderr
    assert fill(place, "vault").returncode == 2


@pytest.fixture
def bus(vault: dict[str, bytes], tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Started by the template's own words, its folders and ports moved: its port, and that of its monitoring."""
    template = (AZURE / "modules" / "nats-dev.bicep").read_text()
    [start] = re.findall(r"^var start = '(.+)'$", template, re.MULTILINE)
    config = (AZURE.parent / "services" / "nats.conf").read_text()
    client, monitor = free_port(), free_port()
    for folder in ("tmp", "data", "secrets"):
        (tmp_path / folder).mkdir()
        start = start.replace(f"/{folder}/", f"{tmp_path}/{folder}/")
        config = config.replace(f" /{folder}", f" {tmp_path}/{folder}")
    config = config.replace("0.0.0.0:4222", f"127.0.0.1:{client}").replace("0.0.0.0:8222", f"127.0.0.1:{monitor}")
    (tmp_path / "secrets" / "nats-auth").write_bytes(vault["nats-auth"])
    servers = Path(executable("nats-server")).parent
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [shutil.which("sh") or "sh", "-c", start],
                env={"PATH": f"{servers}:{os.environ['PATH']}", "NATS_CONFIG": config},
                stderr=stack.enter_context((tmp_path / "log").open("wb")),
            )
        )
        stack.callback(process.send_signal, signal.SIGTERM)
        yield client, monitor


def greeting(port: int) -> dict[str, Any]:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one, one.makefile("rb") as lines:
        return json.loads(lines.readline().removeprefix(b"INFO "))


def _listens(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


async def test_the_bus_for_trying_out_runs_on_what_is_in_the_vault(
    bus: tuple[int, int], vault: dict[str, bytes], tmp_path: Path
) -> None:
    async def answers() -> bool:
        return all(map(_listens, bus))

    await wait_until(answers, "the bus answers", limit=30)
    seed = tmp_path / "seed"
    seed.write_bytes(vault["nats-orchestrator"])
    url = f"nats://127.0.0.1:{bus[0]}"

    client = await nats.connect(url, nkeys_seed=str(seed), inbox_prefix=inbox_prefix("orchestrator").encode())
    account = await client.jetstream().account_info()
    await client.close()

    assert account.streams == 0
    assert greeting(bus[0])["auth_required"]
