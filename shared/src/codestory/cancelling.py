"""Ends tasks for certain. One cancellation is not enough: nats-py's publish swallows it, and so does wait_for of Python
3.11 when what it waits for comes in that moment. The task then goes on as if nothing had been said."""

import asyncio
from typing import Any

#: Until it is said again.
AGAIN_SECONDS = 0.2


def cancelled() -> bool:
    """The running task has been told to end. Loops that go on for ever ask this at each turn."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel them until they have ended. What they raise is dropped."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
