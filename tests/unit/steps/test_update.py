"""When an attempt in update mode updates, when it does the whole, and what it says of it."""

import logging
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from pydantic import BaseModel

from codestory.contracts.jobs import Repository
from codestory.contracts.values import Mode
from codestory.files.repository import RepositoryFiles
from codestory.graph import Fenced, GraphWriter
from codestory.steps import PipelineStep, StepContext, StepError, StepResult
from codestory.steps.update import ALWAYS_WHOLE, REMEMBERED_BYTES, perform


class Options(BaseModel):
    depth: int = 1
    names: set[str] = set()


class Counting(PipelineStep[Options]):
    """Says which of its two ways was gone, and remembers how often."""

    name = "counting"
    remember: Any = None

    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        return StepResult("whole", details={"other": ctx.options.depth}, remember=self.remember or {"runs": 1})

    async def update(self, ctx: StepContext[Options]) -> StepResult:
        runs = cast("int", ctx.remembered.get("runs", 0)) + 1
        return StepResult(f"run {runs}", details={"update": {"changed": 3}}, remember={"runs": runs})


class Simple(PipelineStep[Options]):
    """Has one way alone."""

    name = "simple"
    owns: ClassVar = ("Simple",)

    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        if ctx.options.depth < 0:
            raise StepError("no such depth")
        return StepResult("whole")


class KeptGraph:
    """What the graph keeps of a step; `void` as a change of its content does."""

    def __init__(self) -> None:
        self.record: str | None = None
        self.fenced = self.used = False

    async def recorded(self) -> str | None:
        return self.record

    async def complete(self, record: str) -> None:
        if self.fenced:
            raise Fenced("a later attempt writes here")
        self.record = record

    def void(self) -> None:
        self.record = ""


class Attempts:
    def __init__(self, root: Path) -> None:
        self.root, self.graph = root, KeptGraph()

    async def run(
        self,
        step: PipelineStep[Any],
        mode: Mode = Mode.UPDATE,
        version: str = "1",
        **options: Any,
    ) -> StepResult:
        context = StepContext[BaseModel](
            job="job",
            attempt=1,
            repository=Repository(id="r", name="r", path=str(self.root), url=""),
            options=Options(**options),
            files=RepositoryFiles(self.root),
            graph=cast("GraphWriter", self.graph),
            log=logging.getLogger("test"),
            report=lambda _: None,
        )
        return await perform(step, context, mode, version)


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path)


async def test_what_was_never_ingested_is_done_whole_and_says_so(attempts: Attempts) -> None:
    result = await attempts.run(Counting())

    assert result.summary == "whole; the whole, not an update: never ingested before"
    assert result.outcome().details == {"update": {"whole": "never ingested before"}, "other": 1}


async def test_what_was_done_whole_is_updated_from_then_on(attempts: Attempts) -> None:
    results = [await attempts.run(Counting(), mode) for mode in (Mode.FULL, Mode.UPDATE, Mode.UPDATE)]

    assert [result.summary for result in results] == ["whole", "run 2", "run 3"]
    assert "update" not in results[0].details
    assert results[1].details["update"] == {"changed": 3}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": "2"}, "the step's version changed: 1 → 2"),
        ({"depth": 2}, "options changed"),
        ({"version": "2", "depth": 2}, "the step's version changed: 1 → 2"),
    ],
)
async def test_another_version_and_other_options_force_the_whole(
    attempts: Attempts, changed: dict[str, Any], why: str
) -> None:
    await attempts.run(Counting())

    result = await attempts.run(Counting(), **changed)

    assert result.details["update"] == {"whole": why}
    assert (await attempts.run(Counting(), **changed)).summary == "run 2"


async def test_an_option_that_is_given_as_it_is_anyway_is_no_change(attempts: Attempts) -> None:
    await attempts.run(Counting(), names={"a", "b", "c", "d"})

    assert (await attempts.run(Counting(), depth=1, names={"d", "c", "b", "a"})).summary == "run 2"


async def test_after_a_run_that_did_not_complete_the_whole_is_done(attempts: Attempts) -> None:
    await attempts.run(Counting())
    attempts.graph.void()

    result = await attempts.run(Counting())

    assert result.details["update"] == {"whole": "the last run did not complete"}


async def test_a_run_that_fails_records_nothing(attempts: Attempts) -> None:
    with pytest.raises(StepError):
        await attempts.run(Simple(), depth=-1)
    assert attempts.graph.record is None

    attempts.graph.fenced = True
    with pytest.raises(Fenced):
        await attempts.run(Simple())

    assert attempts.graph.record is None


async def test_a_step_without_an_update_says_that_it_did_the_whole(attempts: Attempts) -> None:
    first, second, third = [await attempts.run(Simple(), mode) for mode in (Mode.UPDATE, Mode.UPDATE, Mode.FULL)]

    assert (Simple.updates(), Counting.updates()) == (False, True)
    assert first.summary == "whole; the whole, not an update: never ingested before"
    assert (second.summary, second.details) == ("whole", {"update": {"whole": ALWAYS_WHOLE}})
    assert (third.summary, third.details) == ("whole", {})


async def test_a_step_that_has_nothing_in_the_graph_needs_none(attempts: Attempts) -> None:
    class Outside(Simple):
        owns = ()

    results = [await attempts.run(Outside(), mode) for mode in Mode]

    assert attempts.graph.record is None
    assert [result.details for result in results] == [{}, {"update": {"whole": ALWAYS_WHOLE}}]


async def test_what_is_too_long_to_remember_is_not_remembered(attempts: Attempts) -> None:
    step = Counting()
    step.remember = {"runs": 1, "text": "x" * REMEMBERED_BYTES}
    await attempts.run(step)

    assert (await attempts.run(step)).summary == "run 1"


async def test_a_summary_that_fills_its_room_leaves_some_for_why(attempts: Attempts) -> None:
    class Talking(Simple):
        async def execute(self, ctx: StepContext[Options]) -> StepResult:
            return StepResult("x" * 2000 * ctx.options.depth)

    assert (await attempts.run(Talking())).outcome().summary.endswith("not an update: never ingested before")
