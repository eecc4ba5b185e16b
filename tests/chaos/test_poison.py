"""What cannot be read ends as a failed attempt or is taken off its stream; it holds no token and stops nobody."""

from contextlib import suppress

import pytest

from codestory.bus import AFTER, ATTEMPT, Refused
from codestory.testing import wait_until
from codestory.testing_world import Gate, World, plan

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]


async def test_an_unreadable_command_with_its_headers_fails_the_attempt(world: World) -> None:
    gate, job, holders = await waiting(world)

    await exchange(world, job, {ATTEMPT: "1", AFTER: "0"})
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
    gate, job, holders = await waiting(world)

    await exchange(world, job, headers)
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


async def waiting(world: World) -> tuple[Gate, str, list[str]]:
    """A job whose command waits behind others, which run until the gate opens."""
    gate, holders = await world.hold_all_tokens()
    return gate, await world.submit(plan("a")), holders


async def exchange(world: World, job: str, headers: dict[str, str]) -> None:
    """Put what cannot be read in the place of the command that waits."""
    subject = world.bus.subject("ready", "default", "a", job)
    among = world.bus.subject("ready", "*", "a", job)

    async def exchanged() -> bool:
        await world.bus.purge("READY", among)
        with suppress(Refused):  # the reconciler saw the gap first
            await world.bus.publish(subject, b"\xff\xfe", after=0, among=among, headers=headers)
            return True
        return False

    await wait_until(exchanged, "the command is exchanged", 10)


async def _empty(world: World) -> bool:
    return not await world.running()
