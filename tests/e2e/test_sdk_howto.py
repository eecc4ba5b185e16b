"""docs/howto/sdk.md: every block of it runs as it stands, against the real service."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from codestory.testing import EmbeddedStack

#: The first one may have to start the stack.
pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(400)]

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "sdk.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
#: Runs a block as a cell of a notebook: on a loop that runs already, with `await` at the top.
CELL = """
import ast, asyncio, inspect, sys

async def cell():
    code = compile(sys.stdin.read(), "sdk.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names = {"__name__": "__main__"}
    ran = eval(code, names)
    if inspect.isawaitable(ran):
        await ran
    return names

names = asyncio.run(cell())
"""
#: What a block that makes a service is asked for.
SERVED = """
from fastapi.testclient import TestClient

with TestClient(names["app"]) as service:
    begun = service.post("/ingestions", params={"path": sys.argv[1]}).raise_for_status().json()
    state = service.get("/ingestions/" + begun["job"]).raise_for_status().json()
    assert state["state"] in {"PENDING", "RUNNING", "COMPLETED"}, state
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page is: a small repository, and a pipeline that is quick."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "my-repository").mkdir()
    (folder / "my-repository" / "README.md").write_text("# A small repository\n")
    (folder / "pipeline_config.yml").write_text("steps:\n  - name: filesystem\n")
    return folder


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block-{number}" for number in range(1, len(BLOCKS) + 1)])
def test_what_the_page_shows_works(stack: EmbeddedStack, folder: Path, block: str) -> None:
    repository = str(folder / "my-repository")
    here = block.replace("/srv/my-repository", repository)

    ran = subprocess.run(
        [sys.executable, "-c", CELL + (SERVED if "FastAPI(" in block else ""), repository],
        input=here,
        cwd=folder,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr[-1500:]


def test_the_page_has_blocks() -> None:
    assert len(BLOCKS) >= 7
