"""The receipt of what was last asked of a job, in words."""

from collections.abc import Iterator

from rich.console import Console

from codestory.cli import moments
from codestory.cli.text import counted, duration, plain
from codestory.contracts.api import JobView
from codestory.contracts.jobs import Receipt
from codestory.contracts.values import JobState, Verb

DONE = {Verb.CANCEL: "Cancelled", Verb.STOP: "Stopped", Verb.RESUME: "Resumed", Verb.RETRY: "Retried"}
ENDS = {Verb.CANCEL: JobState.CANCELLED, Verb.STOP: JobState.STOPPED}


def show(console: Console, job: JobView) -> None:
    if job.receipt is not None:
        for line in lines(job, job.receipt):
            console.print(line, overflow="fold")


def lines(job: JobView, receipt: Receipt) -> Iterator[str]:
    yield f"{_what(job, receipt)}{'.' if receipt.verb in ENDS else ':'}"
    if receipt.kept:
        yield f"  kept: {_names(receipt.kept)}"
    if receipt.steps:
        yield f"  {'ended' if receipt.verb in ENDS else 'to run'}: {_names(receipt.steps)}"
    if receipt.tokens_released:
        yield f"  {counted(receipt.tokens_released, 'token')} released"


def _what(job: JobView, receipt: Receipt) -> str:
    asked = moments.moment(receipt.asked_at)
    if receipt.verb not in ENDS:
        return f"{DONE[receipt.verb]} at {asked}, run {job.run}"
    if receipt.ended_at is None:
        return f"Asked to {receipt.verb} {moments.ago(receipt.asked_at)}: its steps are told to end"
    took = duration(max(0.0, (receipt.ended_at - receipt.asked_at).total_seconds()))
    if job.state is not ENDS[receipt.verb]:
        return f"It was asked to {receipt.verb} at {asked}, and had ended by itself {took} later"
    return f"{DONE[receipt.verb]} {took} after it was asked for, at {asked}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(map(plain, names))
