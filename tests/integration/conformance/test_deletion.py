"""Repositories as the API lists, shows and deletes them: real orchestrators, a real broker, the graph under test."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from codestory.contracts.access import Principal, Role
from codestory.contracts.jobs import Repository
from codestory.contracts.plans import StepPlan
from codestory.contracts.repositories import ListRepositories
from codestory.graph import Fence, GraphWriter, Node, Relationship, node_id, queries
from codestory.repository_identity import repository_id
from codestory.testing_bus import LIMIT
from codestory.testing_world import World, Worlds, plan
from codestory_orchestrator import pipeline
from codestory_orchestrator.deletions import Deletions
from codestory_orchestrator.errors import RepositoryNotFound
from codestory_orchestrator.repositories import Repositories
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.store import JobStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from conftest import Wire
    from neo4j import AsyncDriver

    from codestory.graph import GraphSettings

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

CHAOS = Path(__file__).parents[2] / "chaos"
FILES = 30
FENCE = "MATCH (f:_Fence {key: $key}) RETURN f.sequence AS sequence"
#: A removal that has claimed the fences and taken nothing yet: its next transaction does not come through.
HELD = [b"f.done = null", b"\x00\x02\xb0\x12\x00\x00", b"SET f.lock"]


class Deleting:
    """A world whose orchestrators reach the graph by a wire."""

    def __init__(self, world: World, wire: Wire, driver: AsyncDriver, settings: GraphSettings) -> None:
        self.world, self.wire, self.driver, self.settings = world, wire, driver, settings

    async def fill(self, name: str, sequence: int = 1, *, commit: str = "c0ffee") -> str:
        """As filesystem leaves it."""
        id_ = repository_id(name)
        root = Node("Repository", id_, {"name": name, "url": "", "branch": "main", "commit": commit})
        files = [Node("File", node_id(id_, "File", f"f{n}"), {"path": f"f{n}"}) for n in range(FILES)]
        contains = [Relationship("CONTAINS", "Repository", id_, "File", file.id) for file in files]
        fence = Fence(await self.world.bus.current_epoch(), sequence)
        settings = self.settings.model_copy(update={"graph_batch_rows": 5})
        writer = GraphWriter(
            self.driver, settings, repository=id_, owner="filesystem", fence=fence, labels=("Repository", "File")
        )
        await writer.replace([root, *files], contains, volatile={"ingested_at": "2026-11-28T10:00:00+00:00"})
        return id_

    async def left(self, id_: str) -> list[Any]:
        return [item async for item in queries.items(self.driver, id_)]

    async def ask(self, method: str, name: str = "", **more: Any) -> httpx.Response:
        path = f"/{quote(name, safe='')}" if name else ""
        return await self.world.ask(method, f"/v1/repositories{path}", **more)

    async def held(self) -> None:
        """The deletion goes on, and is held where the wire was told to."""
        await asyncio.wait_for(self.wire.frozen.wait(), LIMIT)

    async def gone(self, name: str) -> None:
        async def there() -> bool:
            return (await self.ask("GET", name)).status_code == 404

        await self.world.until(there, f"{name} is gone")

    async def ended(self, name: str, **more: Any) -> str:
        """A job on it that has completed."""
        job = await self.world.submit(plan("a"), name=name, **more)
        await self.world.state(job, "COMPLETED")
        return job


@pytest_asyncio.fixture
async def deleting(
    wire: tuple[Wire, GraphSettings], driver: AsyncDriver, settings: GraphSettings
) -> AsyncGenerator[Deleting]:
    through, reached = wire
    environment = {
        "CODESTORY_NEO4J_URI": reached.neo4j_uri,
        "CODESTORY_NEO4J_USER": reached.neo4j_user,
        "CODESTORY_NEO4J_PASSWORD": reached.password(),
        "CODESTORY_NEO4J_DATABASE": reached.neo4j_database,
        "CODESTORY_GRAPH_BATCH_ROWS": "5",
        "CODESTORY_DELETION_TAKEOVER_SECONDS": "2",
    }
    async with Worlds(CHAOS)(**environment) as world:
        world.orchestrator()
        world.worker("a")
        await world.ready("a")
        yield Deleting(world, through, driver, settings)


async def test_a_repository_is_listed_shown_and_deleted_and_its_name_is_free_again(deleting: Deleting) -> None:
    world, name = deleting.world, "example.org/shop & co"
    path = world.repository()
    job = await deleting.ended(name, repository=path)
    await deleting.ended("other")

    known = (await deleting.ask("GET", name)).json()
    assert known | {"nodes": {}} == known, "no step has written it yet"
    assert (known["in_graph"], known["complete"], known["origin"]) == (False, False, path)
    id_ = await deleting.fill(name)
    shown = (await deleting.ask("GET", id_)).json()
    assert (shown["name"], shown["branch"], shown["commit"]) == (name, "main", "c0ffee")
    assert shown["ingested_at"] == "2026-11-28T10:00:00Z"
    assert shown["nodes"] == {"File": FILES, "Repository": 1}
    assert shown["complete"] is True
    assert (shown["last_job"]["id"], shown["last_job"]["state"]) == (job, "COMPLETED")
    listed = (await deleting.ask("GET", params={"name": "example"})).json()["repositories"]
    assert [each["id"] for each in listed] == [id_]

    answer = await deleting.ask("DELETE", name)
    assert answer.status_code == 202
    assert answer.json()["deleting"] is True
    assert answer.headers["Location"] == f"/v1/repositories/{id_}"
    await deleting.gone(id_)

    assert await deleting.left(id_) == []
    again = await deleting.ask("DELETE", name)
    assert (again.status_code, again.json()["code"]) == (404, "repository_not_found")
    assert (await world.show(job))["state"] == "COMPLETED", "jobs stay, as history"
    names = [each["name"] for each in (await deleting.ask("GET")).json()["repositories"]]
    assert "other" in names
    assert name not in names
    await deleting.ended(name)  # another folder: the name was bound to the first


async def test_while_a_job_on_it_has_not_ended_nothing_is_deleted(deleting: Deleting) -> None:
    world, gate = deleting.world, deleting.world.gate()
    id_ = await deleting.fill("busy")
    running = await world.submit(plan("a", gate=gate.path), name="busy")
    await world.event(running, "a", "started")
    later = await world.submit(plan("a"), name="busy-later", countdown=3600)

    for name, job in (("busy", running), ("busy-later", later)):
        refused = await deleting.ask("DELETE", name)
        assert (refused.status_code, refused.json()["code"]) == (409, "repository_busy")
        assert job in refused.json()["detail"]
    assert len(await deleting.left(id_)) == 2 * FILES + 1
    gate.open()
    await world.state(running, "COMPLETED")
    assert (await deleting.ask("DELETE", "busy")).status_code == 202
    await deleting.gone("busy")
    await world.cancel(later)


@pytest.mark.parametrize("bound", [True, False])
async def test_a_job_that_comes_meanwhile_begins_when_the_deletion_is_done(deleting: Deleting, *, bound: bool) -> None:
    """`bound`: a job was on it before; otherwise the graph alone knows it, as after a loss of the broker."""
    world, path = deleting.world, deleting.world.repository()
    if bound:
        await deleting.ended("shop", repository=path)
    id_ = await deleting.fill("shop", await _last_event(world))
    deleting.wire.freeze = list(HELD)
    assert (await deleting.ask("DELETE", "shop")).status_code == 202
    await deleting.held()

    job = await world.submit(plan("a"), name="shop", repository=path)
    assert (await world.show(job))["state"] == "PENDING"
    assert (await deleting.ask("DELETE", "shop")).status_code == 202, "it goes on, whoever waits"
    assert "is being deleted" in (await world.ask("GET", f"/v1/ingest/{job}/why")).json()["text"]
    planned = await world.ask("POST", "/v1/ingest/plan", json={"repository": path, "name": "shop", "steps": ["a"]})
    assert {"repository_deleting", "repository_busy"} <= {each["code"] for each in planned.json()["warnings"]}
    assert (await deleting.ask("GET", "shop")).json()["deletion"]["problem"] == ""
    deleting.wire.thaw.set()

    await world.state(job, "COMPLETED")
    assert await deleting.left(id_) == []
    after = (await deleting.ask("GET", "shop")).json()
    assert (after["deleting"], after["in_graph"], after["last_job"]["id"]) == (False, False, job)


async def test_of_a_deletion_and_a_job_that_come_at_once_one_waits_for_the_other(deleting: Deleting) -> None:
    world, path = deleting.world, deleting.world.repository()
    for _ in range(6):
        gate = world.gate()
        id_ = await deleting.fill("shop", await _last_event(world))
        job, answer = await asyncio.gather(
            world.submit(plan("a", gate=gate.path), name="shop", repository=path), deleting.ask("DELETE", "shop")
        )
        await world.event(job, "a", "started")
        left = await deleting.left(id_)
        gate.open()
        await world.state(job, "COMPLETED")
        if answer.status_code == 409:
            assert len(left) == 2 * FILES + 1
            continue
        assert answer.status_code == 202
        assert left == [], "it was done before the job began"
        started = (await world.events(job, "started"))[0].sequence
        found = await deleting.driver.execute_query(FENCE, {"key": f"{id_}+filesystem"}, database_="neo4j")
        assert found.records[0]["sequence"] < started


async def _last_event(world: World) -> int:
    return (await world.bus.js.stream_info(world.bus.stream("EVENTS"))).state.last_seq


@pytest.mark.parametrize("point", ["before it is done", "unbind#1", "queue#2"])
async def test_what_a_dying_orchestrator_has_begun_another_ends(deleting: Deleting, point: str) -> None:
    world = deleting.world
    await deleting.ended("shop")
    id_ = await deleting.fill("shop")
    victim = world.started[0]
    if point in {"unbind#1", "queue#2"}:
        world.arm(victim, point)
    else:
        deleting.wire.freeze = list(HELD)
    world.orchestrator()
    port = world.ports[0]
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.delete(f"http://127.0.0.1:{port}/v1/repositories/shop")
    assert answer.status_code == 202
    if point == "before it is done":
        await deleting.held()
        victim.kill()
    await world.dead(victim)
    deleting.wire.thaw.set()

    await deleting.gone("shop")
    assert await deleting.left(id_) == []


async def test_an_orchestrator_that_wakes_up_later_takes_nothing_of_what_has_come_since(deleting: Deleting) -> None:
    world, path = deleting.world, deleting.world.repository()
    await deleting.ended("shop", repository=path)
    id_ = await deleting.fill("shop")
    sleeper = world.started[0]
    deleting.wire.freeze = list(HELD)
    assert (await deleting.ask("DELETE", "shop")).status_code == 202
    await deleting.held()
    world.stop(sleeper)
    world.orchestrator()
    await deleting.gone("shop")

    job = await deleting.ended("shop", repository=path)
    started = (await world.events(job, "started"))[-1].sequence
    await deleting.fill("shop", started, commit="decade")
    before = await queries.digest(deleting.driver, id_)
    deleting.wire.thaw.set()
    world.resume(sleeper)
    writes = (await deleting.ask("GET", "shop")).json()
    await world.ready("a")

    async def heard() -> bool:
        """The sleeper is awake and has gone through a round."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            answer = await client.get(f"http://127.0.0.1:{world.ports[0]}/v1/repositories/shop")
        return answer.status_code == 200 and answer.json()["commit"] == "decade"

    await world.until(heard, "the one that slept answers")
    await world.until(lambda: _logged(world, "repository.deletion_failed"), "it has been refused")
    assert await queries.digest(deleting.driver, id_) == before
    assert writes["deleting"] is False


async def _logged(world: World, what: str) -> bool:
    return what in world.log.read_text()


async def test_without_a_graph_nobody_is_told_that_there_is_nothing(deleting: Deleting) -> None:
    deleting.wire.cut()
    port = deleting.world.ports[0]
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for method, path in (("GET", ""), ("GET", "/shop"), ("DELETE", "/shop")):
            answer = await client.request(method, f"http://127.0.0.1:{port}/v1/repositories{path}")
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "graph_unavailable"


async def test_pages_lead_through_all_of_them_once(deleting: Deleting) -> None:
    names = [f"page/{n:02d}" for n in range(7)]
    for name in names:
        await deleting.ended(name)
    seen: list[str] = []
    asked: dict[str, Any] = {"name": "page/", "limit": 3}
    while True:
        page = await deleting.ask("GET", params=asked)
        seen += [each["name"] for each in page.json()["repositories"]]
        if page.json()["next"] is None:
            break
        assert 'rel="next"' in page.headers["Link"]
        asked["cursor"] = page.json()["next"]
    assert seen == names

    refused = await deleting.ask("GET", params={"name": "other", "cursor": asked["cursor"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "cursor_invalid")


async def test_who_is_no_admin_sees_those_that_a_job_of_theirs_is_on(
    deleting: Deleting, settings: GraphSettings
) -> None:
    bus, wished = deleting.world.bus, OrchestratorSettings(repositories_graph_seconds=30)
    store = JobStore(bus)
    await store.mirror.start()
    never: Any = None
    deletions = Deletions(bus, store, never, never, graph=settings, settings=wished, me="test")
    repositories = Repositories(store, deletions, settings, wished)
    for owner, name in (("ann", "hers"), ("bob", "his"), ("ann", "ours"), ("bob", "ours")):
        repository = Repository(id=repository_id(name), name=name, path=f"/srv/{name}")
        job = pipeline.make(f"{owner}-{name}", repository, (StepPlan(name="a"),), at=bus.now(), owner=owner)
        assert await store.write(job, 0)
        await store.join(repository, f"/srv/{name}", None, moved=lambda _: False)
    ann = Principal(owner="ann", role=Role.OPERATOR)
    try:
        listed = await repositories.list_repositories(ListRepositories(), ann)

        assert [each.name for each in listed.repositories] == ["hers", "ours"]
        assert (await repositories.show("ours", ann)).name == "ours"
        with pytest.raises(RepositoryNotFound):
            await repositories.show("his", ann)
        assert (await repositories.show("his", Principal(owner="root", role=Role.ADMIN))).name == "his"
    finally:
        await deletions.close()
        await repositories.close()
