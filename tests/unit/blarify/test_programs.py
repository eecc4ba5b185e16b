"""Outside programs: what they may take, what they see, and that nothing of them is left."""

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from codestory.steps import StepError
from codestory.testing import wait_until
from codestory_blarify.programs import Ended, Limits, run

LIMITS = Limits(seconds=30, memory_bytes=1 << 30, file_bytes=1 << 20)


async def python(code: str, work: Path, *, limits: Limits = LIMITS, lines: list[bytes] | None = None) -> Ended:
    keep = (lines if lines is not None else list[bytes]()).append
    return await run([sys.executable, "-I", "-S", "-c", code], cwd=work, env={}, limits=limits, on_line=keep)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_the_lines_of_a_program_come_one_by_one_with_the_last(tmp_path: Path) -> None:
    lines: list[bytes] = []

    ended = await python(f"print('x' * {1 << 17}); print(); print('end', end='')", tmp_path, lines=lines)

    assert ended.well
    assert lines == [b"x" * (1 << 17), b"", b"end"]


async def test_a_program_sees_no_environment_but_its_own(tmp_path: Path) -> None:
    code = "import os; print(sorted(os.environ.items())); print(os.getcwd()); print(repr(os.read(0, 1)))"
    lines: list[bytes] = []

    await run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, env={"A": "b"}, limits=LIMITS, on_line=lines.append
    )

    home = str(tmp_path)
    seen = {"A": "b", "HOME": home, "LC_ALL": "C.UTF-8", "PATH": "/nonexistent", "TMPDIR": home}
    assert [line.decode() for line in lines] == [str(sorted(seen.items())), home, "b''"]


async def test_the_end_of_what_a_program_says_explains_its_end(tmp_path: Path) -> None:
    ended = await python("import sys; sys.stderr.write('x' * 100_000); sys.exit('\\nno such thing')", tmp_path)

    assert (ended.well, ended.killed) == (False, False)
    assert ended.how == "ended with exit code 1: no such thing"
    assert len(ended.tail) <= 4_000


async def test_a_program_has_no_more_memory_than_it_may(tmp_path: Path) -> None:
    ended = await python(f"x = bytearray({1 << 31})", tmp_path)

    assert ended.how == "ended with exit code 1: MemoryError"


async def test_a_program_writes_no_larger_file_than_it_may(tmp_path: Path) -> None:
    ended = await python(f"import os; os.write(os.open('f', os.O_CREAT | os.O_WRONLY), b'x' * {1 << 21})", tmp_path)

    assert ended.well
    assert (tmp_path / "f").stat().st_size == 1 << 20


async def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    ended = await python("import time; time.sleep(600)", tmp_path, limits=Limits(seconds=0.3))

    assert (ended.well, ended.killed, ended.how) == (False, False, "took longer than 0.3 s")


async def test_a_line_without_end_ends_the_program(tmp_path: Path) -> None:
    ended = await python("while True: print('x' * 65_536, end='')", tmp_path, limits=Limits(30, line_bytes=1_000_000))

    assert ended.how == "wrote a line of more than 1,000,000 bytes"


async def test_a_program_that_somebody_killed_says_so(tmp_path: Path) -> None:
    ended = await python("import os; os.kill(os.getpid(), 9)", tmp_path)

    assert ended.killed
    assert ended.how == "was ended by SIGKILL"


async def test_what_the_reader_raises_ends_the_program_and_goes_on(tmp_path: Path) -> None:
    def refuse(line: bytes) -> None:
        raise ValueError(line.decode())

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with pytest.raises(ValueError, match=r"\d+") as raised:
        await run([sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, env={}, limits=LIMITS, on_line=refuse)

    assert not alive(int(str(raised.value)))


async def test_a_cancelled_program_is_gone_with_what_it_started(tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "child = os.fork()\n"
        "print(os.getpid(), os.getpgrp(), flush=True) if child else None\n"
        "print(os.getpid(), os.getpgrp(), flush=True) if not child else None\n"
        "time.sleep(600)"
    )
    lines: list[bytes] = []
    running = asyncio.create_task(python(code, tmp_path, lines=lines))

    async def both_run() -> bool:
        return len(lines) == 2

    await wait_until(both_run, "the program and its child run")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    pids = [int(line.split()[0]) for line in lines]
    groups = {int(line.split()[1]) for line in lines}
    assert groups == {os.getpgrp()}  # so that a kill of the step's group reaches them
    assert not alive(pids[0])

    async def child_gone() -> bool:
        return not alive(pids[1])

    await wait_until(child_gone, "the child is gone")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
async def test_a_program_ends_with_the_step_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from codestory_blarify.programs import Limits, run\n"
        "program = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'\n"
        "say = lambda line: print(line.decode(), flush=True)\n"
        f"asyncio.run(run([sys.executable, '-c', program], cwd=Path({str(tmp_path)!r}), env={{}}, "
        "limits=Limits(seconds=600), on_line=say))"
    )
    step = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert step.stdout
    pid = int(await step.stdout.readline())
    step.kill()
    await step.wait()

    async def gone() -> bool:
        return not alive(pid)

    await wait_until(gone, "the program is gone")


async def test_what_is_no_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="nowhere/blarify is no program"):
        await run([str(tmp_path / "nowhere/blarify")], cwd=tmp_path, env={}, limits=LIMITS)
