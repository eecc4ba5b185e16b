"""What operators see of the store of snapshots, and what they delete of it."""

import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from codestory.bus import Bus
from codestory.client import AsyncClient
from codestory.contracts.plans import PipelineConfig
from codestory.contracts.snapshots import PART_TYPE, SnapshotKind, snapshot_id
from codestory.repository_identity import identify
from codestory.snapshots.packing import Packing
from codestory.snapshots.store import SnapshotStore
from codestory.testing_world import World, Worlds, plan
from codestory_orchestrator.errors import RepositoryBusy, SnapshotNotFound
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.snapshot_keeping import SnapshotKeeping
from codestory_orchestrator.snapshots import Snapshots
from codestory_orchestrator.store import JobStore

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

LIMIT = 20_000_000
PIPELINE = PipelineConfig.model_validate({"steps": [plan("a")]})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncGenerator[World]:
    """Nobody works: its jobs wait."""
    async with Worlds(Path(__file__).parents[1] / "chaos")(CODESTORY_SNAPSHOTS_MAX_BYTES=str(LIMIT)) as shared:
        shared.orchestrator()
        await shared.register("a")
        yield shared


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / f"folder-{os.urandom(4).hex()}"
    folder.mkdir()
    (folder / "a.py").write_text(f"A = '{os.urandom(8).hex()}'\n")
    (folder / "README.md").write_text("# A folder\n")
    return folder


def url(world: World) -> str:
    return f"http://127.0.0.1:{world.ports[0]}"


def packed(folder: Path) -> tuple[list[tuple[str, bytes]], bytes]:
    with Packing(identify(folder)) as whole:
        return [(part.sha256, part.data) for part in whole.parts()], whole.manifest()


async def put(world: World, name: str, content: bytes, kind: str = PART_TYPE) -> None:
    async with httpx.AsyncClient(base_url=url(world), trust_env=False, timeout=30) as http:
        answer = await http.put(f"/v1/ingest/snapshots/{name}", content=content, headers={"Content-Type": kind})
    assert answer.is_success, answer.text


@asynccontextmanager
async def asking(world: World, settled: timedelta = timedelta(0)) -> AsyncGenerator[SnapshotKeeping]:
    """As an orchestrator keeps the store. Its bus is its own: what it hears ends with it."""
    bus = Bus(world.bus.settings, "keeper")
    await bus.connect()
    jobs = JobStore(bus)
    await jobs.mirror.start()
    try:
        yield SnapshotKeeping(Snapshots(bus, jobs, OrchestratorSettings()), settled)
    finally:
        await bus.close()


async def test_a_snapshot_is_shown_with_who_needs_it_and_deleted_once_nobody_does(world: World, folder: Path) -> None:
    async with AsyncClient(url(world)) as client, asking(world) as keeping:
        snapshot = await client.upload(folder)
        sha256 = snapshot_id(snapshot)
        job = (await client.submit(repository=snapshot, countdown=600, pipeline=PIPELINE)).id
        parts = [part for part, _ in packed(folder)[0]]
        store = SnapshotStore(world.bus)

        shown = await keeping.list_snapshots(200)
        with pytest.raises(RepositoryBusy, match=job):
            await keeping.delete(sha256)
        await client.cancel(job)
        before = await keeping.list_snapshots(1)
        deleted = await keeping.delete(sha256)
        after = await keeping.list_snapshots(200)

        [one] = [each for each in shown.snapshots if each.sha256 == sha256]
        assert (one.name, one.files, one.jobs, one.problem) == (folder.name, 2, (job,), "")
        assert deleted.freed_bytes == one.packed_bytes > 0
        assert len(before.snapshots) == 1
        assert (before.total, before.max_bytes) == (after.total + 1, LIMIT)
        assert after.used_bytes < before.used_bytes
        assert sha256 not in {each.sha256 for each in after.snapshots}
        assert [await store.find(SnapshotKind.PART, part) for part in parts] == [None] * len(parts)
        with pytest.raises(SnapshotNotFound):
            await keeping.delete(sha256)
        assert await client.upload(folder) == snapshot  # and everything is sent anew


async def test_a_part_that_another_snapshot_has_or_an_upload_has_just_sent_stays(world: World, folder: Path) -> None:
    parts, manifest = packed(folder)
    other = manifest.replace(b'"name":"', b'"name":"another-', 1)
    names = [hashlib.sha256(each).hexdigest() for each in (manifest, other)]
    for sha256, content in parts:
        await put(world, sha256, content)
    for name, content in zip(names, (manifest, other), strict=True):
        await put(world, name, content, "application/json")

    async with asking(world) as keeping, asking(world, timedelta(hours=1)) as careful:
        shared = await keeping.delete(names[0])
        young = await careful.delete(names[1])

    assert (shared.freed_bytes, young.freed_bytes) == (0, 0)
    store = SnapshotStore(world.bus)
    assert all([await store.find(SnapshotKind.PART, part) for part, _ in parts])
