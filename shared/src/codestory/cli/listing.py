"""Which jobs are meant: the filters as they are typed, the same to show jobs and to change them."""

from pathlib import Path
from typing import Annotated

import typer

from codestory.cli import arguments, completion, moments
from codestory.cli.exits import BadUse
from codestory.client import Filters
from codestory.contracts.listing import JobFilter, Sort
from codestory.contracts.values import JobState, Priority
from codestory.repository_identity import identify

States = Annotated[str, typer.Option("--status", metavar="A,B", help="In one of these states: failed,stopped.")]
OfRepository = Annotated[
    str | None, typer.Option("--repository", metavar="REPO", help="Of this repository: its name, id or folder.")
]
WithStep = Annotated[
    str | None,
    typer.Option("--step", metavar="STEP", help="That have this step.", autocompletion=completion.steps),
]
OfPriority = Annotated[Priority | None, typer.Option("--priority", help="Of this priority.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Made then or later: 2026-12-01T03:00, or 2h, 3d: so long ago.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Made before; as --since.")]
OfSchedule = Annotated[str | None, typer.Option("--schedule", metavar="SCHEDULE", help="Made by this schedule.")]
ORDERS = {"newest": Sort.NEWEST, "oldest": Sort.OLDEST, "last-ended": Sort.LAST_ENDED, "first-ended": Sort.FIRST_ENDED}
Order = Annotated[
    str, typer.Option("--sort", metavar="ORDER", help=f"{', '.join(ORDERS)}. By end: only jobs that have ended.")
]


def filters(
    *,
    status: str,
    repository: str | None,
    step: str | None,
    priority: Priority | None,
    since: str | None,
    until: str | None = None,
    schedule: str | None = None,
) -> Filters:
    """Those that are given; refused before anything is asked if the service would refuse them."""
    states = arguments.step_names(status.upper())
    if unknown := [state for state in states if state not in set(JobState)]:
        raise BadUse(f"There is no state '{unknown[0]}'. There are: {', '.join(JobState).lower()}")
    given = {
        "status": states,
        "repository": _repository(repository) if repository else None,
        "step": step,
        "priority": priority,
        "since": moments.past(since),
        "until": moments.past(until),
        "schedule": schedule,
    }
    checked = arguments.checked(JobFilter, **{name: value for name, value in given.items() if value})
    found: Filters = {}
    found.update(checked.model_dump(exclude_unset=True))  # pyright: ignore[reportArgumentType, reportCallIssue]  # as typed
    return found


def order(typed: str) -> Sort:
    if typed not in ORDERS:
        raise BadUse(f"There is no order '{typed}'. There are: {', '.join(ORDERS)}")
    return ORDERS[typed]


def _repository(typed: str) -> str:
    """A name or an id is taken as it is; a folder by its path is one that is written as such."""
    path = Path(typed)
    return identify(path).id if ("/" in typed or typed == ".") and path.is_dir() else typed
