import asyncio
import math
from contextlib import AsyncExitStack

from codestory.testing import wait_until
from codestory_summarizer.providers.pace import GROWTH, HOLD_OFF, Pace


class Open:
    """A budget without a bound."""

    def __init__(self) -> None:
        self.held: list[float] = []

    async def reserve(self, amounts: object, per_minute: object) -> float:
        del amounts, per_minute
        return 0

    async def hold_off(self, seconds: float) -> None:
        self.held.append(seconds)


async def refuse_together(pace: Pace, calls: int) -> None:
    async with AsyncExitStack() as stack:
        turns = [await stack.enter_async_context(pace.turn(1)) for _ in range(calls)]
        for turn in turns:
            await pace.refused(turn, 0)


async def test_one_burst_of_refusals_halves_the_calls_at_once_a_single_time() -> None:
    pace = Pace(Open(), {})

    await refuse_together(pace, 8)
    after_one = pace.slots
    await refuse_together(pace, 4)

    assert (after_one, pace.slots) == (4, 2)


async def test_no_call_starts_beyond_the_slots() -> None:
    pace = Pace(Open(), {})
    await refuse_together(pace, 4)
    running = most = 0

    async def call() -> None:
        nonlocal running, most
        async with pace.turn(1):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(call() for _ in range(20)))

    assert most == 2


async def test_answers_win_the_slots_back_slowly_and_at_last_all_of_them() -> None:
    pace = Pace(Open(), {})
    await refuse_together(pace, 4)

    for _ in range(2 * GROWTH):
        pace.answered()
    early = math.floor(pace.slots)
    for _ in range(20 * GROWTH):
        pace.answered()

    assert (early, pace.slots) == (2, math.inf)


async def test_there_is_always_one_slot() -> None:
    pace = Pace(Open(), {})

    for _ in range(5):
        await refuse_together(pace, 1)

    assert pace.slots == 1


async def test_calls_that_wait_already_wait_as_long_as_a_later_refusal_asks() -> None:
    pace, started = Pace(Open(), {}), asyncio.Event()

    async def other() -> None:
        async with pace.turn(1):
            started.set()

    async with pace.turn(1) as turn:
        await pace.refused(turn, 0.2)
        task = asyncio.create_task(other())
    await asyncio.sleep(0)

    async def has_started() -> bool:
        return started.is_set()

    assert await wait_until(has_started, "the other call started") > 0.1
    await task


async def test_all_workers_are_held_off_and_never_for_hours() -> None:
    budget = Open()
    pace = Pace(budget, {})

    async with pace.turn(1) as turn:
        await pace.refused(turn, 2)
        await pace.refused(turn, 1)
        await pace.refused(turn, 80_000)

    assert budget.held == [2, HOLD_OFF]
