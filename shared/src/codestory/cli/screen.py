"""The two places that are printed to: answers go to stdout, everything that is said meanwhile to stderr."""

import json
import sys

from pydantic import BaseModel
from rich.console import Console


def out() -> Console:
    """For answers. Markup is off: brackets in a file's name are brackets."""
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False)


def err() -> Console:
    """For progress, summaries beside a JSON answer, and errors."""
    return Console(file=sys.stderr, markup=False, highlight=False, emoji=False)


def animated(console: Console) -> bool:
    """Whether bars can move. Asks the stream itself: FORCE_COLOR makes Rich take a file for a terminal."""
    return console.file.isatty() and not console.is_dumb_terminal


def write_json(answer: BaseModel | object) -> None:
    """ASCII only, so that no control character of a name reaches the terminal."""
    content = answer.model_dump(mode="json") if isinstance(answer, BaseModel) else answer
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
