"""Why a job does not go on, in words: the service's own, one line for each link of the chain."""

from rich.console import Console
from rich.padding import Padding

from codestory.cli import moments
from codestory.cli.text import plain
from codestory.contracts.api import Holder, Wait, Why

#: Holders named of one link. All of them: `codestory resources`, or `--json`.
HOLDERS_SHOWN = 8


def show(console: Console, why: Why) -> None:
    console.print(f"Job {plain(why.job)}  {why.state}", soft_wrap=True)
    if _says_more(why):
        console.print(plain(why.text), overflow="fold")
    _links(console, why.waits, indent=2)


def _links(console: Console, waits: tuple[Wait, ...], indent: int) -> None:
    for wait in waits:
        console.print(Padding(f"- {plain(wait.text)}", (0, 0, 0, indent)))
        for line in _holders(wait):
            console.print(Padding(line, (0, 0, 0, indent + 4)))
        _links(console, wait.waits, indent + 4)


def _says_more(why: Why) -> bool:
    """Whether the text holds more than the state and the links, which are shown anyway."""
    rest = why.text
    for wait in why.waits:
        rest = rest.replace(wait.text, "", 1)
    return not why.waits or rest.replace(why.state, "", 1).strip(":; ") != ""


def _holders(wait: Wait) -> list[str]:
    """What a person needs beside the words: who holds what is waited for."""
    shown = [_holder(holder) for holder in wait.holders[:HOLDERS_SHOWN]]
    more = len(wait.holders) - len(shown)
    return [*shown, *([f"… and {more:,} more"] if more else [])]


def _holder(holder: Holder) -> str:
    who = f"{plain(holder.step)} of job {plain(holder.job)}"
    where = f" ({plain(holder.repository)})" if holder.repository else ""
    return f"{who}{where}, for {moments.ago(holder.since).removesuffix(' ago')}"
