"""The records of recurring schedules: in the bucket `jobs`, beside the jobs. Every change is a compare-and-set."""

from collections.abc import Callable

from pydantic import ValidationError

from codestory import telemetry
from codestory.bus import Bus, BusLost, Refused, encoded
from codestory.contracts.schedules import Schedule
from codestory.mirror import Mirror
from codestory_orchestrator.errors import ScheduleNotFound
from codestory_orchestrator.store import MARKER_SECONDS, TRIES

log = telemetry.logger(__name__)

#: Keys of the bucket `jobs` that are schedules.
PREFIX = "schedule."


class ScheduleStore:
    """`mirror`: of the bucket `jobs`. Whoever keeps the jobs puts these back too when a broker has lost its storage."""

    def __init__(self, bus: Bus, mirror: Mirror) -> None:
        self.bus, self.mirror = bus, mirror

    def remembered(self) -> list[Schedule]:
        """As far as this process has heard, the newest first."""
        keys = sorted((key for key in self.mirror.entries if key.startswith(PREFIX)), reverse=True)
        return [schedule for key in keys if (entry := self.mirror.get(key)) and (schedule := _load(entry[1]))]

    async def read(self, schedule_id: str) -> tuple[Schedule, int] | None:
        """The record as it is now, and its revision."""
        found = await self.bus.value("jobs", PREFIX + schedule_id)
        schedule = _load(found.data) if found else None
        return (schedule, found.sequence) if found and schedule else None

    async def write(self, schedule: Schedule, revision: int) -> bool:
        """False: somebody else changed it first."""
        key, data = PREFIX + schedule.id, encoded(schedule)
        try:
            revision = await self.bus.publish(self.bus.key("jobs", key), data, after=revision, what="schedule")
        except Refused:
            found = await self.bus.value("jobs", key)
            if not found or found.data != data:
                return False
            revision = found.sequence  # it had landed, only the answer was lost
        self.mirror.hold(key, revision, data)
        return True

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
        """What marks it as gone goes too, once all have heard."""
        key = PREFIX + schedule_id
        headers = {"KV-Operation": "PURGE", "Nats-TTL": f"{MARKER_SECONDS}s"}
        revision = await self.bus.publish(self.bus.key("jobs", key), headers=headers, what="schedule-gone")
        self.mirror.hold(key, revision, b"")


def _load(data: bytes) -> Schedule | None:
    try:
        return Schedule.model_validate_json(data)
    except ValidationError as error:
        log.warning("schedule.unreadable", error=str(error)[:500])
        return None
