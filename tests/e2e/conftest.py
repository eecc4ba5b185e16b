"""A stack whose waits are short, and what tests that kill and cancel on it ask of it."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from codestory.client import AsyncClient
from codestory.contracts.api import JobView, StepView
from codestory.testing import EmbeddedStack, wait_until
from codestory.testing_models import ModelServer, Rules


class QuickStack(EmbeddedStack):
    """Commands go to another worker after two seconds of silence; transactions are small, many of them."""

    def __init__(self, directory: Path, models: ModelServer) -> None:
        super().__init__(
            directory,
            CODESTORY_LOCAL_START_SECONDS="150",
            CODESTORY_ACK_WAIT_SECONDS="2",
            CODESTORY_PRESENCE_SECONDS="3",
            CODESTORY_SLOTS="1",
            CODESTORY_PROGRESS_SECONDS="0.1",
            CODESTORY_GRAPH_BATCH_ROWS="25",
            CODESTORY_OPENAI_URL=models.openai_url,
            CODESTORY_OPENAI_API_KEY=models.rules.key,
            CODESTORY_OPENAI_MODEL="small",
        )

    def host(self, step: str) -> psutil.Process:
        """The process that serves the step."""
        processes: list[dict[str, Any]] = self.answer("service", "status")["processes"]
        return psutil.Process(next(p["pid"] for p in processes if p["name"] == f"step-{step}"))

    def digest(self, repository: Path) -> str:
        return self.run("graph", "digest", repository.name).stdout.splitlines()[-1]

    async def step(self, client: AsyncClient, job: str, name: str) -> StepView:
        return next(step for step in (await client.get(job)).steps if step.name == name)

    async def ended(self, client: AsyncClient, job: str, limit: float = 240) -> JobView:
        """The job once it has ended. On a machine with as many stacks as cores it takes minutes."""

        async def there() -> bool:
            return (await client.get(job)).state.ended

        await wait_until(there, f"{job} ended", limit)
        return await client.get(job)

    async def program_of(self, host: psutil.Process, what: str, limit: float = 30) -> psutil.Process:
        """A program that a step's service runs, by a part of its command line, as soon as it is there."""
        found: list[psutil.Process] = []

        async def there() -> bool:
            found.extend(child for child in host.children(recursive=True) if what in " ".join(_command(child)))
            return bool(found)

        await wait_until(there, f"{what} runs", limit)
        return found[0]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(scope="session")
def models() -> Iterator[ModelServer]:
    with ModelServer(Rules(latency=0.05)) as server:
        yield server


@pytest.fixture(scope="session")
def quick_stack(tmp_path_factory: pytest.TempPathFactory, models: ModelServer) -> Iterator[QuickStack]:
    stack = QuickStack(tmp_path_factory.mktemp("quick"), models)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A repository whose steps take some seconds each: modules that call each other, and documents that name them."""
    return write_program(tmp_path / tmp_path.name, modules=60)


def write_program(root: Path, *, modules: int, functions: int = 12) -> Path:
    rng = random.Random(modules)
    for number in range(modules):
        lines = [f'"""Module {number}."""', *(f"from pkg import m{n}" for n in range(max(0, number - 3), number)), ""]
        lines += [f"class Part{number}:", f'    """A part, the {number}th."""', "", "    def work(self) -> int:"]
        lines += [f"        return f{number}_0(1)", ""]
        for function in range(functions):
            lines += ["", f"def f{number}_{function}(x: int) -> int:", f'    """Function {function}."""']
            target = rng.randrange(max(0, number - 3), number) if number else 0
            called = f"m{target}.f{target}_{rng.randrange(functions)}(x)" if number else "x"
            lines += [f"    return {called} + {function}", ""]
        (root / "pkg").mkdir(parents=True, exist_ok=True)
        (root / "pkg" / f"m{number}.py").write_text("\n".join(lines))
        (root / "docs").mkdir(exist_ok=True)
        (root / "docs" / f"page{number}.md").write_text(
            f"# Page {number}\n\nSee `pkg.m{number}.Part{number}.work` and `pkg/m{number}.py`.\n"
        )
    (root / "pkg" / "__init__.py").write_text("")
    return root
