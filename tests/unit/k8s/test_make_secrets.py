"""The script that makes the Secrets: all that the pods ask for, and the same again when it is run again."""

import base64
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from codestory.testing import executable

Base = dict[tuple[str, str], dict[str, Any]]

K8S = Path(__file__).parents[3] / "k8s"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets") / "made"


def made(folder: Path) -> dict[str, dict[str, str]]:
    """What each Secret holds."""
    ran = subprocess.run(
        [K8S / "make-secrets", folder],
        env={"PATH": "/usr/bin:/bin", "CODESTORY": executable("codestory"), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    secrets = list(yaml.safe_load_all(ran.stdout))
    assert {(it["apiVersion"], it["kind"]) for it in secrets} == {("v1", "Secret")}
    return {it["metadata"]["name"]: {k: base64.b64decode(v).decode() for k, v in it["data"].items()} for it in secrets}


def asked_for(documents: list[dict[str, Any]]) -> set[str]:
    """Secrets that a pod cannot start without."""
    found: set[str] = set()
    for it in documents:
        pod = it.get("spec", {}).get("template", {}).get("spec", {})
        for volume in pod.get("volumes", []):
            found |= {volume["secret"]["secretName"]} if "secret" in volume else set()
            found |= {s["secret"]["name"] for s in volume.get("projected", {}).get("sources", []) if "secret" in s}
        for container in pod.get("containers", []):
            references = [env.get("valueFrom", {}).get("secretKeyRef") for env in container.get("env", [])]
            found |= {reference["name"] for reference in references if reference}
    return found


def test_it_makes_what_the_pods_ask_for_and_nothing_else(base: Base, folder: Path) -> None:
    cluster = list(yaml.safe_load_all((K8S / "components" / "nats-cluster" / "nats.yaml").read_text()))

    assert set(made(folder)) == asked_for([*base.values(), *cluster])


def test_run_again_it_changes_nothing(folder: Path) -> None:
    assert made(folder) == made(folder)


def test_nobody_else_may_read_what_it_keeps(folder: Path) -> None:
    made(folder)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "api_key").read_text().strip().startswith("csk_")


def test_a_password_goes_into_an_address_as_it_is(folder: Path) -> None:
    secrets = made(folder)

    assert secrets["nats-routes"]["password"].isalnum()
    assert secrets["neo4j"]["password"].isalnum()


def test_a_step_that_is_added_gets_a_secret_and_the_others_keep_theirs(folder: Path) -> None:
    before = made(folder)
    add = [executable("codestory"), "auth", "nats", "add-step", "word_count", "--dir", folder / "nats"]
    subprocess.run(add, check=True, capture_output=True, timeout=60)

    after = made(folder)

    assert set(after) - set(before) == {"nats-step-word-count"}
    assert {name for name in before if before[name] != after[name]} == {"nats-auth"}
