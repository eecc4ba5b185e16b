"""What a kill leaves behind: nothing. A step's service dies, or is stopped and comes back as a zombie, in mid-write."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from codestory.client import AsyncClient
from codestory.testing import EmbeddedStack, Processes, wait_until

if TYPE_CHECKING:
    from conftest import QuickStack

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

#: Enough that the step is still at it when it is killed.
FILES = 800


@pytest.fixture
def large(tmp_path: Path) -> Path:
    root = tmp_path / tmp_path.name
    for number in range(FILES):
        folder = root / f"folder{number % 50}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}.py").write_text(f"x = {number}\n" * 20)
    return root


async def writing(client: AsyncClient, job: str, share: float) -> None:
    """Until this share of the work is done."""

    async def far_enough() -> bool:
        progress = (await client.get(job)).steps[0].progress
        return bool(progress and progress.total and progress.done >= progress.total * share)

    await wait_until(far_enough, f"{share:.0%} done", 60)


async def test_a_killed_step_is_done_again_with_the_same_digest(quick_stack: QuickStack, large: Path) -> None:
    async with AsyncClient(quick_stack.start()) as client:
        job = await client.submit(repository=str(large), steps=("filesystem",))
        await writing(client, job.id, 0.5)

        quick_stack.host("filesystem").kill()
        killed = await quick_stack.ended(client, job.id)
        after_kill = quick_stack.digest(large)
        clean = await client.submit(repository=str(large), steps=("filesystem",))
        again = await quick_stack.ended(client, clean.id)

    assert (killed.state, again.state) == ("COMPLETED", "COMPLETED")
    assert again.steps[0].outcome
    assert again.steps[0].outcome.written == {}
    assert after_kill == quick_stack.digest(large)


async def test_a_zombie_writes_nothing_once_it_has_been_replaced(
    quick_stack: QuickStack, large: Path, tmp_path: Path
) -> None:
    zombie = quick_stack.host("filesystem")
    second = Processes(zombie.environ(), tmp_path / "second.log")
    family: list[psutil.Process] = []
    async with AsyncClient(quick_stack.start()) as client:
        try:
            job = await client.submit(repository=str(large), steps=("filesystem",))
            await writing(client, job.id, 0.5)
            family = [zombie, *zombie.children(recursive=True)]
            for process in family:
                process.send_signal(signal.SIGSTOP)
            worker = (await client.get(job.id)).steps[0].attempts[-1].worker
            second.start(sys.executable, "-m", "codestory.steps.main", "filesystem")

            async def replaced() -> bool:
                return (await client.get(job.id)).steps[0].attempts[-1].worker != worker

            await wait_until(replaced, "another worker has it", 60)
            for process in family:
                process.send_signal(signal.SIGCONT)
            view = await quick_stack.ended(client, job.id)
            after_zombie = quick_stack.digest(large)
            clean = await client.submit(repository=str(large), steps=("filesystem",))
            again = await quick_stack.ended(client, clean.id)
        finally:
            for process in family:
                if process.is_running():
                    process.send_signal(signal.SIGCONT)
            second.close()

    assert view.state == "COMPLETED"
    assert view.steps[0].attempts[-1].worker != worker
    assert again.steps[0].outcome
    assert again.steps[0].outcome.written == {}
    assert after_zombie == quick_stack.digest(large)


def test_what_is_stopped_leaves_no_process(tmp_path: Path) -> None:
    stack = EmbeddedStack(tmp_path, CODESTORY_LOCAL_START_SECONDS="150")
    stack.start()
    status = stack.answer("service", "status")
    pids = [process["pid"] for process in status["processes"]]
    children = [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]

    stack.stop()

    assert [pid for pid in {*pids, *children} if runs(pid)] == []


def runs(pid: int) -> bool:
    """Not counting one that has ended and whose new parent, the machine's first process, has not looked yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
