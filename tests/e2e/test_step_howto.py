"""docs/howto/write-a-step.md: its first part, done literally in an empty folder, on the embedded stack."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from codestory.testing import EmbeddedStack, executable

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "write-a-step.md").read_text(encoding="utf-8")
PART = PAGE.partition("## From an empty folder")[2].partition("\n## ")[0]
FILES = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```", PART, re.DOTALL | re.MULTILINE))
COMMANDS = re.findall(r"^```sh\n(.*?)^```", PART, re.DOTALL | re.MULTILINE)
[SHOWN] = re.findall(r"^```json\n(.*?)^```", PART, re.DOTALL | re.MULTILINE)


def test_the_page_leads_from_an_empty_folder_to_a_step_that_runs(stack: EmbeddedStack, tmp_path: Path) -> None:
    make_folder, run = COMMANDS
    bin_ = str(Path(sys.executable).parent)
    #: Where this test's programs, packages and stack are, in the places of the reader's.
    here = {
        "--python $CODE_STORY/.venv/bin/python": f"--offline --python {sys.executable} --target {stack.packages}",
        "make -C $CODE_STORY up": f"{executable('codestory')} service start",
        "$CODE_STORY/.venv/bin": bin_,
        "export CODE_STORY=~/src/code-story\n": "",
    }

    def shell(script: str, folder: Path) -> str:
        for theirs, ours in here.items():
            script = script.replace(theirs, ours)
        assert "CODE_STORY" not in script
        command = ["sh", "-euc", script]
        ran = subprocess.run(
            command, cwd=folder, env=stack.environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert not ran.returncode, ran.stderr[-4000:]
        return ran.stdout

    shell(make_folder, tmp_path)
    for name, content in FILES.items():
        (tmp_path / "todos" / name).write_text(content)
    said = shell(run, tmp_path / "todos")

    assert set(FILES) == {"pyproject.toml", "src/todos/step.py", "pipeline_config.yml"}
    assert json.loads(said[said.rindex("[") :]) == json.loads(SHOWN)
