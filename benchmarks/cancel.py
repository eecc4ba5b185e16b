"""How long a cancel takes in each phase of each step: `cancel.py REPOSITORY` (this project, if none is named).

A phase is what the step's progress says it is doing. Each step is started again and again, and cancelled in the first
phase in which it has not yet been cancelled. Printed: seconds from the request until the job says CANCELLED, beside the
limit of two seconds, and what was still running of the step's programs then."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import psutil

from codestory.client import AsyncClient
from codestory.contracts.values import StepState
from codestory.testing import EmbeddedStack, wait_until

LIMIT_SECONDS = 2.0
STEPS = ("blarify", "filesystem", "summarizer", "documentation_grapher")
#: Runs of one step. No step has so many phases.
RUNS = 12
POLL_SECONDS = 0.02


async def phase_of(client: AsyncClient, job: str, seen: set[str]) -> str | None:
    """The next phase that has not been seen; None: the job has ended."""
    while True:
        view = await client.get(job)
        [step] = view.steps
        if view.state.ended:
            return None
        if step.state is StepState.RUNNING:
            phase = step.progress.phase if step.progress and step.progress.phase else "start"
            if phase not in seen:
                return phase
        await asyncio.sleep(POLL_SECONDS)


def programs(below: list[psutil.Process]) -> int:
    """What the steps' services still run, but for warm processes that wait for the next attempt."""
    children = [child for host in below for child in host.children(recursive=True)]
    return sum("codestory.steps.child" not in child.cmdline() for child in children)


async def main(repository: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="codestory-benchmark-") as directory:
        stack = EmbeddedStack(Path(directory))
        try:
            url = stack.start()
            found = stack.answer("service", "status")["processes"]
            hosts = [psutil.Process(process["pid"]) for process in found if process["name"].startswith("step-")]
            print("| step | phase | seconds | ÷ limit | programs left |\n|---|---|---|---|---|")
            async with AsyncClient(url) as client:
                for step in STEPS:
                    await cancel_in_each_phase(client, repository, step, hosts)
        finally:
            stack.stop()


async def ended(client: AsyncClient, job: str) -> bool:
    return (await client.get(job)).state.ended


async def cancel_in_each_phase(client: AsyncClient, repository: Path, step: str, hosts: list[psutil.Process]) -> None:
    seen: set[str] = set()
    for _ in range(RUNS):
        job = await client.submit(repository=str(repository), steps=(step,))
        phase = await phase_of(client, job.id, seen)
        if phase is None:
            return
        seen.add(phase)
        started = time.perf_counter()
        await client.cancel(job.id)
        await wait_until(lambda job=job: ended(client, job.id), "the job ended")
        seconds = time.perf_counter() - started
        print(f"| {step} | {phase} | {seconds:.2f} | {seconds / LIMIT_SECONDS:.2f} | {programs(hosts)} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1]).resolve()))
