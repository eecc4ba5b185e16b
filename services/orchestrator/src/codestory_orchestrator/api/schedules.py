"""Recurring schedules: make, list, show, change, delete."""

from typing import Annotated, Protocol, cast

from fastapi import APIRouter, Depends, Response
from fastapi.requests import HTTPConnection

from codestory.contracts.access import Role
from codestory.contracts.schedules import ChangeSchedule, CreateSchedule, Schedule, ScheduleList
from codestory_orchestrator.api.access import Caller
from codestory_orchestrator.api.idempotency import IdempotencyKey
from codestory_orchestrator.api.ingestion import Orchestrator, refuse_unseen
from codestory_orchestrator.api.problems import documented
from codestory_orchestrator.errors import ScheduleNotFound

router = APIRouter(prefix="/v1/ingest/schedules", tags=["schedules"])


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

    async def change(self, schedule_id: str, request: ChangeSchedule) -> Schedule: ...

    async def delete(self, schedule_id: str) -> None:
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


@router.post("", status_code=201, responses=documented(400, 403, 410, 413, 415, 422, 503))
async def create_schedule(
    request: CreateSchedule,
    response: Response,
    schedules: Scheduler,
    *,
    ingestion: Orchestrator,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Schedule:
    """Ingest a repository again and again, at the times that `cron` names. `Location` is where to look at it."""
    await refuse_unseen(request.job.after, ingestion, caller)
    schedule = await schedules.create(request, owner=caller.owner, key=idempotency_key or "")
    response.headers["Location"] = f"{router.prefix}/{schedule.id}"
    return schedule


@router.get("", responses=documented(503))
async def list_schedules(schedules: Scheduler, caller: Caller) -> ScheduleList:
    """All schedules that there are for whoever asks, the newest first."""
    found = await schedules.list_schedules()
    return ScheduleList(schedules=tuple(schedule for schedule in found if caller.sees(schedule.owner)))


@router.get("/{schedule_id}", responses=documented(404, 503))
async def show_schedule(schedule_id: Seen, schedules: Scheduler) -> Schedule:
    """One schedule: when it comes next, and what became of the last time."""
    return await schedules.show(schedule_id)


@router.patch("/{schedule_id}", responses=documented(404, 413, 415, 422, 503))
async def change_schedule(schedule_id: Seen, request: ChangeSchedule, schedules: Scheduler) -> Schedule:
    """Pause it, resume it, give it other times. What it missed while it was paused is not made up for."""
    return await schedules.change(schedule_id, request)


@router.delete("/{schedule_id}", status_code=204, responses=documented(404, 503))
async def delete_schedule(schedule_id: Seen, schedules: Scheduler) -> None:
    """It makes no more jobs. Those that it has made stay."""
    await schedules.delete(schedule_id)
