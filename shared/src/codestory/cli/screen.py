"""The two places that are printed to: answers go to stdout, everything that is said meanwhile to stderr."""

import json
import sys
from typing import TextIO

from pydantic import BaseModel
from rich.console import Console


def out() -> Console:
    """For answers. Markup is off: brackets in a file's name are brackets."""
    return _console(sys.stdout)


def err() -> Console:
    """For progress, summaries beside a JSON answer, and errors."""
    return _console(sys.stderr)


def without_color() -> None:
    """From now on; as NO_COLOR does for every program."""
    _plain.append(True)


def _console(file: TextIO) -> Console:
    return Console(file=file, markup=False, highlight=False, emoji=False, no_color=True if _plain else None)


#: Whether colours were declined on the command line.
_plain: list[bool] = []


def animated(console: Console) -> bool:
    """Whether bars can move. Asks the stream itself: FORCE_COLOR makes Rich take a file for a terminal."""
    return console.file.isatty() and not console.is_dumb_terminal


def at_a_terminal(console: Console) -> bool:
    """Whether there is a person who sees what is asked there, and can answer."""
    return console.file.isatty() and sys.stdin.isatty()


def write_json(answer: BaseModel | object) -> None:
    """ASCII only, so that no control character of a name reaches the terminal."""
    content = answer.model_dump(mode="json") if isinstance(answer, BaseModel) else answer
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
