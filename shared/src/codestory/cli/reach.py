"""Which service the commands talk to: the one that is named, the one that runs here, or one that they start."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from codestory import local
from codestory.cli.exits import NoService
from codestory.cli.text import plain
from codestory.client import Client, Invalid

Answer = TypeVar("Answer")

#: The code of the problem "this step is not registered".
UNKNOWN_STEP = "unknown_step"


def elsewhere() -> bool:
    """Whether the service is one that was named: in a container or on another machine, its paths are not ours."""
    return local.LocalSettings.read().url is not None


def running() -> Client:
    """The service there is."""
    url = local.service_url()
    if url is None:
        raise NoService(
            "No Code Story service runs here. Start one with: codestory service start. "
            "Or name one: CODESTORY_URL=http://host:port"
        )
    return Client(url)


def running_or_started(config: Path | None, console: Console) -> Client:
    """The service there is, or else the embedded stack, started now. What it is doing is said on the console."""
    return Client(local.service_url() or _started(config, console).url)


def with_new_steps(ask: Callable[[], Answer], console: Console) -> Answer:
    """What is asked for. A step that was installed after the embedded stack was started gets its service first."""
    try:
        return ask()
    except Invalid as error:
        if error.code != UNKNOWN_STEP or elsewhere():
            raise
    _started(None, console)
    return ask()


def _started(config: Path | None, console: Console) -> local.Stack:
    return local.start(config, on_progress=lambda said: console.print(f"  {plain(said)}", soft_wrap=True))
