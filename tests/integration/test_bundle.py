"""Support bundles of a running stack: all that there is, whatever is down, and no secret of any setting."""

import io
import json
import zipfile
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic_settings import BaseSettings

import codestory
import codestory_orchestrator
import codestory_summarizer
from codestory.redaction.known import forms_of
from codestory.testing import wait_until
from codestory.testing_bus import LIMIT
from codestory.testing_settings import Held, classes, holding
from codestory.testing_world import World, Worlds, plan
from codestory_orchestrator.bundles import contents

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

#: With a secret of any kind in it a process would not start, or find its bus: what they hold must be real.
REAL = frozenset(
    {
        "CODESTORY_API_KEYS_FILE",
        "CODESTORY_NATS_NKEY_SEED_FILE",
        "CODESTORY_NATS_TLS_CA_FILE",
        "CODESTORY_NATS_TLS_CERT_FILE",
        "CODESTORY_NATS_TLS_KEY_FILE",
        "CODESTORY_NATS_URL",
        "CODESTORY_NEO4J_URI",
        "CODESTORY_OIDC_ISSUER",
        "CODESTORY_URL",
    }
)
HEADER = "canary-sings-in-a-header"
Files = dict[str, str]


def held(kinds: Iterable[type[BaseSettings]], folder: Path) -> dict[str, Held]:
    """By variable, in every setting that takes one."""
    return {each.variable: each for kind in kinds for each in holding(kind, folder).values()}


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Held]:
    folder = tmp_path_factory.mktemp("secrets")
    found = held(classes((codestory, codestory_orchestrator, codestory_summarizer)), folder)
    return {variable: each for variable, each in found.items() if variable not in REAL}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(canaries: dict[str, Held]) -> AsyncGenerator[World]:
    """An orchestrator and a worker whose every secret is a canary. No graph server runs."""
    environment = {each.variable: each.text for each in canaries.values()}
    scripts = Path(__file__).parents[1] / "chaos"
    async with Worlds(scripts)(
        **environment,
        CODESTORY_NATS_USER="somebody",
        CODESTORY_NEO4J_URI="bolt://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization={HEADER}",
    ) as shared:
        shared.orchestrator()
        shared.worker("a")
        await shared.ready("a")
        yield shared


async def bundle(world: World, job: str) -> Files:
    """Unpacked."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as asking:
        response = await asking.get(f"http://127.0.0.1:{world.ports[0]}/v1/ingest/{job}/bundle")
    assert response.status_code == 200, response.text
    with zipfile.ZipFile(io.BytesIO(response.content)) as packed:
        return {name: packed.read(name).decode() for name in packed.namelist()}


def missing(files: Files) -> dict[str, str]:
    return {entry["name"]: entry["why"] for entry in json.loads(files[contents.MANIFEST])["missing"]}


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def secrets_in(files: Files, secrets: Iterable[str]) -> dict[str, list[str]]:
    """By file, written in whatever way."""
    found = {name: [s for s in secrets if any(form in text for form in forms_of(s))] for name, text in files.items()}
    return {name: there for name, there in found.items() if there}


async def test_a_secret_in_every_setting_is_found_nowhere_in_it(world: World, canaries: dict[str, Held]) -> None:
    repository = Path(world.repository())
    (repository / ".git").mkdir()
    (repository / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    remote = "https://user:canary-sings-in-git@git.example/org/shop.git"
    (repository / ".git" / "config").write_text(f'[remote "origin"]\n\turl = {remote}\n')
    said = "https://me:canary-sings-in-a-line@host.example/x refused"
    job = await world.submit(
        plan("a", say=said, betray="CODESTORY_OPENAI_API_KEY", fail_until=1),
        back_off=0.1,
        repository=str(repository),
        options={"api_key": "canary-sings-in-an-option"},
    )
    await world.state(job, "COMPLETED")

    files = await bundle(world, job)

    secrets = [each.secret for each in canaries.values()] + [HEADER, "canary-sings-in-git"]
    secrets += ["canary-sings-in-a-line", "canary-sings-in-an-option"]
    assert "it is [REDACTED:known_secret]" in files[contents.LOGS]
    assert len(canaries) > 12
    assert secrets_in(files, secrets) == {}
    assert "canary-sings" not in "".join(files.values())


async def test_it_holds_the_job_and_the_service_around_it(world: World) -> None:
    job = await world.submit(plan("a", say="hello", fail_until=1), back_off=0.1)
    await world.state(job, "COMPLETED")
    files: Files = {}

    async def told() -> bool:
        files.update(await bundle(world, job))
        return contents.LOGS in files and '"job.ended"' in files[contents.LOGS]

    await wait_until(told, "the end of the job is in the log of its bundle", LIMIT)

    assert set(contents.FILES) - set(files) == {contents.GRAPH}
    assert "The graph server cannot be reached" in missing(files)[contents.GRAPH]
    record = json.loads(files[contents.RECORD])
    assert [attempt["state"] for attempt in record["steps"]["a"]["attempts"]] == ["FAILED", "COMPLETED"]
    assert [event["kind"] for event in lines(files[contents.EVENTS]) if event["step"] == "a"].count("started") == 2
    assert "hello" in [line["fields"].get("line") for line in lines(files[contents.LOGS])]
    assert {span["name"] for span in json.loads(files[contents.TRACE])["spans"]} >= {"submit job", "process a"}
    settings = json.loads(files[contents.SETTINGS])
    assert settings["orchestrator"]["settings"]["CODESTORY_NEO4J_PASSWORD"] == "[secret: set]"
    assert settings["orchestrator"]["settings"]["CODESTORY_RESOURCE_MAX_TOKENS"] == 5
    assert settings["steps"]["a"]["settings"]["CODESTORY_NATS_PASSWORD"] == "[secret: set]"
    versions = json.loads(files[contents.VERSIONS])
    assert versions["nats_server"]["version"].startswith("2.")
    assert versions["steps"]["a"]["versions"]["pydantic"]
    streams = json.loads(files[contents.STREAMS])
    assert streams["streams"]["EVENTS"]["state"]["messages"] > 0
    assert "num_pending" in streams["consumers"]["RUN/a"]
    assert json.loads(files[contents.MESSAGES])["streams"]["RUN"] == {}
    assert "ingest_jobs_total" in files[contents.METRICS]
    assert all(name in files[contents.README] for name in contents.FILES)


async def test_of_a_job_that_runs_the_bundle_tells_where_it_is(world: World) -> None:
    gate = world.gate()
    job = await world.submit(plan("a", gate=gate.path))
    await world.step_state(job, "a", "RUNNING")

    files = await bundle(world, job)

    gate.open()
    await world.state(job, "COMPLETED")
    assert json.loads(files[contents.JOB])["state"] == "RUNNING"
    assert json.loads(files[contents.MESSAGES])["streams"]["RUN"] == {world.bus.subject("run", "a", job): 1}
    assert job in files[contents.TOKENS]


async def test_there_is_none_of_a_job_that_is_not_there(world: World) -> None:
    assert (await world.ask("GET", "/v1/ingest/nothing/bundle")).status_code == 404


async def test_what_is_down_is_named_and_what_is_known_is_told(world: World) -> None:
    """The last of this file: it takes the broker away."""
    job = await world.submit(plan("a"))
    await world.state(job, "COMPLETED")
    for process in world.started[1:]:
        process.terminate()
        await world.dead(process)

    without_steps = await bundle(world, job)
    world.server.kill()
    without_bus: Files = {}

    async def down() -> bool:
        without_bus.clear()
        without_bus.update(await bundle(world, job))
        return json.loads(without_bus[contents.HEALTH])["checks"]["nats"]["status"] == "fail"

    await wait_until(down, "a bundle says that the bus is away", LIMIT)
    world.server.start()

    told = json.loads(without_steps[contents.SETTINGS])["steps"]["a"]
    assert told["settings"]["CODESTORY_LOG_LINES"] == 10_000
    assert json.loads(without_bus[contents.RECORD])["id"] == job
    assert json.loads(without_bus[contents.SETTINGS])["steps"]["a"] == told
    assert {contents.EVENTS, contents.LOGS, contents.TRACE, contents.STREAMS} <= missing(without_bus).keys()
