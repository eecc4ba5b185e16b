"""Which service the commands talk to: the one that is named, the one that runs here, or one that they start."""

from pathlib import Path

from rich.console import Console

from codestory import local
from codestory.cli.exits import NoService
from codestory.cli.text import plain
from codestory.client import Address, Client


def elsewhere() -> bool:
    """Whether the service is named, and on another machine: its paths are not ours."""
    url = local.LocalSettings.read().url
    return url is not None and not Address(url).loopback


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
    url = local.service_url()
    if url is None:
        console.print("Starting the embedded stack …")
        url = local.start(config, on_progress=lambda said: console.print(f"  {plain(said)}")).url
    return Client(url)
