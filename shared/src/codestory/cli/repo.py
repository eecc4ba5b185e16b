"""`codestory repo`: which repositories there are, what is known of one, and taking one out of the graph."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from codestory.cli import flags, moments, reach, render, tables
from codestory.cli.exits import BadUse
from codestory.cli.screen import at_a_terminal, err, out, write_json
from codestory.cli.text import plain, tally
from codestory.client import Client, NotFound
from codestory.contracts.repositories import RepositoryList, RepositoryView
from codestory.contracts.values import JobState
from codestory.repository_identity import identify

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

Repo = Annotated[str, typer.Argument(metavar="REPO", help="A repository's name, or its folder.", show_default=False)]


@app.command("list")
def list_repositories(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only those whose name begins so.")] = "",
    as_json: flags.AsJson = False,
) -> None:
    """The repositories in the graph, and those that a job is on."""
    with reach.running() as client:
        found = client.repositories(name)
    if as_json:
        write_json(RepositoryList(repositories=found))
    else:
        _table(out(), found)


@app.command()
def show(repo: Repo, as_json: flags.AsJson = False) -> None:
    """One repository: where it comes from, which commit the graph holds, how much of it."""
    with reach.running() as client:
        found = _find(client, repo)
    if as_json:
        write_json(found)
    else:
        _answer(out(), found)


@app.command()
def rm(
    repo: Repo,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until it is gone.")] = True,
    as_json: flags.AsJson = False,
) -> None:
    """Take a repository out of the graph: all that any step has written of it. Its files and its jobs stay."""
    screen = err()
    with reach.running() as client:
        found = _find(client, repo)
        if not yes:
            _ask(found, screen)
        deleted = client.delete_repository(found.id, wait=wait)
    if as_json:
        write_json(deleted)
    elif wait:
        out().print(f"{plain(found.name)} is gone from the graph.", soft_wrap=True)
    else:
        out().print(f"{plain(found.name)} is being deleted, whether anybody looks or not.", soft_wrap=True)
    if wait:
        again = shlex.quote(plain(found.origin or "PATH"))
        screen.print(f"  ingest it again: {render.command()} ingest start {again}", soft_wrap=True)
    else:
        where = shlex.quote(plain(found.name))
        screen.print(f"  how far it is: {render.command()} repo show {where}", soft_wrap=True)


def _ask(found: RepositoryView, screen: Console) -> None:
    held = tally(found.nodes or {}) or "nothing"
    screen.print(f"The graph holds of {plain(found.name)}: {held}.", soft_wrap=True)
    if not at_a_terminal(screen):
        raise BadUse("Nobody can be asked here. To delete it unasked, say --yes.")
    if not typer.confirm("Delete all of it?", err=True):
        raise BadUse("Nothing was deleted.")


def _find(client: Client, typed: str) -> RepositoryView:
    """A name goes before a folder of that name here."""
    try:
        return client.repository(typed)
    except NotFound:
        if Path(typed).is_dir() and not reach.elsewhere():
            try:
                return client.repository(identify(Path(typed)).id)
            except NotFound:
                pass
    names = ", ".join(plain(each.name) for each in client.repositories()) or "none yet"
    raise BadUse(f"There is no repository '{plain(typed)}'. There are: {names}")


def _table(console: Console, found: Iterable[RepositoryView]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Repository", "State", "Branch", "Commit", "Ingested", "Last job"):
        table.add_column(heading, overflow="fold")
    for each in found:
        job = f"{plain(each.last_job.id)} {each.last_job.state}" if each.last_job else ""
        at = moments.moment(each.ingested_at) if each.ingested_at else ""
        table.add_row(plain(each.name), _state(each), plain(each.branch), plain(each.commit[:12]), at, job)
    hint = f"No repositories yet. Ingest one: {render.command()} ingest start PATH (or: make ingest REPO=PATH)"
    console.print(table if table.row_count else hint, soft_wrap=not table.row_count)


def _state(found: RepositoryView) -> str:
    if found.deleting:
        return "being deleted"
    if not found.in_graph:
        return "not in the graph yet"
    if found.writing_steps:
        return f"{', '.join(map(plain, found.writing_steps))} writing"
    if found.stale_steps:
        return f"{', '.join(map(plain, found.stale_steps))} stale"
    return "complete" if found.complete else "not complete"


def _answer(console: Console, found: RepositoryView) -> None:
    console.print(f"{plain(found.name)}  {_state(found)}", overflow="fold")
    for heading, said in (
        ("Id", found.id),
        ("Comes from", found.origin),
        ("Remote", found.url),
        ("Branch", found.branch),
        ("Commit", found.commit),
        ("Ingested", moments.moment(found.ingested_at) if found.ingested_at else ""),
        ("Nodes", tally(found.nodes or {})),
    ):
        if said:
            console.print(f"{heading}: {plain(said)}", overflow="fold")
    for note in (tables.unfinished(found.writing_steps), tables.stale(found.stale_steps)):
        if note:
            console.print(note, overflow="fold")
    if found.last_job:
        ended = f", ended {moments.moment(found.last_job.ended_at)}" if found.last_job.ended_at else ""
        gaps = ", with gaps" if found.last_job.state is JobState.COMPLETED and not found.last_job.complete else ""
        console.print(f"Last job: {plain(found.last_job.id)} {found.last_job.state}{gaps}{ended}", overflow="fold")
    if found.deletion:
        console.print(f"Being deleted since {moments.moment(found.deletion.since)}, {found.deletion.removed:,} so far.")
        if found.deletion.problem:
            console.print(f"It does not go on: {plain(found.deletion.problem)} It is tried again.", overflow="fold")
