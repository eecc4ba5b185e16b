"""What can be asked of a job, through the command line, the SDK and a step, on the embedded stack."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from codestory.client import AsyncClient, Conflict, Throttled
from codestory.contracts.api import JobView
from codestory.contracts.schedules import Schedule
from codestory.contracts.values import JobState, StepState
from codestory.ingestion_pipeline.manager import PipelineManager
from codestory.testing import EmbeddedStack, executable, install_steps, wait_until
from codestory_filesystem.step import FileSystemStep

#: Each test runs several commands, on a machine that may be shared.
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

#: Steps that run until a file is there, so that a test says when they end.
STEPS = """
import asyncio
from pathlib import Path
from pydantic import BaseModel
from codestory.steps import PipelineStep, StepContext, StepError, StepResult

class Options(BaseModel):
    gate: str = ""
    fail: bool = False

class Gated(PipelineStep[Options]):
    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        if ctx.options.fail:
            raise StepError("it was told to fail")
        while ctx.options.gate and not Path(ctx.options.gate).exists():
            await asyncio.sleep(0.02)
        return StepResult(f"attempt {ctx.attempt}")

class First(Gated):
    name = "first"

class Second(Gated):
    name = "second"

class Third(Gated):
    name = "third"
"""
#: Seconds for what takes less than one on a machine of its own.
WAIT = 150
PIPELINE = "steps:\n  - name: first\n  - name: second\n  - name: third\nretry:\n  max_retries: 0\n"


class GatedStack(EmbeddedStack):
    def __init__(self, directory: Path) -> None:
        super().__init__(
            directory,
            CODESTORY_LOCAL_START_SECONDS="400",
            CODESTORY_RECONCILE_SECONDS="1",
            CODESTORY_SLOTS="4",
        )
        steps = {"first": "First", "second": "Second", "third": "Third"}
        install_steps(self.packages, "gated_steps", STEPS, steps)
        (directory / "pipeline_config.yml").write_text(PIPELINE)

    def start(self) -> str:
        return json.loads(self.run("service", "start", "--json", limit=450).stdout)["url"]

    def in_background(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [executable("codestory"), *arguments],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def begin(self, *arguments: str) -> str:
        """The id of a job that is started and left."""
        ran = self.run("ingest", "start", *arguments, "--detach")
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def job(self, job_id: str) -> JobView:
        return JobView.model_validate(self.answer("ingest", "status", job_id))


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatedStack]:
    stack = GatedStack(tmp_path_factory.mktemp("gated"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def url(gated: GatedStack) -> str:
    return gated.start()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One of the test's own, with a name of its own."""
    folder = tmp_path / tmp_path.name
    folder.mkdir()
    (folder / "shop.py").write_text("PRICE = 3\n")
    return folder


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Opens when the test makes this file. At its end it is there, so that nothing is left waiting."""
    return tmp_path / "gate"


@pytest.fixture(autouse=True)
def opened(gate: Path) -> Iterator[None]:
    yield
    let_through(gate)


def let_through(gate: Path) -> None:
    gate.touch()


async def reaches(client: AsyncClient, job_id: str, step: str, state: StepState) -> None:
    async def there() -> bool:
        return (await client.step(job_id, step)).state is state

    await wait_until(there, f"{step} of {job_id} is {state}", WAIT)


async def is_in(client: AsyncClient, job_id: str, state: JobState) -> JobView:
    async def there() -> bool:
        return (await client.get(job_id)).state is state

    await wait_until(there, f"{job_id} is {state}", WAIT)
    return await client.get(job_id)


def states(job: JobView) -> list[str]:
    return [step.state for step in job.steps]


def second_waits_for(gate: Path) -> list[str]:
    return ["--step-option", f"second.gate={gate}"]


async def test_a_stopped_job_keeps_what_is_done_and_goes_on_from_there(
    gated: GatedStack, url: str, repository: Path, gate: Path
) -> None:
    job_id = gated.begin(str(repository), *second_waits_for(gate))
    async with AsyncClient(url) as client:
        await reaches(client, job_id, "second", StepState.RUNNING)

    stopped = gated.run("ingest", "stop", job_id)
    again = gated.run("ingest", "stop", job_id)
    halted = gated.job(job_id)
    let_through(gate)
    resumed = gated.run("ingest", "resume", job_id)
    ended = gated.job(job_id)

    assert (stopped.returncode, again.returncode) == (0, 0)
    assert stopped.stdout.splitlines()[0] == f"Job {job_id} is stopped."
    assert "  kept: first" in stopped.stdout
    assert "  ended: second" in stopped.stdout
    assert "  1 token released" in stopped.stdout
    assert again.stdout == stopped.stdout
    assert states(halted) == ["COMPLETED", "STOPPED", "SKIPPED"]
    assert resumed.returncode == 0, resumed.stderr
    assert "  to run: second, third" in resumed.stderr
    assert states(ended) == ["COMPLETED", "COMPLETED", "COMPLETED"]
    assert [step.attempt for step in ended.steps] == [1, 2, 1]


async def test_a_failed_job_is_retried_from_where_it_failed_with_other_options(
    gated: GatedStack, repository: Path
) -> None:
    failed = gated.run("ingest", "start", str(repository), "--step-option", "second.fail=true", "--json")
    job_id = json.loads(failed.stdout)["id"]

    retried = gated.run("ingest", "retry", job_id, "--step-option", "second.fail=false", "--json")
    step = gated.answer("ingest", "step", job_id, "second")
    refused = gated.run("ingest", "retry", job_id)

    assert failed.returncode == 1
    assert f"ingest retry {job_id}" in failed.stderr
    assert retried.returncode == 0, retried.stderr
    job = JobView.model_validate_json(retried.stdout)
    assert [(s.name, s.attempt) for s in job.steps] == [("first", 1), ("second", 2), ("third", 1)]
    assert job.run == 2
    assert [(attempt["state"], attempt["reason"]) for attempt in step["attempts"]] == [
        ("FAILED", "gave_up"),
        ("COMPLETED", None),
    ]
    assert all(attempt["worker"] and attempt["started_at"] for attempt in step["attempts"])
    assert refused.returncode == 2
    assert "start a new job instead" in refused.stderr


async def test_a_job_is_retried_from_a_named_step(gated: GatedStack, repository: Path) -> None:
    failed = gated.run("ingest", "start", str(repository), "--step-option", "third.fail=true", "--json")
    job_id = json.loads(failed.stdout)["id"]

    retried = gated.run(*("ingest", "retry", job_id, "--from", "second", "--step-option", "third.fail=false", "--json"))

    job = JobView.model_validate_json(retried.stdout)
    assert [(s.name, s.attempt) for s in job.steps] == [("first", 1), ("second", 2), ("third", 2)]


async def test_a_job_begins_when_it_is_due(gated: GatedStack, url: str, repository: Path) -> None:
    async with AsyncClient(url) as client:
        begun = gated.run("ingest", "start", str(repository), "--countdown", "8")
        job_id = begun.stdout.strip()
        why = await client.why(job_id)
        ended = await client.wait(job_id, timeout=WAIT)

    assert begun.returncode == 0, begun.stderr
    assert "It is due " in begun.stderr
    assert [wait.cause for wait in why.waits] == ["due"]
    assert ended.state is JobState.COMPLETED
    assert ended.started_at is not None
    assert ended.due_at is not None
    assert ended.started_at >= ended.due_at


async def test_a_time_with_a_zone_is_kept_as_that_moment(gated: GatedStack, url: str, repository: Path) -> None:
    eta = (datetime.now(UTC) + timedelta(hours=3)).astimezone(timezone(timedelta(hours=5, minutes=30)))

    job_id = gated.begin(str(repository), "--eta", eta.isoformat())
    async with AsyncClient(url) as client:
        job = await client.cancel(job_id)

    assert job.due_at == eta


async def test_a_job_that_is_not_due_yet_can_be_cancelled(gated: GatedStack, repository: Path) -> None:
    job_id = gated.begin(str(repository), "--countdown", "1h")

    cancelled = gated.run("ingest", "cancel", job_id)
    resumed = gated.run("ingest", "resume", job_id)

    assert (cancelled.returncode, resumed.returncode) == (0, 2)
    assert f"Job {job_id} is cancelled." in cancelled.stdout
    assert "retry it" in resumed.stderr


async def test_a_job_comes_after_another_and_is_told_why_it_waits(
    gated: GatedStack, url: str, repository: Path, gate: Path, tmp_path: Path
) -> None:
    other = tmp_path / f"{repository.name}-other"
    other.mkdir()
    (other / "a.py").write_text("A = 1\n")
    first = gated.begin(str(repository), *second_waits_for(gate))
    second = gated.begin(str(other), "--after", first)

    async with AsyncClient(url) as client:
        await reaches(client, first, "second", StepState.RUNNING)
        why = await client.why(second)
        said = gated.run("ingest", "why", second)
        changed = await client.change(second, priority="high")
        let_through(gate)
        ended = await client.wait(second, timeout=WAIT)
        before = await client.get(first)
        with pytest.raises(Conflict):
            await client.change(second, priority="low")

    assert [(wait.cause, wait.jobs) for wait in why.waits] == [("after", (first,))]
    assert first in said.stdout
    assert changed.priority == "high"
    assert ended.state is JobState.COMPLETED
    assert before.ended_at is not None
    assert ended.started_at is not None
    assert before.ended_at <= ended.started_at


async def test_who_holds_the_tokens_is_shown_and_their_number_changed(
    gated: GatedStack, url: str, repository: Path, gate: Path, tmp_path: Path
) -> None:
    other = tmp_path / f"{repository.name}-other"
    other.mkdir()
    (other / "a.py").write_text("A = 1\n")
    job_id = gated.begin(str(repository), *second_waits_for(gate))
    async with AsyncClient(url) as client:
        await reaches(client, job_id, "second", StepState.RUNNING)
        before = (await client.resource_status()).max_tokens
        try:
            shown = gated.answer("resources", "--tokens", "1")
            refused = gated.run("ingest", "start", str(other), "--on-full", "fail")
            with pytest.raises(Throttled) as throttled:
                await client.submit(repository=str(other), on_full="fail")
        finally:
            await client.set_max_tokens(before)

    assert (shown["available_tokens"], shown["max_tokens"]) == (0, 1)
    assert [(holder["job"], holder["step"]) for holder in shown["holders"]] == [(job_id, "second")]
    assert shown["holders"][0]["worker"]
    assert refused.returncode == 1
    assert throttled.value.code == "throttled"
    assert throttled.value.retry_after is not None


async def test_the_concurrency_of_a_step_and_the_limit_of_a_tag_are_changed(gated: GatedStack, url: str) -> None:
    steps = gated.answer("steps", "--set-concurrency", "third=2")["steps"]
    limited = gated.answer("resources", "--limit", "gpu=1")["tags"]
    async with AsyncClient(url) as client:
        tags = await client.resource_limits()

    assert {step["name"]: step["concurrency"] for step in steps}["third"] == 2
    assert [(tag["tag"], tag["limit"], tag["held"]) for tag in limited] == [("gpu", 1, 0)]
    assert [(tag.tag, tag.limit) for tag in tags] == [("gpu", 1)]


async def test_a_schedule_is_made_shown_paused_and_deleted(gated: GatedStack, url: str, repository: Path) -> None:
    made = gated.run(
        *("ingest", "schedule", str(repository), "--cron", "0 3 * * *", "--time-zone", "Europe/Berlin", "--title", "x")
    )
    schedule_id = made.stdout.strip()
    listed = gated.answer("ingest", "schedules", "list")["schedules"]
    paused = gated.answer("ingest", "schedules", "pause", schedule_id)
    resumed = gated.answer("ingest", "schedules", "resume", schedule_id)
    wrong = gated.run("ingest", "schedule", str(repository), "--cron", "at night")
    removed = gated.run("ingest", "schedules", "rm", schedule_id)
    async with AsyncClient(url) as client:
        left = await client.schedules()

    assert made.returncode == 0, made.stderr
    assert [each["id"] for each in listed] == [schedule_id]
    assert (paused["paused"], paused["next_at"]) == (True, None)
    assert (resumed["paused"], resumed["next_at"] is not None) == (False, True)
    assert wrong.returncode == 2
    assert removed.returncode == 0
    assert left == ()


async def test_a_job_that_is_followed_while_it_is_stopped_ends_with_1(
    gated: GatedStack, url: str, repository: Path, gate: Path
) -> None:
    job_id = gated.begin(str(repository), *second_waits_for(gate))
    watching = gated.in_background("ingest", "watch", job_id)
    async with AsyncClient(url) as client:
        await reaches(client, job_id, "second", StepState.RUNNING)
        await client.stop(job_id)

    _, err = watching.communicate(timeout=170)

    assert watching.returncode == 1
    assert f"ingest resume {job_id}" in err


async def test_a_step_updates_schedules_stops_and_retries_through_the_service(
    url: str, repository: Path, gated: GatedStack
) -> None:
    step = FileSystemStep()
    async with AsyncClient(url) as client:
        updated = await client.wait((await step.ingestion_update(str(repository), service=url)).id, timeout=WAIT)
        later = await step.schedule(str(repository), countdown=3600, service=url)
        recurring = await step.schedule(str(repository), cron="0 3 * * *", service=url)
        stopped = await step.stop(later.id, service=url)
        retried = await step.retry(later.id, service=url)
        cancelled = await step.cancel(later.id, service=url)
        await client.delete_schedule(recurring.id)

    assert isinstance(recurring, Schedule)
    assert (updated.state, updated.mode) == ("COMPLETED", "update")
    assert [step.name for step in updated.steps] == ["filesystem"]
    assert later.state is JobState.SCHEDULED
    assert stopped.state is JobState.STOPPED
    assert retried.state is JobState.SCHEDULED
    assert cancelled.state is JobState.CANCELLED
    assert gated.job(later.id).state is JobState.CANCELLED


async def test_the_pipeline_manager_controls_a_job(gated: GatedStack, url: str, repository: Path, gate: Path) -> None:
    manager = PipelineManager(gated.directory / "pipeline_config.yml", url)
    options = {"second": {"gate": str(gate)}}

    job_id = manager.start_job(repository, step_options=cast("dict[str, Any]", options))
    async with AsyncClient(url) as client:
        await reaches(client, job_id, "second", StepState.RUNNING)
        why = manager.why(job_id)
        manager.stop(job_id)
        await is_in(client, job_id, JobState.STOPPED)
        manager.resume(job_id)
        let_through(gate)
        ended = await client.wait(job_id, timeout=WAIT)

    assert "second" in why.text
    assert manager.status(job_id) == "COMPLETED"
    assert ended.run == 2


def test_an_update_says_what_it_is(gated: GatedStack, repository: Path) -> None:
    job = gated.answer("ingest", "update", str(repository), "--steps", "first")

    assert (job["state"], job["mode"]) == ("COMPLETED", "update")
