"""The records of recurring schedules: in the bucket `jobs`, beside the jobs. Every change is a compare-and-set."""

from collections.abc import Callable

from pydantic import ValidationError

from codestory import telemetry
from codestory.bus import Bus, BusLost, encoded
from codestory.contracts.schedules import Schedule
from codestory.mirror import Mirror
from codestory_orchestrator.errors import ScheduleNotFound
from codestory_orchestrator.records import TRIES, Records

log = telemetry.logger(__name__)

#: Keys of the bucket `jobs` that are schedules.
PREFIX = "schedule."


class ScheduleStore:
    """`mirror`: of the bucket `jobs`. Whoever keeps the jobs puts these back too when a broker has lost its storage."""

    def __init__(self, bus: Bus, mirror: Mirror) -> None:
        self.mirror, self._records = mirror, Records(bus, mirror)

    def remembered(self) -> list[Schedule]:
        """As far as this process has heard, the newest first."""
        keys = sorted((key for key in self.mirror.entries if key.startswith(PREFIX)), reverse=True)
        return [schedule for key in keys if (entry := self.mirror.get(key)) and (schedule := _load(entry[1]))]

    async def read(self, schedule_id: str) -> tuple[Schedule, int] | None:
        """The record as it is now, and its revision."""
        found = await self._records.read(PREFIX + schedule_id)
        schedule = _load(found[0]) if found else None
        return (schedule, found[1]) if found and schedule else None

    async def forgotten(self, schedule_id: str) -> bool:
        """There was one of this id, and it was deleted."""
        return await self._records.removed(PREFIX + schedule_id)

    async def write(self, schedule: Schedule, revision: int) -> bool:
        """False: somebody else changed it first."""
        written = await self._records.write(PREFIX + schedule.id, encoded(schedule), revision, what="schedule")
        return written is not None

    async def change(self, schedule_id: str, how: Callable[[Schedule], Schedule]) -> Schedule:
        """Apply `how` to the record as it is now. Raises what `how` raises, and ScheduleNotFound."""
        for _ in range(TRIES):
            found = await self.read(schedule_id)
            if not found:
                raise ScheduleNotFound(schedule_id)
            schedule, revision = found
            changed = how(schedule)
            if changed == schedule or await self.write(changed, revision):
                return changed
        raise BusLost(f"the record of the schedule {schedule_id} does not hold still")

    async def delete(self, schedule_id: str) -> None:
        await self._records.remove(PREFIX + schedule_id, what="schedule-gone")


def _load(data: bytes) -> Schedule | None:
    try:
        return Schedule.model_validate_json(data)
    except ValidationError as error:
        log.warning("schedule.unreadable", error=str(error)[:500])
        return None
