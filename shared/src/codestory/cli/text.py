"""Text for a terminal. What comes from a repository, a log or the service is data: it must not steer the terminal."""

from collections.abc import Mapping

import rich.filesize


def plain(text: object) -> str:
    """The text on one line, with everything that is not printable escaped: control characters, escape sequences, line
    breaks, marks that change the direction of writing, halves of surrogate pairs.
    """
    shown = str(text)
    return shown if shown.isprintable() else "".join(map(_escaped, shown))


def plain_lines(text: str) -> str:
    """The same for text that has lines of its own, such as a traceback."""
    return "\n".join(plain(line.expandtabs()) for line in text.splitlines())


def duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24:,} d {hours % 24:02} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def size(octets: int) -> str:
    return rich.filesize.decimal(octets)


def tally(counts: Mapping[str, int]) -> str:
    """`File 120, Directory 8`: the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{plain(name)} {count:,}" for name, count in ordered)


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
