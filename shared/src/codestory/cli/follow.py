"""How a command ends that lets a job go on: it follows the job to its end, or leaves it."""

import sys
from contextlib import closing

import typer
from rich.console import Console

from codestory.cli import moments, render
from codestory.cli.exits import Exit
from codestory.cli.following import Newest, display
from codestory.cli.screen import at_a_terminal, out, write_json
from codestory.cli.settings import CliSettings, read
from codestory.cli.text import plain
from codestory.client import Client, CodeStoryError, Conflict
from codestory.contracts.api import JobView
from codestory.contracts.values import JobState

#: Detach, cancel, go on.
ANSWERS = frozenset("dcg")


def to_its_end(client: Client, job: JobView, screen: Console, *, as_json: bool) -> None:
    """Show the job until it has ended, then what came of it. The exit code is the job's."""
    close(followed(client, job.id, screen), screen, as_json=as_json)


def followed(client: Client, job_id: str, screen: Console) -> JobView:
    """The job as it ended. It goes on when the person, or the service, leaves."""
    newest = Newest()
    try:
        while True:
            try:
                _watch(client, job_id, screen, newest)
                return newest.job or client.get(job_id)
            except KeyboardInterrupt:
                _interrupted(client, job_id, screen)
    except (KeyboardInterrupt, CodeStoryError) as left:
        render.while_away(screen, job_id)
        if isinstance(left, KeyboardInterrupt):
            raise typer.Exit(Exit.INTERRUPTED) from left
        raise


def _watch(client: Client, job_id: str, screen: Console, newest: Newest) -> None:
    with display(screen, read(CliSettings).progress_seconds) as shown, closing(client.watch(job_id)) as messages:
        for message in messages:
            if (job := newest.hear(message)) is not None:
                shown.show(job)


def _interrupted(client: Client, job_id: str, screen: Console) -> None:
    """A person is asked what they meant. KeyboardInterrupt: to leave, as it is meant by whatever is no person."""
    answer = "d" if not at_a_terminal(screen) else _asked(job_id, screen)
    if answer == "d":
        raise KeyboardInterrupt
    if answer == "c":
        try:
            client.cancel(job_id)
            screen.print(f"Job {plain(job_id)} is being cancelled: its steps are told to end.", soft_wrap=True)
        except Conflict:
            return  # it has ended meanwhile, which is about to be seen


def _asked(job_id: str, screen: Console) -> str:
    """d, c or g. The end of the input, or another Ctrl-C, is to detach."""
    question = f"Job {plain(job_id)}: [d]etach (it goes on without you), [c]ancel it, or [g]o on watching? "
    while True:
        screen.print(question, end="", soft_wrap=True)
        screen.file.flush()
        line = sys.stdin.readline()
        answer = line.strip().lower()[:1]
        if answer in ANSWERS or not line:
            return answer or "d"


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
