"""The times that a cron expression names in a time zone. Pure: the clock is the caller's."""

from datetime import UTC, datetime
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from codestory_orchestrator.errors import ScheduleInvalid

FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
FORM = f"It has five fields: {', '.join(FIELDS)}; '30 2 * * MON-FRI' is 02:30 from Monday to Friday"
#: What it means depends on the host, and two orchestrators may run on two.
OF_THE_HOST = "localtime"


def following(cron: str, time_zone: str, after: datetime) -> datetime | None:
    """The first time strictly after `after`, in UTC; None when there is none within fifty years.

    A time of day that the clocks skip in spring comes right after the gap, one that they repeat in autumn comes once.
    What comes every hour or every few minutes goes on through both."""
    zone = _zone(time_zone)
    if len(cron.split()) != len(FIELDS):
        raise ScheduleInvalid(f"The cron expression {cron!r} has {len(cron.split())} fields. {FORM}.")
    try:
        for found in CronSim(cron, after.astimezone(zone)):
            if found.astimezone(UTC) > after:  # in the repeated hour it names the first pass, which is over
                return found.astimezone(UTC)
    except CronSimError as error:
        raise ScheduleInvalid(f"The cron expression {cron!r}: {str(error).lower()}. {FORM}.") from error
    return None


def _zone(name: str) -> ZoneInfo:
    try:
        if name != OF_THE_HOST:
            return ZoneInfo(name)
    except (ValueError, KeyError, OSError):  # a path that leads elsewhere, an unknown name, a folder of names
        pass
    close = get_close_matches(name, available_timezones() - {OF_THE_HOST}, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else "Give an IANA name: 'Europe/Berlin', 'UTC'."
    raise ScheduleInvalid(f"There is no time zone {name!r}. {hint}")
