"""Requests that come twice, at once, at two orchestrators, or to one that dies: what is made of them."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from codestory.bus import parsed
from codestory.client import AsyncClient
from codestory.testing_world import World, Worlds, plan

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

#: Jobs that are made while others are listed.
INSERTED = 1000
PARALLEL = 50


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncGenerator[World]:
    """Two orchestrators, and a step that exists though no worker of it lives: what is submitted waits."""
    async with Worlds(Path(__file__).parents[1] / "chaos")() as shared:
        shared.orchestrator()
        shared.orchestrator()
        await shared.register("a")
        await shared.known_to_all("a")
        yield shared


async def post(world: World, body: dict[str, Any], key: str = "", *, at: int = 0, path: str = "") -> httpx.Response:
    """To the orchestrator of this number."""
    url = f"http://127.0.0.1:{world.ports[at]}/v1/ingest{path}"
    headers = {"Idempotency-Key": key} if key else {}
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client:
        return await client.post(url, json=body, headers=headers)


def request(repository: str, **fields: Any) -> dict[str, Any]:
    return {"repository": repository, "pipeline": {"steps": [plan("a")]}, **fields}


async def stored(world: World, repository: str) -> list[str]:
    """The jobs on this repository, by their records on the bus."""
    subjects = await world.bus.subjects("KV_jobs", world.bus.key("jobs", "*"))
    found = [await world.bus.value("jobs", subject.rpartition(".")[2]) for subject in subjects]
    bodies = [parsed(record.data) for record in found if record]
    return [body["id"] for body in bodies if body.get("repository", {}).get("path") == repository]


async def test_many_requests_with_one_key_at_two_orchestrators_make_one_job(world: World) -> None:
    repository = world.repository()
    body = request(repository)

    answers = await asyncio.gather(*(post(world, body, "fifty", at=number % 2) for number in range(PARALLEL)))

    assert [answer.text for answer in answers if answer.status_code != 202] == []
    [job] = {answer.json()["id"] for answer in answers}
    assert await stored(world, repository) == [job]
    assert {answer.headers["location"] for answer in answers} == {f"/v1/ingest/{job}"}


async def test_without_a_key_each_request_makes_a_job(world: World) -> None:
    repository = world.repository()

    answers = [await post(world, request(repository)) for _ in range(2)]

    assert len({answer.json()["id"] for answer in answers}) == 2


async def test_a_key_that_comes_with_another_request_is_refused(world: World) -> None:
    repository = world.repository()
    first = await post(world, request(repository, priority="low"), "once", at=0)

    other = await post(world, request(repository, priority="high"), "once", at=1)
    same = await post(world, {"priority": "low", **request(repository)}, "once", at=1)

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert same.json()["id"] == first.json()["id"]
    assert len(await stored(world, repository)) == 1


async def test_a_refused_request_leaves_its_key_to_the_corrected_one(world: World) -> None:
    repository = world.repository()
    wrong = {"repository": repository, "pipeline": {"steps": [plan("nonsense")]}}

    refused = [await post(world, wrong, "corrected", at=at) for at in (0, 1)]
    corrected = await post(world, request(repository), "corrected", at=1)
    late = await post(world, wrong, "corrected", at=0)

    assert [answer.json()["code"] for answer in refused] == ["unknown_step"] * 2
    assert corrected.status_code == 202
    assert late.json()["code"] == "idempotency_key_reused"
    assert await stored(world, repository) == [corrected.json()["id"]]


async def test_a_job_that_has_been_forgotten_is_not_made_anew(world: World) -> None:
    repository = world.repository()
    job = (await post(world, request(repository), "forgotten")).json()["id"]
    await world.cancel(job)
    await world.state(job, "CANCELLED")
    gone = {"KV-Operation": "PURGE", "Nats-TTL": "86400s"}
    await world.bus.publish(world.bus.key("jobs", job), headers=gone)

    again = await post(world, request(repository), "forgotten", at=1)

    assert (again.status_code, again.json()["code"]) == (410, "forgotten")
    assert job in again.json()["detail"]
    assert await stored(world, repository) == []


async def test_many_requests_with_one_key_make_one_schedule_and_none_once_it_is_deleted(world: World) -> None:
    body = {"job": request(world.repository()), "cron": "0 0 1 1 *"}

    answers = await asyncio.gather(*(post(world, body, "s", at=n % 2, path="/schedules") for n in range(PARALLEL)))
    [schedule] = {answer.json()["id"] for answer in answers}
    await world.ask("DELETE", f"/v1/ingest/schedules/{schedule}")
    again = await post(world, body, "s", path="/schedules")

    assert {answer.status_code for answer in answers} == {201}
    assert (again.status_code, again.json()["code"]) == (410, "forgotten")
    assert (await world.ask("GET", "/v1/ingest/schedules")).json() == {"schedules": []}


@pytest.mark.parametrize("point", ["reserve#1", "queue#1", "record#1", "ready#1"])
async def test_an_orchestrator_that_dies_in_mid_submission_leaves_one_job(world: World, point: str) -> None:
    repository, key = world.repository(), f"dies at {point}"
    dying = world.orchestrator()
    port = len(world.ports) - 1

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                return (await client.get(f"http://127.0.0.1:{world.ports[port]}/readyz")).is_success
        except httpx.HTTPError:
            return False

    await world.until(ready, "the third orchestrator is ready")
    world.arm(dying, point)
    with pytest.raises(httpx.HTTPError):
        await post(world, request(repository), key, at=port)
    await world.dead(dying)
    world.ports.pop()

    again = [await post(world, request(repository), key, at=at) for at in (0, 1)]

    [job] = {answer.json()["id"] for answer in again}
    assert await stored(world, repository) == [job]
    await world.step_state(job, "a", "READY")


async def test_of_many_changes_on_one_condition_one_is_made(world: World) -> None:
    job = await world.submit(plan("a"))
    shown = await world.ask("GET", f"/v1/ingest/{job}")
    path, etag = f"/v1/ingest/{job}", {"If-Match": shown.headers["etag"]}

    async def change(number: int) -> httpx.Response:
        url = f"http://127.0.0.1:{world.ports[number % 2]}{path}"
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client:
            return await client.patch(url, json={"priority": ("high", "low")[number % 2]}, headers=etag)

    answers = await asyncio.gather(*(change(number) for number in range(10)))

    [made] = [answer for answer in answers if answer.status_code == 200]
    others = [answer for answer in answers if answer is not made]
    assert {(answer.status_code, answer.json()["code"]) for answer in others} == {(412, "changed_meanwhile")}
    now = await world.ask("GET", path)
    assert now.json()["priority"] == made.json()["priority"]
    assert others[0].headers["etag"] != shown.headers["etag"]
    matched = await world.ask("POST", f"{path}/cancel", headers={"If-Match": now.headers["etag"]})
    assert matched.status_code in {200, 202}


async def test_an_answer_that_would_be_the_same_is_not_sent(world: World) -> None:
    job = await world.submit(plan("a"))
    await world.cancel(job)
    await world.state(job, "CANCELLED")
    shown = await world.ask("GET", f"/v1/ingest/{job}")

    same = await world.ask("GET", f"/v1/ingest/{job}", headers={"If-None-Match": shown.headers["etag"]})
    other = await world.ask("GET", f"/v1/ingest/{job}", headers={"If-None-Match": '"0-0"'})

    assert (same.status_code, same.content) == (304, b"")
    assert other.json() == shown.json()


async def test_jobs_that_come_while_pages_are_read_hide_and_repeat_no_older_one(world: World) -> None:
    repository = world.repository()
    old = [(await post(world, request(repository), at=n % 2)).json()["id"] for n in range(40)]
    inserted = itertools.count()
    shown: list[str] = []

    async def insert(at: int) -> None:
        url = f"http://127.0.0.1:{world.ports[at]}/v1/ingest"
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client:
            while next(inserted) < INSERTED:
                answer = await client.post(url, json=request(world.repository()))
                assert answer.status_code == 202

    inserting = [asyncio.create_task(insert(at % 2)) for at in range(4)]
    for round_ in itertools.count():
        done = all(task.done() for task in inserting)
        shown = await through_all_pages(world, at=round_)
        assert len(shown) == len(set(shown))
        assert [job for job in shown if job in old] == old[::-1]
        if done:
            break
    await asyncio.gather(*inserting)

    assert len(shown) >= INSERTED + len(old)


async def through_all_pages(world: World, at: int) -> list[str]:
    """A page from one orchestrator, the next from the other, as the header Link says."""
    shown: list[str] = []
    path: str | None = f"/v1/ingest?limit={10 + 37 * (at % 5)}"
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client:
        while path:
            at += 1
            answer = await client.get(f"http://127.0.0.1:{world.ports[at % 2]}{path}")
            assert answer.status_code == 200, answer.text
            shown += [job["id"] for job in answer.json()["jobs"]]
            path = answer.links["next"]["url"] if "next" in answer.links else None
    return shown


async def test_what_one_orchestrator_has_made_the_other_lists_at_once(world: World) -> None:
    repository = world.repository()

    for number in range(30):
        made = (await post(world, request(repository), at=number % 2)).json()["id"]
        url = f"http://127.0.0.1:{world.ports[(number + 1) % 2]}/v1/ingest?limit=1"
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            assert [job["id"] for job in (await client.get(url)).json()["jobs"]] == [made]


async def ids(client: AsyncClient, **filters: Any) -> Sequence[str]:
    return [job.id async for job in client.iter_jobs(**filters)]


async def test_many_jobs_are_stopped_retried_and_cancelled_by_filter(world: World) -> None:
    repository, other = world.repository(), world.repository()
    mine = [(await post(world, request(repository), at=n % 2)).json()["id"] for n in range(12)]
    theirs = (await post(world, request(other))).json()["id"]

    async with AsyncClient(f"http://127.0.0.1:{world.ports[1]}") as client:
        name = (await client.get(mine[0])).repository.name
        seen = await client.stop_all(repository=name, dry_run=True)
        untouched = await ids(client, repository=name, status=["PENDING", "RUNNING"])
        some = await client.stop_all(repository=name, limit=5)
        rest = await client.stop_all(repository=name)
        for job in mine:
            await world.state(job, "STOPPED")
        refused = await client.stop_all(repository=name, status="STOPPED", limit=1)
        again = await client.retry_all(repository=name, again={"from_step": "nonsense"}, limit=3)
        retried = await client.retry_all(repository=name)
        cancelled = await client.cancel_all(repository=name)
        for job in mine:
            await world.state(job, "CANCELLED")
        nothing = await client.cancel_all(repository=name)
        left = (await client.get(theirs)).state

    newest = tuple(reversed(mine))
    assert (seen.matched, seen.done, seen.more) == (12, newest, False)
    assert list(untouched) == list(newest)
    assert (some.matched, some.done, some.more) == (12, newest[:5], True)
    assert (rest.matched, rest.done, rest.refused) == (7, newest[5:], ())
    assert refused.done == newest[:1]  # stopped twice is stopped once
    assert [each.code for each in again.refused] == ["unknown_step"] * 3
    assert (retried.matched, len(retried.done)) == (12, 12)
    assert (cancelled.matched, len(cancelled.done)) == (12, 12)
    assert nothing.matched == 0
    assert left in {"PENDING", "RUNNING"}
