"""Steps that sleep, fail or die, as their options say. Installed for the processes of a test only."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from codestory import telemetry
from codestory.steps import PipelineStep, StepContext, StepError, StepResult, TemporaryStepError


class Options(BaseModel):
    seconds: float = 0
    #: Compute all the while, and hear nothing.
    spin: bool = False
    #: Wait until this file is there.
    gate: str = ""
    #: Once the gate is open find so many secrets, and say nothing more until this file is there.
    redacts: int = 0
    then: str = ""
    fail_until: int = 0
    slow_from: int = 0
    give_up: bool = False
    bug: bool = False
    exit_until: int = 0
    kill_host: bool = False
    #: Leave the process ids of a family there: a child and a grandchild that never end by themselves.
    family: str = ""
    #: A fork that holds everything this process holds, the socket to its host too, and outlives it.
    fork: bool = False
    say: str = ""
    #: Print what stands in this variable of the environment.
    betray: str = ""


class Scripted(PipelineStep[Options]):
    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        options = ctx.options
        if options.say:
            print(options.say, flush=True)
        if options.betray:
            print("it is", os.environ[options.betray], flush=True)
        if options.kill_host:
            os.kill(os.getppid(), signal.SIGKILL)
        if options.family:
            start_family(options.family)
        if options.fork:
            leave_a_fork()
        if ctx.attempt <= options.exit_until:
            os._exit(139)
        if ctx.attempt >= options.slow_from:
            await self.take_time(ctx)
        if ctx.attempt <= options.fail_until:
            raise TemporaryStepError("not yet")
        if options.give_up:
            raise StepError("it cannot be done")
        if options.bug:
            raise RuntimeError("a bug")
        return StepResult("done", counts={"attempt": ctx.attempt})

    async def take_time(self, ctx: StepContext[Options]) -> None:
        options = ctx.options
        end = time.monotonic() + options.seconds
        while options.spin and time.monotonic() < end:
            pass
        while (left := end - time.monotonic()) > 0:
            ticks = int((options.seconds - left) * 100)
            ctx.progress(ticks, int(options.seconds * 100), "ticks", phase="ticking")
            await asyncio.sleep(min(0.05, left))
        if options.gate:
            ctx.progress(0, 1, "gates", options.gate, phase="waiting")
        await opened(options.gate)
        if options.redacts:
            telemetry.redacted({"token": options.redacts})
        await opened(options.then)


async def opened(gate: str) -> None:
    while gate and not is_open(gate):  # noqa: ASYNC110  # the event is a file that a test makes
        await asyncio.sleep(0.05)


def is_open(gate: str) -> bool:
    return Path(gate).exists()


def leave_a_fork() -> None:
    if os.fork() == 0:
        time.sleep(600)


def start_family(path: str) -> None:
    parent = (
        "import subprocess, time; "
        "child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    unfinished = Path(path + ".new")
    unfinished.write_text(f"{child.pid} {child.stdout.readline()}")
    unfinished.replace(path)


class A(Scripted):
    name = "a"


class B(Scripted):
    name = "b"


class C(Scripted):
    name = "c"


class D(Scripted):
    name = "d"
    phases: ClassVar = {"ticking": 1, "waiting": 3}
