"""What cannot be read ends as a failed attempt or is taken off its stream; it holds no token and stops nobody."""

import pytest

from codestory.bus import AFTER, ATTEMPT
from codestory.testing import wait_until
from codestory.testing_world import World, plan

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]


async def test_an_unreadable_command_with_its_headers_fails_the_attempt(world: World) -> None:
    gate, holders = await world.hold_all_tokens()
    job = await world.submit(plan("a"))

    await world.exchange_waiting("a", job, b"\xff\xfe", {ATTEMPT: "1", AFTER: "0"})
    gate.open()

    await world.state(job, "FAILED")
    await world.sound(job, *holders)
    [event] = await world.events(job, "failed")
    assert event.body["reason"] == "unreadable"


@pytest.mark.parametrize(
    "headers",
    [{}, {ATTEMPT: "²", AFTER: "0"}, {ATTEMPT: "9" * 5000, AFTER: "0"}, {ATTEMPT: "-1"}],
    ids=["none", "a digit that is no number", "a number without end", "less than nothing"],
)
async def test_an_unreadable_command_without_a_readable_attempt_is_sent_again(
    world: World, headers: dict[str, str]
) -> None:
    gate, holders = await world.hold_all_tokens()
    job = await world.submit(plan("a"))

    await world.exchange_waiting("a", job, b"\xff\xfe", headers)
    gate.open()

    await world.state(job, "COMPLETED")
    await world.sound(job, *holders)
    assert not await world.events(job, "failed")


@pytest.mark.parametrize("step", ["a", "nosuchstep"], ids=["of a step that runs", "of no step"])
async def test_what_no_job_asked_for_is_taken_off_and_holds_no_token(world: World, step: str) -> None:
    await world.bus.publish(world.bus.subject("run", step, "foreign"), b"\xff\xfe")

    await wait_until(lambda: _empty(world), "RUN is empty", 30)


async def test_an_unreadable_event_stops_nobody(world: World) -> None:
    await world.bus.publish(world.bus.subject("evt", "foreign", "a", "completed"), b"\xff\xfe")
    await world.bus.publish(world.bus.subject("evt", "foreign", "a", "failed"), b"[]")

    job = await world.submit(plan("a"))

    await world.state(job, "COMPLETED")
    await world.sound(job)


async def _empty(world: World) -> bool:
    return not await world.running()
