"""The four steps under fire: killed at random moments, alone and whole, and cancelled in every phase."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from codestory.client import AsyncClient, Conflict
from codestory.contracts.values import StepState
from codestory.testing import wait_until

if TYPE_CHECKING:
    from conftest import QuickStack

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

STEPS = ("blarify", "filesystem", "summarizer", "documentation_grapher")
#: What of a step dies: its service, its own process, a program that it runs.
VICTIMS = [
    *((step, what) for step in STEPS for what in ("service", "process")),
    ("blarify", "pyrefly"),
    ("blarify", "worker/__main__"),
]
#: A cancel ends within two seconds while the worker lives; the rest is what a busy machine takes to tell.
CANCEL_SECONDS = 5


async def started(client: AsyncClient, stack: QuickStack, job: str, step: str) -> None:
    async def running() -> bool:
        return (await stack.step(client, job, step)).state is StepState.RUNNING

    await wait_until(running, f"{step} runs", 60)


async def victim(stack: QuickStack, host: psutil.Process, what: str) -> psutil.Process:
    match what:
        case "service":
            return host
        case "process":
            return await stack.program_of(host, "codestory.steps.child")
        case _:
            return await stack.program_of(host, what)


@pytest.mark.parametrize(("step", "what"), VICTIMS)
async def test_whatever_of_a_step_is_killed_the_graph_ends_the_same(
    quick_stack: QuickStack, program: Path, step: str, what: str
) -> None:
    rng = random.Random(f"{step} {what}")
    async with AsyncClient(quick_stack.start()) as client:
        host = quick_stack.host(step)  # takes seconds, and a program of the step may take less
        job = await client.submit(repository=str(program))
        await started(client, quick_stack, job.id, step)
        doomed = await victim(quick_stack, host, what)
        await asyncio.sleep(rng.uniform(0, 0.5 if what in {"service", "process"} else 0.05))  # any moment will do

        doomed.kill()
        after = await quick_stack.ended(client, job.id)
        digest = quick_stack.digest(program)
        again = await quick_stack.ended(client, (await client.submit(repository=str(program))).id)

    assert after.state == again.state == "COMPLETED"
    assert {view.name: view.outcome.written for view in again.steps if view.outcome} == {step: {} for step in STEPS}
    assert digest == quick_stack.digest(program)


@pytest.mark.parametrize("moment", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("step", STEPS)
async def test_a_cancelled_step_is_gone_at_once_with_all_that_it_started(
    quick_stack: QuickStack, program: Path, step: str, moment: float
) -> None:
    async with AsyncClient(quick_stack.start()) as client:
        host = quick_stack.host(step)
        job = await client.submit(repository=str(program))
        await started(client, quick_stack, job.id, step)
        family = host.children(recursive=True)
        await asyncio.sleep(moment)  # into another phase of the step

        with suppress(Conflict):  # it was quicker
            await client.cancel(job.id)
        view = await quick_stack.ended(client, job.id, CANCEL_SECONDS)
        cancelled = any(each.name == step and each.state is StepState.CANCELLED for each in view.steps)
        left = [process for process in {*family, *host.children(recursive=True)} if runs(process)]
        again = await quick_stack.ended(client, (await client.submit(repository=str(program))).id)

    assert view.state in {"CANCELLED", "COMPLETED"}
    assert again.state == "COMPLETED"
    assert not cancelled or left == []  # of one that was through already, a warm process may wait for the next


def runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
