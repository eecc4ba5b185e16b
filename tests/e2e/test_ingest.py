"""The main job as a user does it, on the embedded stack: what ends up in the graph, and what is refused."""

import os
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codestory.client import AsyncClient, Conflict
from codestory.testing import EmbeddedStack
from codestory_docgrapher.step import DocumentationGrapherStep
from codestory_filesystem.step import FileSystemStep

pytestmark = pytest.mark.e2e

FILES = "MATCH (f:File {repo: $repo}) RETURN f.path AS path, f.status AS status, f.reason AS reason ORDER BY path"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Everything that a folder may hold and a program may stumble over."""
    root = tmp_path / "hostile"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "plain.py").write_text("print(1)\n")
    (root / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    (root / os.fsdecode(b"not-utf8-\xff.txt")).write_text("x\n")
    (root / "new\nline [bold].md").write_text("# Heading\n")
    (root / "binary.bin").write_bytes(bytes(range(256)))
    (root / "broken").symlink_to("nowhere")
    (root / "loop").symlink_to(root)
    (root / "passwords").symlink_to("/etc/passwd")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)  # a socket's path is short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    with (root / "huge.bin").open("wb") as huge:
        huge.truncate(100 * 1024 * 1024)
    return root


def step_of(job: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in job["steps"] if step["name"] == name)


def test_every_file_of_a_hostile_folder_is_parsed_or_a_named_gap(stack: EmbeddedStack, hostile: Path) -> None:
    ran = stack.run("ingest", "start", str(hostile), "--json")
    files = stack.answer("graph", "query", "hostile", FILES)
    by_status = {file["path"]: file["status"] for file in files}

    assert ran.returncode == 3, ran.stderr
    assert {path for path, status in by_status.items() if status == "skipped"} == {
        "broken",
        "loop",
        "passwords",
        "fifo",
        "socket",
        "huge.bin",
    }
    assert Counter(by_status.values()) == {"skipped": 6, "parsed": 5}
    assert all(file["reason"] for file in files if file["status"] == "skipped")
    assert not any("root:" in str(file) for file in files)


def test_the_same_files_twice_write_nothing_and_give_the_same_digest(stack: EmbeddedStack, repository: Path) -> None:
    first = stack.answer("ingest", "start", str(repository))
    before = stack.run("graph", "digest", str(repository)).stdout.splitlines()[-1]

    second = stack.answer("ingest", "start", str(repository))
    after = stack.run("graph", "digest", repository.name).stdout.splitlines()[-1]

    assert (first["state"], second["state"]) == ("COMPLETED", "COMPLETED")
    assert len(before) == 32
    assert before == after
    assert [step["outcome"]["written"] for step in second["steps"]] == [{}, {}, {}, {}]
    assert step_of(second, "filesystem")["outcome"]["counts"]["unchanged"] == 3


def test_the_graph_says_what_the_documentation_describes(stack: EmbeddedStack, repository: Path) -> None:
    stack.answer("ingest", "start", str(repository))
    query = """
    MATCH (s:Section {repo: $repo})-[d:DESCRIBES]->(f:File)<-[:CONTAINS]-(folder:Directory)
    RETURN s.heading AS heading, f.path AS path, folder.path AS folder
    """

    found = stack.answer("graph", "query", repository.name, query)

    assert found == [{"heading": "A small repository", "path": "src/work.py", "folder": "src"}]


def test_a_deleted_file_leaves_no_ghost(stack: EmbeddedStack, repository: Path) -> None:
    stack.answer("ingest", "start", str(repository))
    (repository / "src" / "work.py").unlink()

    stack.answer("ingest", "start", str(repository))

    paths = [file["path"] for file in stack.answer("graph", "query", repository.name, FILES)]
    assert paths == ["README.md", "src/rest.py"]


def test_reordering_the_file_reorders_the_next_job(stack: EmbeddedStack, repository: Path, tmp_path: Path) -> None:
    config = tmp_path / "pipeline.yml"
    orders: list[list[str]] = []

    for names in (["filesystem", "documentation_grapher"], ["documentation_grapher", "filesystem"]):
        config.write_text("steps:\n" + "".join(f"  - name: {name}\n" for name in names))
        job = stack.answer("ingest", "start", str(repository), "--config", str(config))
        started = sorted(job["steps"], key=lambda step: step["started_at"])
        orders.append([step["name"] for step in started])

    assert orders == [["filesystem", "documentation_grapher"], ["documentation_grapher", "filesystem"]]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{tmp}/nowhere"], "does not exist"),
        (["{tmp}/a_file"], "not a directory"),
        (["{tmp}/empty"], "empty"),
        (["{repository}", "--steps", "filesystm"], "filesystem"),
        (["{repository}", "--config", "{tmp}/broken.yml"], "broken.yml:2"),
        (["{repository}", "--step-option", "filesystem.colour=red"], "colour"),
    ],
)
def test_bad_use_is_told_in_a_sentence(
    stack: EmbeddedStack, repository: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "a_file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.yml").write_text("steps:\n  - nam: filesystem\n")

    ran = stack.run("ingest", "start", *(a.format(tmp=tmp_path, repository=repository) for a in arguments))

    assert ran.returncode == 2, ran.stderr
    assert told in ran.stderr.replace("\n", " ")
    assert "Traceback" not in ran.stderr


def test_another_repository_of_the_same_name_is_refused_until_it_gets_its_own(
    stack: EmbeddedStack, repository: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / repository.name
    other.mkdir(parents=True)
    (other / "a.txt").write_text("x")
    stack.answer("ingest", "start", str(repository))

    refused = stack.run("ingest", "start", str(other))
    named = stack.run("ingest", "start", str(other), "--name", f"{repository.name}-2")

    assert refused.returncode == 2
    assert "--name" in refused.stderr
    assert named.returncode == 0, named.stderr


async def test_a_step_can_be_run_watched_and_asked_from_python(stack: EmbeddedStack, repository: Path) -> None:
    service = stack.start()
    step = FileSystemStep()

    job = await step.run(str(repository), options={"use_gitignore": False}, service=service)
    async with AsyncClient(service) as client:
        await client.wait(job.id, timeout=60)
    status = await step.status(job.id, service=service)

    assert (status.state, status.options) == ("COMPLETED", {"use_gitignore": False})
    assert await DocumentationGrapherStep().dependencies(service=service) == ("summarizer",)
    with pytest.raises(Conflict):
        await step.cancel(job.id, service=service)
