"""Two orchestrators behind keys, on a real server: whose is whose, tickets, and what ends with a key."""

import asyncio
import io
import json
import secrets
import zipfile
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import pytest_asyncio
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from codestory import cancelling
from codestory.bus import Bus
from codestory.contracts.api import StepInfo
from codestory.graph.settings import GraphSettings
from codestory.testing import NatsServer, wait_until
from codestory_orchestrator.api import ApiSettings, create_app
from codestory_orchestrator.bundles import contents
from codestory_orchestrator.orchestrator import Orchestrator
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.testing_access import KeysFile

#: Bytes. The server reserves them for each of the namespaces.
SMALL = 1024 * 1024
PIPELINE = {"steps": [{"name": "scan"}]}
HEARTBEAT = 0.1


class Service:
    """One orchestrator with its API on a socket, in this process."""

    def __init__(self, settings: OrchestratorSettings) -> None:
        self.orchestrator = Orchestrator(Bus(settings, "orchestrator"), settings, GraphSettings())
        parts = self.orchestrator
        app = create_app(
            parts.ingestion,
            ApiSettings(ws_heartbeat_seconds=HEARTBEAT),
            schedules=parts.schedules,
            history=parts.history,
            repositories=parts.repositories,
            snapshots=parts.snapshots,
            bundles=parts.bundler,
            door=parts.door,
        )
        self.document = app.openapi()
        self._config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(self._config)
        self._socket = self._config.bind_socket()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self.orchestrator.run()),
            asyncio.create_task(self._server.serve(sockets=[self._socket])),
        ]
        async with httpx.AsyncClient(base_url=self.url) as asking:

            async def ready() -> bool:
                return self._server.started and (await asking.get("/readyz")).status_code == 200

            await wait_until(ready, "the orchestrator is ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await asyncio.wait({self._tasks[1]}, timeout=5)
        await cancelling.end(*self._tasks)
        await self.orchestrator.close()
        self._socket.close()

    def caller(self, headers: dict[str, str]) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=headers)

    def feed(self, job_id: str, query: str = "") -> str:
        return f"{self.url.replace('http', 'ws')}/ws/status/{job_id}{query}"


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    server = NatsServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def keys(tmp_path: Path) -> KeysFile:
    return KeysFile(tmp_path / "keys.json")


@pytest_asyncio.fixture
async def start(server: NatsServer, keys: KeysFile, tmp_path: Path) -> AsyncGenerator[Callable[..., Any]]:
    """Starts one more, all in one namespace; each knows the step `scan`, which nobody offers to run."""
    namespace = f"who{secrets.token_hex(4)}"
    roots = (tmp_path / "repositories",)
    roots[0].mkdir()
    async with AsyncExitStack() as stack:

        async def starting(**changes: Any) -> Service:
            values: dict[str, Any] = {
                "nats_url": server.url,
                "namespace": namespace,
                "api_keys_file": keys.path,
                "api_keys_seconds": 0.0,
                "repository_roots": roots,
                "events_max_bytes": SMALL,
                "logs_max_bytes": SMALL,
                "snapshots_max_bytes": SMALL,
                "requests_per_minute": 0,
                "submissions_per_minute": 0,
            } | changes
            service = await stack.enter_async_context(Service(OrchestratorSettings(**values)))
            bus, registry = service.orchestrator.bus, service.orchestrator.registry
            await bus.publish(bus.key("steps", "scan"), StepInfo(name="scan", version="1"))

            async def known() -> bool:
                return "scan" in registry.steps

            await wait_until(known, "the step is known")
            return service

        yield starting
        bus = Bus(OrchestratorSettings(nats_url=server.url, namespace=namespace), "cleaner")
        await bus.connect()
        for stream in await bus.js.streams_info():
            name = stream.config.name or ""
            if namespace in name:
                await bus.js.delete_stream(name)
        await bus.close()


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A request for a repository of this name."""

    def made(name: str, **more: Any) -> dict[str, Any]:
        root = tmp_path / "repositories" / name
        root.mkdir(exist_ok=True)
        (root / "a.py").write_text("A = 1\n")
        return {"repository": str(root), "pipeline": PIPELINE, **more}

    return made


async def _submitted(caller: httpx.AsyncClient, request: dict[str, Any]) -> dict[str, Any]:
    response = await caller.post("/v1/ingest", json=request)
    assert response.status_code == 202, response.text
    return response.json()


async def _last_of(feed: ClientConnection) -> None:
    while True:
        await feed.recv()


async def test_another_owners_job_and_schedule_exist_for_nobody_but_admins(
    start: Callable[..., Any], keys: KeysFile, request_for: Callable[..., dict[str, Any]]
) -> None:
    one, two = await start(), await start()
    async with (
        one.caller(keys.headers("operator")) as team,
        two.caller(keys.headers("other")) as others,
        two.caller(keys.headers("admin")) as admin,
    ):
        job = await _submitted(team, request_for("shop"))
        schedule = await team.post("/v1/ingest/schedules", json={"job": request_for("shop"), "cron": "0 0 1 1 *"})
        made = schedule.json()["id"]
        before = (await team.get(f"/v1/ingest/{job['id']}")).json()

        for path, operations in one.document["paths"].items():
            filled = path.replace("{job_id}", job["id"]).replace("{schedule_id}", made).replace("{step}", "scan")
            if "_id}" in path:
                for method in operations:
                    body = {"json": {"priority": "high"} if "job_id" in path else {"paused": True}}
                    asked = await others.request(method, filled, **(body if method in {"post", "patch"} else {}))
                    code = "job_not_found" if "job_id" in path else "schedule_not_found"
                    assert (asked.status_code, asked.json()["code"]) == (404, code), (method, path)
        cancelled = await others.post("/v1/ingest/cancel", json={"all": True})

        assert cancelled.json()["matched"] == 0
        assert (await others.get("/v1/ingest")).json()["jobs"] == []
        assert (await others.get("/v1/ingest/schedules")).json()["schedules"] == []
        assert (await team.get(f"/v1/ingest/{job['id']}")).json()["revision"] == before["revision"]
        assert (await team.get(f"/v1/ingest/schedules/{made}")).json()["paused"] is False
        assert [found["id"] for found in (await admin.get("/v1/ingest")).json()["jobs"]] == [job["id"]]
        assert (await admin.get(f"/v1/ingest/schedules/{made}")).json()["owner"] == before["owner"] == "team"
        assert (await admin.post(f"/v1/ingest/{job['id']}/cancel")).status_code in {200, 202}

    for query in ("", "?from_seq=0"):
        async with connect(two.feed(job["id"], query), additional_headers=keys.headers("other")) as feed:
            with pytest.raises(ConnectionClosed):
                await feed.recv()
        assert feed.close_code == 4404


async def test_a_bundle_tells_admins_how_the_deployment_is_set_up_and_owners_about_their_job(
    start: Callable[..., Any], keys: KeysFile, request_for: Callable[..., dict[str, Any]]
) -> None:
    service = await start()
    async with service.caller(keys.headers("operator")) as team, service.caller(keys.headers("admin")) as admin:
        job = await _submitted(team, request_for("shop"))
        path = f"/v1/ingest/{job['id']}/bundle"

        theirs, whole = _unpacked((await team.get(path)).content), _unpacked((await admin.get(path)).content)

    about = json.loads(theirs[contents.MANIFEST])
    assert json.loads(theirs[contents.RECORD])["id"] == json.loads(whole[contents.RECORD])["id"] == job["id"]
    assert {entry["name"] for entry in about["missing"]} >= set(contents.FOR_ADMINS)
    assert set(contents.FOR_ADMINS) - set(whole) <= {contents.GRAPH}
    assert not set(contents.FOR_ADMINS) & set(theirs)
    assert "the job's owner" in about["made_for"]
    for role in ("operator", "other", "admin"):
        assert keys.shown(role) not in "".join((*theirs.values(), *whole.values()))


def _unpacked(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name: packed.read(name).decode() for name in packed.namelist()}


async def test_a_ticket_lets_one_websocket_in_at_whichever_orchestrator(
    start: Callable[..., Any], keys: KeysFile, request_for: Callable[..., dict[str, Any]]
) -> None:
    one, two = await start(), await start()
    async with one.caller(keys.headers("operator")) as team, one.caller(keys.headers("other")) as others:
        job = await _submitted(team, request_for("shop"))
        ticket = (await team.post("/v1/ingest/tickets")).json()["ticket"]
        strangers = (await others.post("/v1/ingest/tickets")).json()["ticket"]
        raced = (await team.post("/v1/ingest/tickets")).json()["ticket"]

    async with connect(two.feed(job["id"], f"?ticket={ticket}")) as feed:
        assert json.loads(await feed.recv())["job"]["id"] == job["id"]
    for service in (one, two):
        with pytest.raises(InvalidStatus) as again:
            await connect(service.feed(job["id"], f"?ticket={ticket}"))
        assert again.value.response.status_code == 401
    async with connect(two.feed(job["id"], f"?ticket={strangers}")) as feed:
        with pytest.raises(ConnectionClosed):
            await feed.recv()
    assert feed.close_code == 4404

    async def enters(service: Service) -> bool:
        try:
            async with connect(service.feed(job["id"], f"?ticket={raced}")):
                return True
        except InvalidStatus:
            return False

    assert sum(await asyncio.gather(*(enters(service) for service in (one, two) * 4))) == 1


async def test_a_ticket_that_is_over_or_invented_or_sent_with_a_request_lets_nobody_in(
    start: Callable[..., Any], keys: KeysFile
) -> None:
    service = await start(tickets_seconds=1)
    async with service.caller(keys.headers("operator")) as team:
        given = (await team.post("/v1/ingest/tickets")).json()
        kept = (await team.post("/v1/ingest/tickets")).json()["ticket"]
    bus = service.orchestrator.bus

    async def over() -> bool:
        return bus.now().isoformat() > given["expires_at"]

    async with service.caller({}) as nobody:
        assert (await nobody.get(f"/v1/ingest?ticket={kept}")).status_code == 401
    await wait_until(over, "the ticket is over")
    for ticket in (given["ticket"], "invented", ""):
        with pytest.raises(InvalidStatus) as refused:
            await connect(service.feed("a" * 16, f"?ticket={ticket}"))
        assert refused.value.response.status_code == 401


async def test_who_listens_hears_no_more_once_the_key_is_revoked(
    start: Callable[..., Any], keys: KeysFile, request_for: Callable[..., dict[str, Any]]
) -> None:
    service = await start()
    async with service.caller(keys.headers("operator")) as team:
        job = await _submitted(team, request_for("shop"))
        ticket = (await team.post("/v1/ingest/tickets")).json()["ticket"]
        events = f"/v1/ingest/{job['id']}/events"
        async with (
            connect(service.feed(job["id"]), additional_headers=keys.headers("operator")) as by_header,
            connect(service.feed(job["id"], f"?ticket={ticket}")) as by_ticket,
            team.stream("GET", events, headers={"Accept": "text/event-stream"}) as stream,
        ):
            assert stream.status_code == 200
            await by_header.recv()
            await by_ticket.recv()

            keys.revoke("operator")

            async with asyncio.timeout(10):
                async for _ in stream.aiter_bytes():
                    pass
                for feed in (by_header, by_ticket):
                    with pytest.raises(ConnectionClosed):
                        await _last_of(feed)
                    assert feed.close_code == 4401
        assert (await team.get(events)).status_code == 401


async def test_an_owner_has_no_more_unfinished_jobs_than_the_quota(
    start: Callable[..., Any], keys: KeysFile, request_for: Callable[..., dict[str, Any]]
) -> None:
    service = await start(unfinished_jobs_per_owner=2)
    async with service.caller(keys.headers("operator")) as team, service.caller(keys.headers("other")) as others:
        for _ in range(2):
            await _submitted(team, request_for("shop"))
        refused = await team.post("/v1/ingest", json=request_for("shop"))
        await _submitted(others, request_for("bakery"))

    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert int(refused.headers["retry-after"]) > 0


async def test_a_job_that_is_to_run_again_counts_as_a_new_one(
    start: Callable[..., Any], keys: KeysFile, request_for: Callable[..., dict[str, Any]]
) -> None:
    service = await start(unfinished_jobs_per_owner=2)
    async with service.caller(keys.headers("operator")) as team, service.caller(keys.headers("admin")) as admin:
        first, second = [(await _submitted(team, request_for("shop")))["id"] for _ in range(2)]
        ended = await team.post(f"/v1/ingest/{second}/cancel")
        third = (await _submitted(team, request_for("shop")))["id"]
        refused = [await caller.post(f"/v1/ingest/{second}/retry") for caller in (team, admin)]
        many = await team.post("/v1/ingest/retry", json={"filter": {"status": ["CANCELLED"]}})
        await team.post(f"/v1/ingest/{third}/cancel")
        again = [await team.post(f"/v1/ingest/{second}/retry") for _ in range(2)]

    assert ended.json()["state"] == "CANCELLED"
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(429, "quota_exceeded")}
    assert [(each["id"], each["code"]) for each in many.json()["refused"]] == [(second, "quota_exceeded")]
    assert {answer.status_code for answer in again} == {202}, "what has been asked already changes nothing"
    assert first != second


async def test_nobody_is_told_where_the_repository_of_another_owner_lies(
    start: Callable[..., Any], keys: KeysFile, request_for: Callable[..., dict[str, Any]]
) -> None:
    service = await start()
    async with service.caller(keys.headers("operator")) as team, service.caller(keys.headers("other")) as others:
        await _submitted(team, request_for("shop"))
        taking = {**request_for("bakery"), "name": "shop"}
        told = [await team.post(f"/v1/ingest{path}", json=taking) for path in ("", "/plan")]
        kept = [await others.post(f"/v1/ingest{path}", json=taking) for path in ("", "/plan")]

    where = request_for("shop")["repository"]
    for submitted, planned in (told, kept):
        assert (submitted.status_code, submitted.json()["code"]) == (409, "name_taken")
        assert "name_taken" in [warning["code"] for warning in planned.json()["warnings"]]
    assert all(where in answer.text for answer in told)
    assert not any(where in answer.text for answer in kept)


async def test_with_keys_and_without_roots_no_directory_is_read(
    start: Callable[..., Any], keys: KeysFile, request_for: Callable[..., dict[str, Any]]
) -> None:
    service = await start(repository_roots=())
    async with service.caller(keys.headers("admin")) as admin:
        refused = await admin.post("/v1/ingest", json=request_for("shop"))

    assert (refused.status_code, refused.json()["code"]) == (403, "outside_roots")
    assert "--upload" in refused.json()["detail"]


async def test_who_holds_what_one_waits_for_is_told_without_their_repository(
    start: Callable[..., Any], keys: KeysFile, request_for: Callable[..., dict[str, Any]]
) -> None:
    service = await start(resource_max_tokens=1)
    async with (
        service.caller(keys.headers("operator")) as team,
        service.caller(keys.headers("other")) as others,
        service.caller(keys.headers("admin")) as admin,
    ):
        holder = await _submitted(others, request_for("confidential"))

        async def held() -> bool:
            found = (await admin.get("/v1/ingest/resource_status/holders")).json()["holders"]
            return [one["job"] for one in found] == [holder["id"]]

        await wait_until(held, "the token is held")
        waiting = await _submitted(team, request_for("shop"))
        theirs = [await team.get(f"/v1/ingest/{path}") for path in (f"{waiting['id']}/why", "resource_status/holders")]
        admins = [await admin.get(f"/v1/ingest/{path}") for path in (f"{waiting['id']}/why", "resource_status/holders")]

    assert all(response.status_code == 200 and holder["id"] in response.text for response in theirs)
    assert all("confidential" in response.text for response in admins)
    assert not [response.text for response in theirs if "confidential" in response.text or "others" in response.text]


async def test_health_says_how_people_are_let_in(start: Callable[..., Any], keys: KeysFile) -> None:
    service = await start()
    async with service.caller(keys.headers("viewer")) as viewer:
        told = await viewer.get("/v1/ingest/health")
    checks = told.json()["checks"] if "checks" in told.json() else told.json()["health"]["checks"]

    assert checks["authentication"]["observed"]["mode"] == "authenticated"
    assert checks["authentication"]["status"] == "pass"
