"""Which service the commands talk to: the one that is named, the one that runs here, or one that they start."""

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from codestory import local
from codestory.cli.exits import NoService
from codestory.cli.screen import err
from codestory.cli.text import plain
from codestory.client import Client, Invalid, Patience

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
    _name_another_version()
    return client(url)


def running_or_started(config: Path | None, console: Console) -> Client:
    """The service there is, or else the embedded stack, started now. What it is doing is said on the console."""
    return client(local.service(config, on_progress=lambda said: _say(console, said)))


def client(url: str, *, timeout: float | None = None, patience: Patience | None = None) -> Client:
    """A connection as whoever the environment says we are."""
    return Client(url, patience=patience) if timeout is None else Client(url, timeout=timeout, patience=patience)


def with_new_steps(ask: Callable[[], Answer], console: Console) -> Answer:
    """What is asked for. A step that was installed after the embedded stack was started gets its service first."""
    try:
        return ask()
    except Invalid as error:
        if error.code != UNKNOWN_STEP or elsewhere():
            raise
    local.start(on_progress=lambda said: _say(console, said))
    return ask()


def _name_another_version() -> None:
    """It answers all the same; whoever reads its answers should know whose they are."""
    stack = None if elsewhere() else local.find()
    mine = metadata.version("codestory")
    if stack is not None and stack.version != mine:
        err().print(
            f"Code Story {plain(stack.version)} is running, this is {mine}. "
            "When it is idle, this one takes its place: codestory service start",
            soft_wrap=True,
        )


def _say(console: Console, said: str) -> None:
    console.print(f"  {plain(said)}", soft_wrap=True)
