"""The same asked of many jobs: those that the filters let through, once a person has seen how many they are."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from codestory.cli import completion, reach
from codestory.cli.exits import BadUse, Exit
from codestory.cli.screen import at_a_terminal, err, out, write_json
from codestory.cli.text import counted, plain
from codestory.client import Client, Filters
from codestory.contracts.listing import MOST_AT_ONCE, BulkResult

Matching = Annotated[
    bool, typer.Option("--matching", help="Every job that the filters below let through, instead of one.")
]
Everything = Annotated[bool, typer.Option("--all", help="With --matching and no filter: every job.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With --matching: change nothing, say which jobs are meant.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="With --matching: do not ask.")]
OneJob = Annotated[
    str | None,
    typer.Argument(
        metavar="JOB", help="The id of the job, or how it begins.", show_default=False, autocompletion=completion.jobs
    ),
]
#: Refusals that are named. All of them: `--json`.
REFUSED_SHOWN = 10

#: What is asked of the service: with `dry_run`, `limit` and `all` given.
Ask = Callable[[Client, bool], BulkResult]


def one_or_many(job: str | None, *, matching: bool, filters: Filters, everything: bool, dry_run: bool) -> str | None:
    """The one job that is meant; None: those that the filters let through."""
    if matching == (job is not None):
        raise BadUse("Name one job, or say --matching with filters (see --help).")
    if not matching and (filters or everything or dry_run):
        raise BadUse("Filters choose among many jobs: say --matching, and name no job.")
    if matching and not filters and not everything:
        raise BadUse("Without a filter every job is meant: say --all, or narrow it down (see --help).")
    return job


def ask(verb: str, became: str, request: Ask, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Look first, ask the person, then do it. Exit code 1 if a job refused."""
    screen = err()
    with reach.running() as client:
        meant = request(client, True)
        if dry_run or not meant.done:
            _tell(meant, f"would be {became}", as_json=as_json)
            return
        if not yes:
            _confirm(verb, meant, screen)
        result = request(client, False)
    _tell(result, became, as_json=as_json)
    if result.more:
        screen.print("There are more: say it again.", soft_wrap=True)
    if result.refused:
        raise typer.Exit(Exit.FAILED)


def _confirm(verb: str, meant: BulkResult, screen: Console) -> None:
    if not at_a_terminal(screen):
        raise BadUse(f"{counted(len(meant.done), 'job')} are meant, and nobody is there to be asked: say --yes.")
    if not typer.confirm(f"{verb.capitalize()} {counted(len(meant.done), 'job')}?", err=True):
        raise typer.Exit(Exit.BAD_USE)


def _tell(result: BulkResult, became: str, *, as_json: bool) -> None:
    if as_json:
        write_json(result)
        return
    console = out()
    console.print(f"{counted(len(result.done), 'job')} {became}, of {result.matched:,} that match.", soft_wrap=True)
    for job in result.done:
        console.print(f"  {plain(job)}", soft_wrap=True)
    for each in result.refused[:REFUSED_SHOWN]:
        console.print(f"  {plain(each.id)} refused: {plain(each.detail)}", soft_wrap=True)
    if len(result.refused) > REFUSED_SHOWN:
        console.print(f"  and {len(result.refused) - REFUSED_SHOWN:,} more", soft_wrap=True)


#: As many as the service takes at once.
LIMIT = MOST_AT_ONCE
