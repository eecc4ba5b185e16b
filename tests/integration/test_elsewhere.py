"""Repositories from elsewhere: uploaded or fetched, kept in the object store, unpacked where a step runs."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from codestory.client import AsyncClient, Client, Conflict, Invalid, ProblemError, UploadProgress
from codestory.contracts.plans import PipelineConfig
from codestory.contracts.snapshots import PART_TYPE, PREFIX, SnapshotKind, snapshot_id
from codestory.repository_identity import identify
from codestory.snapshots.cache import SnapshotCache, SnapshotUnusable
from codestory.snapshots.packing import Packing
from codestory.snapshots.settings import CacheSettings
from codestory.snapshots.store import SnapshotStore
from codestory.testing import install_steps, wait_until
from codestory.testing_git import HOST, GitServer
from codestory.testing_world import World, Worlds, plan
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.snapshots import Snapshots
from codestory_orchestrator.store import JobStore

pytestmark = [
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not here: apt-get install git"),
]

#: A step that says which files it sees, and their hashes.
STEP = """
import hashlib
from pydantic import BaseModel
from codestory.steps import PipelineStep, StepContext, StepError, StepResult

class Options(BaseModel):
    fail: bool = False

class Seeing(PipelineStep[Options]):
    name = "seeing"

    async def execute(self, ctx):
        if ctx.options.fail:
            raise StepError("as it was told to")
        seen = {e.path: hashlib.sha256(ctx.files.read(e)).hexdigest() for e in ctx.files.walk() if e.kind == "file"}
        return StepResult("seen", details={"files": seen})
"""
WAIT = 60.0
PIPELINE = PipelineConfig.model_validate({"steps": [plan("seeing")]})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[World]:
    environment = {
        "CODESTORY_SNAPSHOT_CACHE": str(tmp_path_factory.mktemp("cache") / "unpacked"),
        "CODESTORY_SNAPSHOTS_MAX_BYTES": str(20_000_000),
        "CODESTORY_GIT_PRIVATE_HOSTS": f'["{HOST}"]',
        "CODESTORY_GIT_SUBMODULES": "true",
        "CODESTORY_GIT_DIRECTORY": str(tmp_path_factory.mktemp("fetches")),
        "CODESTORY_GIT_WATCH_SECONDS": "0.05",
        "CODESTORY_FETCH_SECONDS": "0.2",
        "CODESTORY_FETCH_LEASE_SECONDS": "1",
        "CODESTORY_FETCH_BACK_OFF_SECONDS": "0.2",
        "CODESTORY_FETCH_RETRIES": "2",
    }
    async with Worlds(Path(__file__).parents[1] / "chaos")(**environment) as shared:
        install_steps(shared.directory / "packages", "seeing_step", STEP, {"seeing": "Seeing"})
        shared.orchestrator()
        shared.orchestrator()
        shared.worker("seeing")
        await shared.ready("seeing")
        yield shared


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / f"folder-{os.urandom(4).hex()}"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text(f"A = '{os.urandom(8).hex()}'\n")
    return folder


def url(world: World) -> str:
    return f"http://127.0.0.1:{world.ports[0]}"


def hashes(folder: Path) -> dict[str, str]:
    found = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def submitted(world: World, repository: str, **fields: Any) -> dict[str, Any]:
    answer = await world.ask(
        "POST", "/v1/ingest", json={"repository": repository, "pipeline": {"steps": [plan("seeing")]}, **fields}
    )
    assert answer.status_code == 202, answer.text
    return answer.json()


async def ended(world: World, job: str) -> dict[str, Any]:
    await world.state(job, "COMPLETED", "FAILED", "CANCELLED", limit=WAIT)
    return await world.show(job)


def seen(job: dict[str, Any]) -> dict[str, str]:
    assert job["state"] == "COMPLETED", job
    found: dict[str, str] = job["steps"][0]["outcome"]["details"]["files"]
    return found


def packed(folder: Path) -> tuple[list[tuple[str, bytes]], bytes]:
    with Packing(identify(folder)) as whole:
        return [(part.sha256, part.data) for part in whole.parts()], whole.manifest()


def put(world: World, name: str, content: bytes, kind: str = PART_TYPE) -> httpx.Response:
    with httpx.Client(base_url=url(world), trust_env=False, timeout=30) as http:
        return http.put(f"/v1/ingest/snapshots/{name}", content=content, headers={"Content-Type": kind})


def look(world: World, name: str) -> tuple[int, bytes]:
    answer = httpx.head(f"{url(world)}/v1/ingest/snapshots/{name}", trust_env=False)
    return answer.status_code, answer.content


# uploads


async def test_a_step_sees_the_files_that_were_uploaded_by_either_client(world: World, folder: Path) -> None:
    told: list[UploadProgress] = []

    async with AsyncClient(url(world)) as client:
        snapshot = await client.upload(folder, on_progress=told.append)
    job = await ended(world, (await submitted(world, snapshot))["id"])
    with Client(url(world)) as sync:
        again = await asyncio.to_thread(sync.upload, folder)

    assert seen(job) == hashes(folder)
    assert job["repository"]["name"] == folder.name
    assert again == snapshot
    assert told[-1].done == told[-1].total == sum(map(len, contents(folder)))


async def test_what_was_sent_before_is_not_sent_again(world: World, folder: Path) -> None:
    parts, _ = packed(folder)
    assert put(world, *parts[0]).status_code == 201
    told: list[UploadProgress] = []

    async with AsyncClient(url(world)) as client:
        await client.upload(folder, on_progress=told.append)

    assert told[-1].sent == sum(len(data) for _, data in parts[1:])
    assert put(world, *parts[0]).status_code == 200
    assert [look(world, name) for name in (parts[0][0], "0" * 64)] == [(200, b""), (404, b"")]


async def test_a_changed_folder_keeps_its_name_and_another_of_the_same_name_does_not_get_it(
    world: World, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / folder.name
    shutil.copytree(folder, other)
    async with AsyncClient(url(world)) as client:
        for text in ("one", "two"):
            (folder / "README.md").write_text(text)
            await submitted(world, await client.upload(folder))
        foreign = await client.upload(other)
        with pytest.raises(Conflict) as refused:
            await client.submit(repository=foreign, pipeline=PIPELINE)

    assert refused.value.code == "name_taken"


async def test_content_under_a_wrong_name_is_refused_and_nothing_of_it_is_kept(world: World) -> None:
    content = os.urandom(1_500_000)
    wrong = "0" * 64

    answer = put(world, wrong, content)

    assert (answer.status_code, answer.json()["code"]) == (422, "hash_mismatch")
    store = SnapshotStore(world.bus)
    assert await store.find(SnapshotKind.PART, wrong) is None
    whole = {kept.nuid for kept in await store.all()}
    stream = world.bus.stream("OBJ_snapshots").removeprefix("OBJ_")
    chunks = await world.bus.subjects("OBJ_snapshots", f"$O.{stream}.C.*")
    assert {subject.rpartition(".")[2] for subject in chunks} == whole


async def test_a_manifest_whose_parts_are_missing_names_them(world: World, folder: Path) -> None:
    parts, manifest = packed(folder)

    answer = put(world, hashlib.sha256(manifest).hexdigest(), manifest, "application/json")

    assert (answer.status_code, answer.json()["code"]) == (409, "parts_missing")
    assert all(sha256 in answer.json()["detail"] for sha256, _ in parts)


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{}", "application/json", 422, "manifest_invalid"),
        (b"no json", "application/json", 422, "manifest_invalid"),
        (b'{"name": "a", "files": -1, "bytes": 0, "parts": ["x"]}', "application/json", 422, "manifest_invalid"),
        (b"x", "text/plain", 415, "unsupported_media_type"),
        (bytes(17 * 2**20), PART_TYPE, 413, "content_too_large"),
    ],
)
async def test_what_is_no_part_and_no_manifest_is_refused(
    world: World, content: bytes, kind: str, status: int, code: str
) -> None:
    answer = await asyncio.to_thread(put, world, hashlib.sha256(content).hexdigest(), content, kind)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_no_more_is_kept_than_the_quota_says(world: World) -> None:
    stored: list[str] = []
    try:
        while True:
            content = os.urandom(4_000_000)
            answer = await asyncio.to_thread(put, world, hashlib.sha256(content).hexdigest(), content)
            if answer.status_code != 201 or len(stored) > 20:
                break
            stored.append(hashlib.sha256(content).hexdigest())
        assert (answer.status_code, answer.json()["code"]) == (507, "snapshots_full")
        assert "CODESTORY_SNAPSHOTS_MAX_BYTES" in answer.json()["detail"]
        assert 2 < len(stored) < 6
    finally:
        store = SnapshotStore(world.bus)
        for name in stored:
            if kept := await store.find(SnapshotKind.PART, name):
                await store.remove(kept)


async def test_a_snapshot_that_is_not_there_is_refused_at_once(world: World) -> None:
    async with AsyncClient(url(world)) as client:
        with pytest.raises(Invalid) as refused:
            await client.submit(repository=PREFIX + "0" * 64, pipeline=PIPELINE)

    assert refused.value.code == "unknown_snapshot"


async def test_a_job_whose_snapshot_goes_before_its_turn_fails_and_says_what_to_do(world: World, folder: Path) -> None:
    async with AsyncClient(url(world)) as client:
        snapshot = await client.upload(folder)
    job = await submitted(world, snapshot, countdown=2)
    store = SnapshotStore(world.bus)
    kept = await store.find(SnapshotKind.SNAPSHOT, snapshot_id(snapshot))
    assert kept
    assert await store.remove(kept)

    shown = await ended(world, job["id"])

    assert shown["state"] == "FAILED"
    assert "--upload" in shown["steps"][0]["message"]


async def test_what_nobody_has_asked_for_goes_in_time_and_what_a_job_needs_does_not(world: World, folder: Path) -> None:
    async with AsyncClient(url(world)) as client:
        needed = await client.upload(folder)
        await submitted(world, needed, countdown=600)
        (folder / "src" / "a.py").write_text("B = 2\n")
        other = await client.upload(folder)
    jobs = JobStore(world.bus)
    await jobs.mirror.start()
    snapshots = Snapshots(world.bus, jobs, OrchestratorSettings(snapshots_max_age_seconds=0.001))

    await snapshots.sweep()

    left = {kept.sha256: kept for kept in await SnapshotStore(world.bus).all()}
    assert snapshot_id(needed) in left
    assert snapshot_id(other) not in left
    manifest = await SnapshotStore(world.bus).manifest(left[snapshot_id(needed)])
    parts = {sha256 for sha256, kept in left.items() if kept.kind is SnapshotKind.PART}
    assert set(manifest.parts) <= parts
    assert {part for part, _ in packed(folder)[0]}.isdisjoint(parts)


# unpacked once, and let go of when it is in nobody's way


def cache_of(world: World, tmp_path: Path, **settings: Any) -> SnapshotCache:
    return SnapshotCache(world.bus, CacheSettings(snapshot_cache=tmp_path / "own", **settings))


async def uploaded(world: World, folder: Path) -> str:
    async with AsyncClient(url(world)) as client:
        return snapshot_id(await client.upload(folder))


async def test_many_at_once_unpack_it_once(world: World, folder: Path, tmp_path: Path) -> None:
    snapshot = await uploaded(world, folder)
    caches = [cache_of(world, tmp_path) for _ in range(8)]

    async def files(cache: SnapshotCache) -> tuple[int, dict[str, str]]:
        async with cache.held(snapshot) as directory:
            return directory.stat().st_ino, hashes(directory)

    found = await asyncio.gather(*(files(cache) for cache in caches))

    assert [each for _, each in found] == [hashes(folder)] * 8
    assert len({inode for inode, _ in found}) == 1
    assert {path.suffix for path in (tmp_path / "own").iterdir()} == {"", ".lock"}


async def test_what_is_in_use_stays_and_what_is_not_makes_room(world: World, folder: Path, tmp_path: Path) -> None:
    first = await uploaded(world, folder)
    (folder / "more").write_text("more")
    second = await uploaded(world, folder)
    (folder / "most").write_text("most")
    third = await uploaded(world, folder)
    cache = cache_of(world, tmp_path, snapshot_cache_bytes=0)

    async with cache.held(first) as directory:
        async with cache.held(second):
            pass
        async with cache.held(third):
            assert hashes(directory)
            assert not (tmp_path / "own" / second).exists()


async def test_what_a_dead_process_left_half_unpacked_is_done_anew(world: World, folder: Path, tmp_path: Path) -> None:
    snapshot = await uploaded(world, folder)
    left = tmp_path / "own" / f"{snapshot}.0123.begun"
    (left / "files").mkdir(parents=True)
    (tmp_path / "own").chmod(0o700)

    async with cache_of(world, tmp_path).held(snapshot) as directory:
        assert hashes(directory) == hashes(folder)
    assert not left.exists()


async def test_it_is_not_unpacked_where_others_may_write_or_beyond_the_limit(
    world: World, folder: Path, tmp_path: Path
) -> None:
    snapshot = await uploaded(world, folder)
    with pytest.raises(SnapshotUnusable, match="CODESTORY_SNAPSHOT_UNPACKED_BYTES"):
        async with cache_of(world, tmp_path, snapshot_unpacked_bytes=1).held(snapshot):
            pass
    (tmp_path / "own").chmod(0o777)
    with pytest.raises(SnapshotUnusable, match="CODESTORY_SNAPSHOT_CACHE"):
        async with cache_of(world, tmp_path).held(snapshot):
            pass


# git addresses


async def test_a_git_address_is_fetched_and_its_commit_recorded(world: World, server: GitServer) -> None:
    work = server.repository("org/shop", {"a.py": "A = 1\n", "docs/b.md": "# B\n"})
    commit = server.commit("org/shop", {"a.py": "A = 2\n"})

    job = await submitted(world, f"{server.url}/org/shop")
    shown = await ended(world, job["id"])

    assert seen(shown) == hashes(work)
    assert shown["repository"]["name"] == f"{HOST}/org/shop"
    assert shown["source"]["commit"] == commit
    assert snapshot_id(shown["repository"]["path"])


async def test_its_submodules_come_with_it_where_they_are_asked_for(world: World, server: GitServer) -> None:
    lib = server.repository("org/lib", {"lib.py": "L = 1\n"})
    server.repository("org/main", {"a.py": "A = 1\n"})
    server.submodule("org/main", "libs/lib", "../lib", server.head("org/lib"))

    shown = await ended(world, (await submitted(world, f"{server.url}/org/main", submodules=True))["id"])
    assert seen(shown)["libs/lib/lib.py"] == hashes(lib)["lib.py"]


async def test_a_commit_that_is_not_the_newest_can_be_named(world: World, server: GitServer) -> None:
    server.repository("org/old", {"a": "old"})
    old = server.commit("org/old", {"b": "b"})
    server.commit("org/old", {"a": "new"})

    shown = await ended(world, (await submitted(world, f"{server.url}/org/old", ref=old))["id"])

    assert shown["source"]["commit"] == old
    assert seen(shown)["a"] == hashlib.sha256(b"old").hexdigest()


async def test_a_server_that_fails_for_a_while_is_asked_again(world: World, server: GitServer) -> None:
    server.repository("org/flaky", {"a": "a"})
    server.failing = 2

    shown = await ended(world, (await submitted(world, f"{server.url}/org/flaky"))["id"])

    assert shown["state"] == "COMPLETED"
    assert 1 <= shown["source"]["failures"] <= 2


async def test_what_cannot_be_fetched_fails_with_the_reason_and_can_be_retried(world: World, server: GitServer) -> None:
    job = (await submitted(world, f"{server.url}/org/late"))["id"]

    failed = await ended(world, job)
    assert failed["state"] == "FAILED"
    assert "could not be fetched" in failed["message"]
    server.repository("org/late", {"a": "a"})
    await world.verb(job, "retry")
    shown = await ended(world, job)

    assert shown["state"] == "COMPLETED"


async def test_a_retry_fetches_the_same_commit_again_if_the_snapshot_has_gone(world: World, server: GitServer) -> None:
    server.repository("org/gone", {"a": "first"})
    failing = {"steps": [plan("seeing", fail=True)]}
    job = (await submitted(world, f"{server.url}/org/gone", pipeline=failing))["id"]
    before = await ended(world, job)
    server.commit("org/gone", {"a": "second"})
    store = SnapshotStore(world.bus)
    kept = await store.find(SnapshotKind.SNAPSHOT, snapshot_id(before["repository"]["path"]))
    assert kept
    assert await store.remove(kept)

    await world.verb(job, "retry", options={"fail": False})
    shown = await ended(world, job)

    assert seen(shown)["a"] == hashlib.sha256(b"first").hexdigest()


async def test_while_it_is_fetched_why_says_so_and_a_cancel_ends_it_at_once(world: World, server: GitServer) -> None:
    server.repository("org/slow", {"a": "a"})
    server.answering.clear()
    try:
        job = (await submitted(world, f"{server.url}/org/slow"))["id"]

        async def asked() -> bool:
            return any("/org/slow/" in request for request in server.asked)

        await wait_until(asked, "it is being fetched")
        why = (await world.ask("GET", f"/v1/ingest/{job}/why")).json()
        await world.cancel(job)
        await world.state(job, "CANCELLED")

        assert [wait["cause"] for wait in why["waits"]] == ["fetch"]
        assert f"{server.url}/org/slow" in why["text"]
    finally:
        server.answering.set()


async def test_an_orchestrator_that_dies_while_it_fetches_is_replaced_by_another(
    world: World, server: GitServer
) -> None:
    server.repository("org/crash", {"a": "a"})
    server.answering.clear()
    try:
        job = (await submitted(world, f"{server.url}/org/crash"))["id"]

        async def asked() -> bool:
            return any("/org/crash/" in request for request in server.asked)

        await wait_until(asked, "it is being fetched")
        lease = await world.bus.last("KV_lease", world.bus.key("lease", f"fetch.{job}"))
        assert lease
        holder = next(p for p in world.started if f"-{p.pid}-" in lease.data.decode())
        holder.kill()
        await world.dead(holder)
        world.orchestrator()
    finally:
        server.answering.set()

    shown = await ended(world, job)

    assert seen(shown) == {"a": hashlib.sha256(b"a").hexdigest()}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"repository": "https://me:word@git.example/a"}, "credential"),
        ({"repository": "file:///srv/a"}, "CODESTORY_GIT_FILES"),
        ({"repository": "https://git.example/a", "credential": "x"}, "CODESTORY_GIT_CREDENTIALS"),
        ({"repository": "https://git.example/a", "ref": "--x"}, "ref"),
        ({"repository": "https://git.example/a", "on_full": "fail"}, "on_full"),
        ({"repository": "/srv/a", "ref": "main"}, "git address"),
    ],
)
async def test_what_is_not_fetched_is_refused_at_once(world: World, fields: dict[str, Any], says: str) -> None:
    async with AsyncClient(url(world)) as client:
        with pytest.raises(ProblemError, match=says) as refused:
            await client.submit(pipeline=PIPELINE, **fields)

    assert refused.value.code == "repository_refused"
    assert "word" not in str(refused.value)
