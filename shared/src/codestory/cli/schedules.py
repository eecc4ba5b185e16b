"""`codestory ingest schedules`: list, show, pause, resume, rm."""

from typing import Annotated

import typer
from rich.console import Console

from codestory.cli import flags, moments, reach, render, rows
from codestory.cli.exits import BadUse
from codestory.cli.screen import out, write_json
from codestory.cli.text import plain
from codestory.client import Client, NotFound
from codestory.contracts.schedules import Schedule, ScheduleList

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

Which = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="The id of the schedule, or how it begins.", show_default=False)
]


@app.command("list")
def listed(as_json: flags.AsJson = False) -> None:
    """List the schedules."""
    with reach.running() as client:
        found = client.schedules()
    if as_json:
        write_json(ScheduleList(schedules=found))
    else:
        _table(out(), found)


@app.command()
def show(schedule: Which, as_json: flags.AsJson = False) -> None:
    """Show a schedule: when it is due, and what it has made."""
    with reach.running() as client:
        found = _find(client, schedule)
    _answer(found, as_json=as_json)


@app.command()
def pause(schedule: Which, as_json: flags.AsJson = False) -> None:
    """Make no more jobs until it is resumed."""
    with reach.running() as client:
        changed = client.change_schedule(_find(client, schedule).id, paused=True)
    _answer(changed, as_json=as_json)


@app.command()
def resume(schedule: Which, as_json: flags.AsJson = False) -> None:
    """Let a paused schedule go on, from now."""
    with reach.running() as client:
        changed = client.change_schedule(_find(client, schedule).id, paused=False)
    _answer(changed, as_json=as_json)


@app.command()
def rm(schedule: Which) -> None:
    """Delete a schedule. The jobs that it made stay."""
    with reach.running() as client:
        found = _find(client, schedule)
        client.delete_schedule(found.id)
    out().print(f"Schedule {plain(found.id)} is deleted.", soft_wrap=True)


def tell(made: Schedule, screen: Console, *, as_json: bool) -> None:
    """The id alone on stdout, for scripts; for people, when it is due."""
    if as_json:
        write_json(made)
    else:
        out().print(plain(made.id), soft_wrap=True)
    screen.print(f"{_next(made)}. Jobs are made while the service runs.", soft_wrap=True)
    screen.print(f"  see it:     {render.command()} ingest schedules show {plain(made.id)}", soft_wrap=True)
    screen.print(f"  pause it:   {render.command()} ingest schedules pause {plain(made.id)}", soft_wrap=True)


def _find(client: Client, typed: str) -> Schedule:
    """The schedule with this id, or the only one whose id begins so."""
    try:
        return client.schedule(typed)
    except NotFound:
        found = [schedule for schedule in client.schedules() if typed and schedule.id.startswith(typed)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(plain(schedule.id) for schedule in found[:5])
        raise BadUse(f"Several schedules begin with '{plain(typed)}': {several}{' …' if len(found) > 5 else ''}")
    raise BadUse(f"There is no schedule '{plain(typed)}'. See: codestory ingest schedules list")


def _answer(found: Schedule, *, as_json: bool) -> None:
    if as_json:
        write_json(found)
        return
    console = out()
    title = f"  {plain(found.title)}" if found.title else ""
    console.print(f"Schedule {plain(found.id)}{title}", soft_wrap=True)
    console.print(f"Repository {plain(found.job.repository)}", overflow="fold")
    console.print(f"At {_times(found)}. {_next(found)}.", overflow="fold")
    if found.last_at:
        job = f": job {plain(found.last_job)}" if found.last_job else ""
        console.print(f"Last at {moments.moment(found.last_at)}{job}", overflow="fold")
    console.print(f"Jobs made: {found.made:,}; left out, because the one before still ran: {found.left_out:,}")
    if found.problem:
        console.print(f"The last time made no job: {plain(found.problem)}", overflow="fold")


def _table(console: Console, found: tuple[Schedule, ...]) -> None:
    if not found:
        console.print(f"No schedules yet. See: {render.command()} ingest schedule --help")
        return
    headings = ("Schedule", "Repository", "At", "Next", "Last job", "Made")
    rows.show(console, headings, map(_row, found), wraps=("Repository", "Last job"), right=("Made",))


def _row(each: Schedule) -> tuple[str, ...]:
    name = each.title or each.job.name or each.job.repository
    due = "paused" if each.paused else moments.moment(each.next_at) if each.next_at else "never"
    last = f"{each.last_job} (no job the last time)" if each.problem else each.last_job
    return plain(each.id), plain(name), _times(each), due, plain(last), f"{each.made:,}"


def _times(found: Schedule) -> str:
    return f"{plain(found.cron)} {plain(found.time_zone)}"


def _next(found: Schedule) -> str:
    if found.paused:
        return "Paused"
    return f"Next {moments.due(found.next_at)}" if found.next_at else "No time is left that it names"
