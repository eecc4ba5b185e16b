"""How a command ends that lets a job go on: it follows the job to its end, or leaves it."""

from contextlib import closing

import typer
from rich.console import Console

from codestory.cli import moments, render
from codestory.cli.exits import Exit
from codestory.cli.following import Newest, display
from codestory.cli.screen import out, write_json
from codestory.cli.settings import CliSettings, read
from codestory.cli.text import plain
from codestory.client import Client, CodeStoryError
from codestory.contracts.api import JobView
from codestory.contracts.values import JobState


def to_its_end(client: Client, job: JobView, screen: Console, *, as_json: bool) -> None:
    """Show the job until it has ended, then what came of it. The exit code is the job's."""
    close(followed(client, job.id, screen), screen, as_json=as_json)


def followed(client: Client, job_id: str, screen: Console) -> JobView:
    """The job as it ended. It goes on when the person, or the service, leaves."""
    newest, every = Newest(), read(CliSettings).progress_seconds
    try:
        with display(screen, every) as shown, closing(client.watch(job_id)) as messages:
            for message in messages:
                if (job := newest.hear(message)) is not None:
                    shown.show(job)
    except (KeyboardInterrupt, CodeStoryError) as left:
        render.while_away(screen, job_id)
        if isinstance(left, KeyboardInterrupt):
            raise typer.Exit(Exit.INTERRUPTED) from left
        raise
    return newest.job or client.get(job_id)


def close(ended: JobView, screen: Console, *, as_json: bool) -> None:
    render.summary(screen, ended)
    if as_json:
        write_json(ended)
    raise typer.Exit(render.exit_of(ended))


def left(job: JobView, screen: Console, *, as_json: bool) -> None:
    """The id alone on stdout, for scripts."""
    if as_json:
        write_json(job)
    else:
        out().print(plain(job.id), soft_wrap=True)
    if job.state is JobState.SCHEDULED and job.due_at:
        screen.print(f"It is due {moments.due(job.due_at)}.", soft_wrap=True)
    render.while_away(screen, job.id)
