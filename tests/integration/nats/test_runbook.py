"""Every command of docs/howto/operate-with-nats.md, with the real `nats` program, as the operator's own user."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from codestory.graph import GraphSettings
from codestory.testing import wait_until

from .conftest import GuardedStack, ask, guarded_stack

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

RUNBOOK = Path(__file__).parents[3] / "docs" / "howto" / "operate-with-nats.md"
INSTALL = "GOBIN=/tmp/nats-cli go install github.com/nats-io/natscli/nats@v0.5.1"
#: Seconds for all of it.
LIMIT = 120


def program() -> Path | None:
    """CODESTORY_TEST_NATS_CLI names it, otherwise it is on the path or where the command of INSTALL puts it."""
    named = os.environ.get("CODESTORY_TEST_NATS_CLI") or shutil.which("nats")
    found = Path(named or "/tmp/nats-cli/nats")
    return found if os.access(found, os.X_OK) else None


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)


async def test_there_are_no_commands_in_blocks_that_are_not_run() -> None:
    fences = re.findall(r"^```(.*)$", RUNBOOK.read_text(), re.MULTILINE)

    assert set(fences) == {"sh", ""}
    assert len(fences) == 2 * len(blocks())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, graph_server: GraphSettings) -> AsyncGenerator[GuardedStack]:
    if program() is None:
        pytest.skip(f"no nats program: {INSTALL}, or name one with CODESTORY_TEST_NATS_CLI")
    async with guarded_stack(tmp_path_factory.mktemp("runbook"), "codestory", graph_server) as stack:
        yield stack


async def a_dead_letter(stack: GuardedStack) -> None:
    """A command that nobody can read, as another version might have written it."""
    async with stack.guarded.client("orchestrator") as (client, _):
        await client.publish("codestory.run.a.unreadable", b"nobody can read this")

    async def there() -> bool:
        advisories = await stack.operator.js.stream_info("codestory_ADVISORIES")
        return advisories.state.messages > 0

    await wait_until(there, "the server has told of it", 60)


async def a_job_that_has_ended(stack: GuardedStack, job: str) -> None:
    """The page starts it again, which is safe."""
    await ask(stack.operator, "step.a.run", {"repository": str(stack.repository), "job_id": job})

    async def ended() -> bool:
        return (await ask(stack.operator, "api.get", {"job": job})).body["state"] == "COMPLETED"

    await wait_until(ended, f"{job} has ended", 60)


async def test_every_command_does_what_the_page_says(stack: GuardedStack, tmp_path: Path) -> None:
    nats = program()
    assert nats
    first, *others = blocks()
    theirs = {
        "SERVER": stack.guarded.server.url,
        "KEYS": str(stack.guarded.written.config.parent),
        "REPOSITORY": str(stack.repository),
        "STEP": "a",
    }
    assert [line.partition("=")[0] for line in first.splitlines()] == list(theirs)
    script = "\n".join(["set -euo pipefail", *(f"{name}='{value}'" for name, value in theirs.items()), *others])
    environment = {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PATH": os.pathsep.join([str(nats.parent), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "NO_COLOR": "1",
    }

    await a_dead_letter(stack)
    await a_job_that_has_ended(stack, "by-hand-1")

    done = subprocess.run(  # noqa: ASYNC221  # nothing else happens in this loop
        ["bash", "-xc", script],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        check=False,
    )

    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said[-6000:]
    assert "Nats-Service-Error" not in said, said
    assert "iolation" not in said + stack.guarded.server.log()
    for seen in (
        "codestory-step-a",
        '"by-hand-1"',
        '"deleting":true',
        '"max_bytes"',
        "codestory.evt.by-hand-1.a.completed",
        "backup.json",
    ):
        assert seen in said, said
