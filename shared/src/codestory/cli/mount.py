"""`codestory ingest mount`: have the service in containers see a folder, and start nothing."""

from pathlib import Path
from typing import Annotated

import typer

from codestory import local
from codestory.cli import flags, mounts
from codestory.cli.exits import Exit, NoService
from codestory.cli.screen import err, out, write_json
from codestory.cli.text import plain

Folder = Annotated[str, typer.Argument(metavar="PATH", help="The folder of the repository.", show_default=False)]


def mount(
    path: Folder,
    *,
    path_prefix: flags.PathPrefix = "",
    container: flags.Container = "",
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 if they do not see it.")] = False,
    debug: flags.Debug = False,
    as_json: flags.AsJson = False,
) -> None:
    """Have a service in containers see a repository: mounted read-only, if it must be. Starts no job."""
    url = local.LocalSettings.read().url
    if url is None:
        raise NoService("Name the service in containers: CODESTORY_URL=http://127.0.0.1:8420")
    how, screen = mounts.How(prefix=path_prefix, container=container, debug=debug), err()
    folder = Path(path).absolute()
    with mounts.diagnosed(url, how, screen), mounts.mounter(url, how, screen) as mounting:
        place = mounting.where(folder) if check else mounting.setup_repository_mount(folder)
    if as_json:
        write_json({"folder": str(folder), "path": str(place) if place else None})
    elif place:
        out().print(f"{plain(folder)} is {plain(place)} in the containers.", soft_wrap=True)
    else:
        out().print(f"The containers do not see {plain(folder)}.", soft_wrap=True)
    if place is None:
        raise typer.Exit(Exit.FAILED)
