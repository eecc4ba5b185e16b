"""The records of recurring schedules: in the bucket `jobs`, beside the jobs. Every change is a compare-and-set."""

from collections.abc import Callable

from pydantic import ValidationError

from codestory import telemetry
from codestory.bus import Bus, BusLost, Refused, encoded
from codestory.contracts.schedules import Schedule
from codestory.mirror import Mirror
from codestory_orchestrator.errors import ChangedMeanwhile, ScheduleNotFound
from codestory_orchestrator.records import TRIES, Records

log = telemetry.logger(__name__)

#: Keys of the bucket `jobs` that are schedules.
PREFIX = "schedule."
#: None: whatever it is.
Revisions = frozenset[int] | None


class ScheduleStore:
    """`mirror`: of the bucket `jobs`. Whoever keeps the jobs puts these back too when a broker has lost its storage.

    `revisions`, wherever it is taken: only if the record is at one of these; otherwise raises ChangedMeanwhile."""

    def __init__(self, bus: Bus, mirror: Mirror) -> None:
        self.mirror, self._records = mirror, Records(bus, mirror)

    def remembered(self) -> list[Schedule]:
        """As far as this process has heard, the newest first."""
        keys = sorted((key for key in self.mirror.entries if key.startswith(PREFIX)), reverse=True)
        return [schedule for key in keys if (entry := self.mirror.get(key)) and (schedule := _load(*entry))]

    async def read(self, schedule_id: str) -> Schedule | None:
        """The record as it is now, with its revision."""
        found = await self._records.read(PREFIX + schedule_id)
        return _load(found[1], found[0]) if found else None

    async def forgotten(self, schedule_id: str) -> bool:
        """There was one of this id, and it was deleted."""
        return await self._records.removed(PREFIX + schedule_id)

    async def write(self, schedule: Schedule) -> Schedule | None:
        """Over the revision that it bears, and with its new one. None: somebody else changed it first."""
        data = encoded(_at(0, schedule))
        revision = await self._records.write(PREFIX + schedule.id, data, schedule.revision, what="schedule")
        return None if revision is None else _at(revision, schedule)

    async def change(
        self, schedule_id: str, how: Callable[[Schedule], Schedule], *, revisions: Revisions = None
    ) -> Schedule:
        """Apply `how` to the record as it is now. Raises what `how` raises, and ScheduleNotFound."""
        for _ in range(TRIES):
            schedule = await self._expected(schedule_id, revisions)
            changed = how(schedule)
            if changed == schedule:
                return schedule
            if written := await self.write(changed):
                return written
        raise BusLost(f"the record of the schedule {schedule_id} does not hold still")

    async def delete(self, schedule_id: str, *, revisions: Revisions = None) -> None:
        """Raises ScheduleNotFound. It may occur at this moment: deleted on no condition, it goes all the same."""
        schedule = await self._expected(schedule_id, revisions)
        after = None if revisions is None else schedule.revision
        try:
            await self._records.remove(PREFIX + schedule_id, revision=after, what="schedule-gone")
        except Refused as error:
            if await self.read(schedule_id):  # else it has gone, by this request or by another
                raise ChangedMeanwhile(f"schedule {schedule_id}") from error

    async def _expected(self, schedule_id: str, revisions: Revisions) -> Schedule:
        schedule = await self.read(schedule_id)
        if not schedule:
            raise ScheduleNotFound(schedule_id)
        if revisions is not None and schedule.revision not in revisions:
            raise ChangedMeanwhile(f"schedule {schedule_id}")
        return schedule


def _load(revision: int, data: bytes) -> Schedule | None:
    try:
        return _at(revision, Schedule.model_validate_json(data))
    except ValidationError as error:
        log.warning("schedule.unreadable", error=str(error)[:500])
        return None


def _at(revision: int, schedule: Schedule) -> Schedule:
    return schedule.model_copy(update={"revision": revision})
