"""What an occurrence makes of its schedule. Pure: the clock is the caller's, and it is the message bus's."""

import hashlib
from datetime import datetime

from codestory.contracts.schedules import ChangeSchedule, CreateSchedule, Schedule
from codestory_orchestrator.errors import ScheduleInvalid
from codestory_orchestrator.scheduling.cron import following

LONGEST_PROBLEM = 1000


def made(request: CreateSchedule, schedule_id: str, at: datetime, owner: str = "") -> Schedule:
    """A new one. Raises ScheduleInvalid for what could never make a job."""
    if request.job.eta is not None or request.job.countdown is not None:
        raise ScheduleInvalid("A schedule's job bears neither eta nor countdown: the schedule says when it begins.")
    schedule = Schedule(
        id=schedule_id,
        owner=owner,
        created_at=at,
        job=request.job,
        cron=request.cron,
        time_zone=request.time_zone,
        title=request.title,
        paused=request.paused,
    )
    return _coming(schedule, at)


def changed(schedule: Schedule, request: ChangeSchedule, at: datetime) -> Schedule:
    """What `request` gives that is new counts from `at` on. What came before it, and made no job yet, is left."""
    wished = schedule.model_copy(update=request.model_dump(exclude_none=True))
    return schedule if wished == schedule else _coming(wished, at)


def passed(schedule: Schedule, occurrence: datetime, at: datetime, *, job: str = "", problem: str = "") -> Schedule:
    """It has occurred: as a `job`, or left out because the one before still runs, or with a `problem`.

    A second time changes nothing. What was missed until `at` is not made up for."""
    if schedule.last_at is None or schedule.last_at < occurrence:
        left_out = not job and not problem
        if left_out:
            problem = f"Left out: the job before it, {schedule.last_job}, had not ended."
        schedule = schedule.model_copy(
            update={
                "last_at": occurrence,
                "last_job": job or schedule.last_job,
                "made": schedule.made + bool(job),
                "left_out": schedule.left_out + left_out,
                "problem": problem[:LONGEST_PROBLEM],
            }
        )
    if schedule.next_at != occurrence:
        return schedule
    try:
        return _coming(schedule, at)
    except ScheduleInvalid as error:  # the zone is gone from this host's data
        return schedule.model_copy(update={"next_at": None, "problem": str(error)[:LONGEST_PROBLEM]})


def job_id(schedule: Schedule, occurrence: datetime) -> str:
    """The same whoever makes it, and however often. As all ids of jobs it grows with time."""
    name = f"{schedule.id} {occurrence.isoformat()}"
    return f"{int(occurrence.timestamp() * 1000):011x}{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _coming(schedule: Schedule, at: datetime) -> Schedule:
    after = max(at, schedule.last_at) if schedule.last_at else at
    coming = following(schedule.cron, schedule.time_zone, after)
    if coming is None:
        raise ScheduleInvalid(f"The cron expression {schedule.cron!r} names no time of the next fifty years.")
    return schedule.model_copy(update={"next_at": None if schedule.paused else coming})
