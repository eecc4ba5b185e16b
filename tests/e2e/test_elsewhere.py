"""A folder, an upload of it and its git address: one and the same graph, on the embedded stack."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codestory.testing import EmbeddedStack
from codestory.testing_git import HOST, GitServer, git

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not here: apt-get install git"),
]

FILES = {
    "src/shop.py": "def price(item):\n    return tax(item) + 3\n\n\ndef tax(item):\n    return 1\n",
    "docs/index.md": "# The shop\n\n`price` in `src/shop.py` says what things cost.\n",
    "ignored.log": "of no interest\n",
    ".gitignore": "*.log\n.gitignore\n",
}
#: Exit codes: without gaps, with some.
DONE = (0, 3)
STEPS = "blarify,filesystem,documentation_grapher"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    directory = tmp_path_factory.mktemp("stack")
    stack = EmbeddedStack(
        directory,
        CODESTORY_SNAPSHOT_CACHE=str(directory / "unpacked"),
        CODESTORY_GIT_PRIVATE_HOSTS=f'["{HOST}"]',
        CODESTORY_LOCAL_START_SECONDS="160",
    )
    yield stack
    stack.stop()


def ingest(stack: EmbeddedStack, *arguments: str) -> tuple[dict[str, Any], str]:
    """The job, and the digest of what it left."""
    ran = stack.run("ingest", "start", *arguments, "--steps", STEPS, "--wait", "--json")
    assert ran.returncode in DONE, ran.stderr
    job = json.loads(ran.stdout)
    assert job["state"] == "COMPLETED", job
    return job, stack.run("graph", "digest", job["repository"]["name"]).stdout.split()[-1]


def test_a_folder_its_upload_and_its_git_address_leave_the_same_graph(stack: EmbeddedStack, server: GitServer) -> None:
    work = server.repository("org/shop", FILES)
    (work / "src" / "link").symlink_to("shop.py")
    (work / "src" / "out").symlink_to("/etc/hostname")
    (work / "big.bin").write_bytes(bytes(11_000_000))
    server.commit("org/shop", {"src/more.py": "from shop import price\n"})
    git(work, "remote", "add", "origin", f"{server.url}/org/shop")

    stack.start()
    folder, first = ingest(stack, str(work))
    upload, second = ingest(stack, str(work), "--upload")
    again, third = ingest(stack, str(work), "--upload", "--update")
    address, fourth = ingest(stack, f"{server.url}/org/shop")

    assert first == second == third == fourth
    assert {job["repository"]["id"] for job in (folder, upload, again, address)} == {folder["repository"]["id"]}
    assert address["source"]["commit"] == git(work, "rev-parse", "HEAD")
    assert _said_of_files(folder) == _said_of_files(upload) == _said_of_files(address)


def _said_of_files(job: dict[str, Any]) -> Any:
    [step] = [step for step in job["steps"] if step["name"] == "filesystem"]
    return step["outcome"]["gaps"]


def test_the_graph_holds_nothing_of_where_a_snapshot_was_unpacked(stack: EmbeddedStack, tmp_path: Path) -> None:
    folder = tmp_path / "alone"
    folder.mkdir()
    (folder / "a.py").write_text("A = 1\n")

    ingest(stack, str(folder), "--upload")

    found = stack.run("graph", "query", "alone", "MATCH (n {repo: $repo}) RETURN properties(n)", "--json")
    assert found.returncode == 0, found.stderr
    assert "a.py" in found.stdout
    assert "unpacked" not in found.stdout
    assert "snapshot" not in found.stdout
