"""Who an attempt belongs to: the worker whose `started` is the last event of its step. Every way to get this wrong is a
test; the why of each line is in docs/protocol.md."""

from dataclasses import dataclass

from nats.aio.msg import Msg
from pydantic import ValidationError

from codestory.bus import AFTER, Bus, BusLost, Refused, Stored, attempt_in
from codestory.contracts.commands import RunStep
from codestory.contracts.events import StepFailed, StepStarted, Terminal
from codestory.contracts.plans import Options
from codestory.contracts.values import Reason, now
from codestory.steps.settings import HostSettings

#: Tries of one claim. Each lost one means that another event came in between, so more is never needed.
TRIES = 100


class Unreadable(Exception):
    """The command cannot be parsed."""


class Overtaken(Exception):
    """The same command was delivered again, later than to us, and claimed: it is that worker's to acknowledge."""


@dataclass(frozen=True)
class Delivery:
    """A command as it came. `delivery`: sequence in RUN and how often it was delivered; no two claims share it."""

    command: RunStep
    delivery: tuple[int, int]
    worker: str
    options: Options
    options_dropped: tuple[str, ...]
    traceparent: str


def parse(msg: Msg) -> RunStep:
    try:
        command = RunStep.model_validate_json(msg.data)
        attempt, after = attempt_in(msg.headers), int((msg.headers or {})[AFTER])
    except (ValidationError, KeyError, ValueError) as error:
        raise Unreadable(str(error)[:500]) from error
    *_, step, job = msg.subject.split(".")
    if (command.step, command.job, command.attempt, command.after) != (step, job, attempt, after):
        raise Unreadable("the body speaks of another command than the subject and headers")
    return command


async def claim(bus: Bus, settings: HostSettings, given: Delivery, epoch: int) -> int | None:
    """The generation: sequence of our `started`, which must follow the last event that the command knows, or that we
    have read. None: the attempt has ended, or a later one has begun. Raises Overtaken."""
    command, starts = given.command, 1
    after, last = command.after, None
    for _ in range(TRIES):
        if last:
            if last.ends(command.attempt) or last.attempt > command.attempt:
                return None
            if last.kind == StepStarted.kind and last.attempt == command.attempt:
                if _is_mine(last, given):
                    return last.sequence  # it had landed, only the answer was lost
                if _is_newer(last, given):
                    raise Overtaken
                starts = last.body.get("starts", 1) + 1  # another worker began this attempt and never ended it
        if starts > settings.max_starts:
            await bus.overrule(command.job, command.step, _crashed(given, settings.max_starts))
            return None
        try:
            return await bus.event(command.job, command.step, _started(given, starts), after, epoch=epoch)
        except Refused:
            last = await bus.last("EVENTS", bus.events_of(command.job, command.step))
            after = last.sequence if last else 0
    raise BusLost(f"the events of {command.job}.{command.step} do not hold still")


async def report(bus: Bus, settings: HostSettings, command: RunStep, event: Terminal, epoch: int) -> bool:
    """Say how the attempt ended, if it is still ours. False: it is another's now; say and acknowledge nothing."""
    generation, patience = event.generation, settings.result_patience_seconds
    try:
        await bus.event(command.job, command.step, event, generation, patience=patience, epoch=epoch)
    except Refused:
        last = await bus.last("EVENTS", bus.events_of(command.job, command.step))
        return bool(
            last
            and last.kind == event.kind
            and last.body.get("generation") == generation
            and last.body.get("worker") == event.worker
        )
    return True


def _started(given: Delivery, starts: int) -> StepStarted:
    return StepStarted(
        attempt=given.command.attempt,
        worker=given.worker,
        at=now(),
        delivery=given.delivery,
        starts=starts,
        options=given.options,
        options_dropped=given.options_dropped,
        traceparent=given.traceparent,
    )


def _is_mine(last: Stored, given: Delivery) -> bool:
    return last.body.get("worker") == given.worker and last.body.get("delivery") == list(given.delivery)


def _is_newer(last: Stored, given: Delivery) -> bool:
    """Of the same message. Which of two messages is the newer one their sequences do not say: RUN may be made anew."""
    match last.body.get("delivery"):
        case [int(sequence), int(number)]:
            return sequence == given.delivery[0] and number > given.delivery[1]
        case _:
            return False


def _crashed(given: Delivery, starts: int) -> StepFailed:
    message = f"{starts} workers began this attempt and none of them ended it"
    return StepFailed(
        attempt=given.command.attempt, worker=given.worker, at=now(), reason=Reason.CRASHED, message=message
    )
