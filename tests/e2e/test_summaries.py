"""Summaries by a model, end to end: paid for once, killed half way, and told no secret."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codestory.client import AsyncClient
from codestory.testing import wait_until
from codestory.testing_secrets import plant

if TYPE_CHECKING:
    from conftest import QuickStack

    from codestory.contracts.api import JobView
    from codestory.testing_models import ModelServer

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(300)]

PARALLEL = 3
BY_MODEL: dict[str, Any] = {"summarizer": {"provider": "openai", "parallel": PARALLEL}}
MODULE = """\
def leaf(x):
    return x + 1


def middle(x):
    return leaf(x) * 2


def other(x):
    return x - 1
"""


async def run(stack: QuickStack, repository: Path) -> JobView:
    async with AsyncClient(stack.start()) as client:
        job = await client.submit(repository=str(repository), step_options=BY_MODEL)
        return await stack.ended(client, job.id)


def counts(job: JobView) -> dict[str, int]:
    [step] = [step for step in job.steps if step.name == "summarizer"]
    assert step.outcome, job
    return step.outcome.counts


def made(stack: QuickStack, repository: Path) -> dict[str, Any]:
    query = "MATCH (n)-[:SUMMARIZED_BY]->(s:Summary {repo: $repo}) "
    query += "RETURN coalesce(n.qualified_name, n.path, '') AS of, s.key AS key"
    return {row["of"]: row["key"] for row in stack.answer("graph", "query", repository.name, query)}


async def test_what_did_not_change_is_never_paid_for_again(
    quick_stack: QuickStack, models: ModelServer, tmp_path: Path
) -> None:
    repository = tmp_path / tmp_path.name
    repository.mkdir()
    (repository / "code.py").write_text(MODULE)
    (repository / "apart.py").write_text("def apart():\n    return 3\n")

    first = await run(quick_stack, repository)
    before, calls = made(quick_stack, repository), models.totals.completions
    second = await run(quick_stack, repository)
    calls_of_second = models.totals.completions - calls
    (repository / "code.py").write_text(MODULE.replace("x + 1", "x + 10"))
    third = await run(quick_stack, repository)
    after = made(quick_stack, repository)

    assert first.state == second.state == third.state == "COMPLETED"
    assert calls_of_second == 0
    assert {name for name in after if after[name] != before[name]} == {"leaf", "middle", "code.py", ""}
    assert models.totals.completions - calls == counts(third)["made"] == 4


async def test_half_way_killed_it_pays_for_few_summaries_twice(
    quick_stack: QuickStack, models: ModelServer, tmp_path: Path
) -> None:
    repository = tmp_path / tmp_path.name
    repository.mkdir()
    functions = "\n\n".join(f"def f{number}(x):\n    return x + {number}\n" for number in range(60))
    (repository / "many.py").write_text(functions)
    models.requests.clear()
    async with AsyncClient(quick_stack.start()) as client:
        host = quick_stack.host("summarizer")
        job = await client.submit(repository=str(repository), step_options=BY_MODEL)

        async def half_way() -> bool:
            return len(models.requests) >= 30

        await wait_until(half_way, "half of the summaries", 60)
        (await quick_stack.program_of(host, "codestory.steps.child")).kill()
        view = await quick_stack.ended(client, job.id)

    asked = Counter(json.dumps(request.body, sort_keys=True) for request in models.requests)
    assert view.state == "COMPLETED"
    assert sum(times - 1 for times in asked.values()) <= PARALLEL
    assert len(asked) == 60 + 2  # the file and the repository


async def test_no_secret_leaves_the_source(quick_stack: QuickStack, models: ModelServer, tmp_path: Path) -> None:
    repository = tmp_path / tmp_path.name
    repository.mkdir()
    secrets = plant(repository)
    models.requests.clear()

    view = await run(quick_stack, repository)

    told = [json.dumps(request.body) for request in models.requests]
    assert len(secrets) >= 50
    assert view.state == "COMPLETED"
    assert len(told) > 50
    assert [secret for secret in secrets if any(secret in text for text in told)] == []
    # Logs, streams and the graph's pages lie in files of the stack's own.
    assert sorted(found(quick_stack.directory / "state", secrets)) == []


def found(folder: Path, secrets: list[str]) -> set[tuple[str, str]]:
    """File and secret."""
    wanted = [(secret, secret.encode()) for secret in secrets]
    return {
        (str(path.relative_to(folder)), secret)
        for path in folder.rglob("*")
        if path.is_file()
        for data in [path.read_bytes()]
        for secret, text in wanted
        if text in data
    }
