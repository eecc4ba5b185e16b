"""Steps that sleep, fail or die, as their options say. Installed for the processes of a chaos test only."""

import asyncio
import os
import signal
import time

from pydantic import BaseModel

from codestory.steps import PipelineStep, StepContext, StepError, StepResult, TemporaryStepError


class Options(BaseModel):
    seconds: float = 0
    spin: bool = False
    fail_until: int = 0
    give_up: bool = False
    bug: bool = False
    exit: bool = False
    kill_host: bool = False
    say: str = ""


class Scripted(PipelineStep[Options]):
    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        options = ctx.options
        if options.say:
            print(options.say, flush=True)
        if options.kill_host:
            os.kill(os.getppid(), signal.SIGKILL)
        if options.exit:
            os._exit(139)
        end = time.monotonic() + options.seconds
        while options.spin and time.monotonic() < end:
            pass
        while time.monotonic() < end:
            ctx.progress(int((options.seconds - (end - time.monotonic())) * 100), int(options.seconds * 100), "ticks")
            await asyncio.sleep(min(0.05, max(end - time.monotonic(), 0)))
        if ctx.attempt <= options.fail_until:
            raise TemporaryStepError("not yet")
        if options.give_up:
            raise StepError("it cannot be done")
        if options.bug:
            raise RuntimeError("a bug")
        return StepResult("done", counts={"attempt": ctx.attempt})


class A(Scripted):
    name = "a"


class B(Scripted):
    name = "b"


class C(Scripted):
    name = "c"


class D(Scripted):
    name = "d"
