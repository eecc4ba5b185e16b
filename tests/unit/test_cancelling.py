"""A task that swallows a cancellation ends all the same."""

import asyncio
from contextlib import suppress

from codestory import cancelling


async def test_a_task_that_swallows_its_cancellation_is_told_again_until_it_ends() -> None:
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)

    await cancelling.end(task)

    assert task.cancelled()
    assert swallowed == 2


async def test_what_a_task_raises_when_it_is_ended_is_dropped() -> None:
    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)

    await cancelling.end(task)

    assert isinstance(task.exception(), ValueError)


async def test_a_loop_knows_that_it_was_cancelled_though_the_cancellation_was_swallowed() -> None:
    async def loop() -> str:
        while not cancelling.cancelled():
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return "left"

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)

    task.cancel()

    assert await task == "left"
