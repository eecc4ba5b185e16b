"""A support bundle of the embedded stack, made by the command line: everything is in it but the stack's own secrets."""

import json
import stat
import zipfile
from pathlib import Path

import pytest

from codestory.redaction.known import forms_of
from codestory.testing import EmbeddedStack

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

STEPS = {"blarify", "filesystem", "summarizer", "documentation_grapher"}


def test_it_holds_all_that_is_known_and_no_secret_of_the_stack(
    stack: EmbeddedStack, repository: Path, tmp_path: Path
) -> None:
    job = stack.answer("ingest", "start", str(repository))["id"]

    made = stack.answer("ingest", "bundle", job, "--output", str(tmp_path / "case.zip"))

    file = Path(made["file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with zipfile.ZipFile(file) as packed:
        assert packed.testzip() is None
        files = {name: packed.read(name).decode() for name in packed.namelist()}
    assert made["missing"] == {}
    assert json.loads(files["job/record.json"])["steps"].keys() == STEPS
    assert json.loads(files["service/settings.json"])["steps"].keys() == STEPS
    versions = json.loads(files["service/versions.json"])["steps"]
    assert versions["blarify"]["versions"]["blarify/blarify"]
    assert "Bolt" in json.loads(files["service/graph.json"])["server"]
    spans = json.loads(files["job/trace.json"])["spans"]
    assert {f"process {step}" for step in STEPS} <= {span["name"] for span in spans}
    secrets = [
        path.read_text() for path in (stack.directory / "state" / "secrets").iterdir() if "password" in path.name
    ]
    whole = "".join(files.values())
    assert secrets
    assert [form for secret in secrets for form in forms_of(secret) if form in whole] == []
