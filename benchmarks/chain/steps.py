"""Steps that do nothing, or sleep until they are killed. Installed for the processes of a benchmark only."""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from codestory.steps import PipelineStep, StepContext, StepResult


class Options(BaseModel):
    #: Make this file, then sleep.
    sleep: str = ""


class Nothing(PipelineStep[Options]):
    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        if ctx.options.sleep:
            Path(ctx.options.sleep).touch()  # noqa: ASYNC240  # a process that does nothing else
            await asyncio.sleep(600)
        return StepResult()


class A(Nothing):
    name = "a"


class B(Nothing):
    name = "b"


class C(Nothing):
    name = "c"


class D(Nothing):
    name = "d"
