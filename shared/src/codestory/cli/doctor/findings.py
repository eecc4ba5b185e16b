"""What the doctor found: one line each, and the command that mends it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.text import Text

from codestory.cli.text import counted, plain

Level = Literal["ok", "warn", "fail"]

STYLES: dict[Level, str] = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`mend`: what to do about it, a command where there is one."""

    name: str
    level: Level
    said: str
    mend: str = ""


def ok(name: str, said: str) -> Finding:
    return Finding(name, "ok", said)


def warn(name: str, said: str, mend: str = "") -> Finding:
    return Finding(name, "warn", said, mend)


def fail(name: str, said: str, mend: str = "") -> Finding:
    return Finding(name, "fail", said, mend)


def show(console: Console, found: Iterable[Finding]) -> None:
    """Long lines are the terminal's to wrap: a command is copied whole."""
    counts: dict[Level, int] = {"fail": 0, "warn": 0, "ok": 0}
    for each in found:
        counts[each.level] += 1
        level = Text(f"{each.level:<5}", style=STYLES[each.level])
        console.print(level, f"{plain(each.name)}: {plain(each.said)}", soft_wrap=True)
        if each.mend:
            console.print(f"      → {plain(each.mend)}", soft_wrap=True)
    failed = f"{counted(counts['fail'], 'thing')} must be mended" if counts["fail"] else "Nothing must be mended"
    console.print(f"{failed}, {counted(counts['warn'], 'warning')}, {counts['ok']:,} in order.", soft_wrap=True)
