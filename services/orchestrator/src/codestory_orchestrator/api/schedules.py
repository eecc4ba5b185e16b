"""Recurring schedules: make, list, show, change, delete."""

from typing import Annotated, Any, Final, Protocol, cast

from fastapi import APIRouter, Depends, Response
from fastapi.requests import HTTPConnection

from codestory.contracts.access import Role
from codestory.contracts.schedules import ChangeSchedule, CreateSchedule, Schedule, ScheduleList
from codestory_orchestrator.api.access import Caller
from codestory_orchestrator.api.conditions import (
    ETAG,
    NOT_MODIFIED,
    IfMatch,
    IfNoneMatch,
    tagged,
    telling_the_present,
    unless_same,
)
from codestory_orchestrator.api.idempotency import IdempotencyKey
from codestory_orchestrator.api.ingestion import Orchestrator, refuse_unseen
from codestory_orchestrator.api.problems import documented
from codestory_orchestrator.errors import ScheduleNotFound

router = APIRouter(prefix="/v1/ingest/schedules", tags=["schedules"])

_SHOWN: Final[dict[int | str, dict[str, Any]]] = {200: {"model": Schedule, "headers": ETAG}}
_LOCATION: Final[dict[str, Any]] = {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}
_MADE: Final[dict[int | str, dict[str, Any]]] = {201: {"model": Schedule, "headers": ETAG | _LOCATION}}


class Schedules(Protocol):
    """The verbs. Each raises an IngestionError for what it refuses."""

    async def create(
        self, request: CreateSchedule, *, schedule_id: str = "", owner: str = "", key: str = ""
    ) -> Schedule:
        """Once this returns the schedule is not lost. With a `schedule_id` that exists already: that one, as it is.

        `key`: of its owner's requests all those with the same key make one schedule. KeyReused, or Forgotten."""
        ...

    async def list_schedules(self) -> list[Schedule]:
        """The newest first."""
        ...

    async def show(self, schedule_id: str) -> Schedule: ...

    # Each of these with `revisions`: ChangedMeanwhile unless the schedule's record is at one of them.

    async def change(
        self, schedule_id: str, request: ChangeSchedule, revisions: frozenset[int] | None = None
    ) -> Schedule: ...

    async def delete(self, schedule_id: str, revisions: frozenset[int] | None = None) -> None:
        """The jobs that it has made stay."""
        ...


def _of_app(connection: HTTPConnection) -> Schedules:
    return cast("Schedules", connection.app.state.schedules)


Scheduler = Annotated[Schedules, Depends(_of_app)]


async def _seen(schedule_id: str, schedules: Scheduler, caller: Caller) -> str:
    """The id of a schedule that exists for whoever asks."""
    if caller.role is not Role.ADMIN and not caller.sees((await schedules.show(schedule_id)).owner):
        raise ScheduleNotFound(schedule_id)
    return schedule_id


Seen = Annotated[str, Depends(_seen)]


@router.post(
    "",
    status_code=201,
    response_model=Schedule,
    responses={**_MADE, **documented(400, 403, 410, 413, 415, 422, 503)},
)
async def create_schedule(
    request: CreateSchedule,
    schedules: Scheduler,
    *,
    ingestion: Orchestrator,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Ingest a repository again and again, at the times that `cron` names. `Location` is where to look at it."""
    await refuse_unseen(request.job.after, ingestion, caller)
    ingestion.refuse_secret(request.job, caller)
    schedule = await schedules.create(request, owner=caller.owner, key=idempotency_key or "")
    return tagged(schedule, 201, Location=f"{router.prefix}/{schedule.id}")


@router.get("", responses=documented(503))
async def list_schedules(schedules: Scheduler, caller: Caller) -> ScheduleList:
    """All schedules that there are for whoever asks, the newest first."""
    found = await schedules.list_schedules()
    return ScheduleList(schedules=tuple(schedule for schedule in found if caller.sees(schedule.owner)))


@router.get(
    "/{schedule_id}",
    response_model=Schedule,
    responses={**_SHOWN, **NOT_MODIFIED, **documented(404, 422, 503)},
)
async def show_schedule(schedule_id: Seen, schedules: Scheduler, if_none_match: IfNoneMatch = None) -> Response:
    """One schedule: when it comes next, and what became of the last time."""
    return unless_same(await schedules.show(schedule_id), if_none_match)


@router.patch(
    "/{schedule_id}",
    response_model=Schedule,
    responses={**_SHOWN, **documented(400, 404, 412, 413, 415, 422, 503)},
)
async def change_schedule(
    schedule_id: Seen, request: ChangeSchedule, schedules: Scheduler, revisions: IfMatch
) -> Response:
    """Pause it, resume it, give it other times. What it missed while it was paused is not made up for."""
    async with telling_the_present(lambda: schedules.show(schedule_id)):
        return tagged(await schedules.change(schedule_id, request, revisions))


@router.delete("/{schedule_id}", status_code=204, responses=documented(400, 404, 412, 422, 503))
async def delete_schedule(schedule_id: Seen, schedules: Scheduler, revisions: IfMatch) -> None:
    """It makes no more jobs. Those that it has made stay."""
    async with telling_the_present(lambda: schedules.show(schedule_id)):
        await schedules.delete(schedule_id, revisions)
