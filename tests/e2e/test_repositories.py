"""On the embedded stack: what a job would do, what each step then received, and the repository it leaves, until it is
deleted."""

from pathlib import Path
from typing import Any

import pytest

from codestory.client import Client, Conflict, NotFound
from codestory.contracts.values import JobState
from codestory.steps import discovery
from codestory.testing import EmbeddedStack

pytestmark = [pytest.mark.long, pytest.mark.e2e]

STEPS = ["blarify", "filesystem", "summarizer", "documentation_grapher"]
#: For every step: two of them have the first, one the second, none the third.
OPTIONS = ("--option", "use_gitignore=false", "--option", "nobody_has_this=1")


def test_a_plan_a_job_and_a_repository_that_is_deleted(stack: EmbeddedStack, repository: Path) -> None:
    url = stack.start()
    planned = stack.answer("ingest", "start", str(repository), "--dry-run", *OPTIONS)
    assert [step["name"] for step in planned["steps"]] == STEPS
    assert (planned["files"], planned["counted"], planned["estimate_seconds"]) == (3, True, None)
    with Client(url) as client:
        with pytest.raises(NotFound):
            client.repository(repository.name)

        job = stack.answer("ingest", "start", str(repository), *OPTIONS)
        assert job["state"] == JobState.COMPLETED
        _each_step_received_its_own(client, planned, job)

        shown = client.repository(repository.name)
        assert (shown.complete, shown.origin) == (True, str(repository))
        assert (shown.nodes or {})["File"] == 3
        assert shown.last_job is not None
        assert shown.last_job.id == job["id"]
        assert repository.name in [each["name"] for each in stack.answer("repo", "list")["repositories"]]
        again = stack.answer("ingest", "start", str(repository), "--dry-run")
        assert again["estimate_seconds"] >= max(step["estimate_seconds"] for step in again["steps"])

        late = client.submit(repository=str(repository), countdown=3600)
        with pytest.raises(Conflict) as busy:
            client.delete_repository(repository.name)
        assert late.id in str(busy.value)
        client.cancel(late.id)
        assert stack.run("repo", "rm", str(repository)).returncode == 2, "nobody is there to be asked"
        assert stack.answer("repo", "rm", str(repository), "--yes")["deleting"] is True

        with pytest.raises(NotFound):
            client.repository(repository.name)
        assert stack.run("graph", "stats", repository.name).returncode == 2
        assert client.get(job["id"]).state is JobState.COMPLETED
        digest = stack.answer("ingest", "start", str(repository), *OPTIONS)
        assert digest["complete"] is True
        assert client.repository(repository.name).nodes == shown.nodes


def _each_step_received_its_own(client: Client, planned: dict[str, Any], job: dict[str, Any]) -> None:
    """As its registered schema says, as the plan has said, and as the record of the job says."""
    schemas = {step.name: step.option_names for step in client.steps()}
    promised = {step["name"]: step for step in planned["steps"]}
    for step in job["steps"]:
        name, declared = step["name"], schemas[step["name"]]
        assert declared == discovery.describe(discovery.load(name)).option_names
        given = {"use_gitignore", "nobody_has_this"} | ({"parallel"} & declared)
        assert step["options"].keys() == given & declared, name
        assert set(step["options_dropped"]) == given - declared, name
        assert (step["options"], step["options_dropped"]) == (
            promised[name]["options"],
            promised[name]["options_dropped"],
        )
