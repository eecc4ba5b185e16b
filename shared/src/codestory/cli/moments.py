"""Times as people write and read them. What is shown is in this machine's zone, and names it."""

import re
from datetime import datetime, time, timedelta

from codestory.cli.exits import BadUse
from codestory.cli.text import duration, plain
from codestory.contracts.values import now

SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1, "": 1}
PART = re.compile(r"(\d+(?:\.\d+)?)([dhms]?)")


def eta(text: str | None) -> datetime | None:
    """`2026-12-01T03:00+01:00`, `2026-12-01 03:00`, `03:00` (the next). Without a zone: this machine's."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = _next(text)
    return at if at.tzinfo else at.astimezone()


def countdown(text: str | None) -> float | None:
    """`90`, `90s`, `10m`, `1h30m`, `2d` in seconds."""
    if text is None:
        return None
    parts = PART.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        raise BadUse(f"A countdown is given as 90, 90s, 10m, 1h30m or 2d, not as '{plain(text)}'.")
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def past(text: str | None) -> datetime | None:
    """`2026-12-01T03:00`, or `2h`: so long ago. Without a zone: this machine's."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return now() - timedelta(seconds=_ago(text))
    return at if at.tzinfo else at.astimezone()


def _ago(text: str) -> float:
    try:
        return countdown(text) or 0.0
    except BadUse as error:
        raise BadUse(
            f"A time is given as 2026-12-01T03:00+01:00, or as 2h or 3d (so long ago), not as '{plain(text)}'."
        ) from error


def moment(at: datetime) -> str:
    """`2026-12-01 03:00:00 CET`."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def due(at: datetime) -> str:
    """The same, with how long it is until then."""
    left = (at - now()).total_seconds()
    return f"{moment(at)} (in {duration(left)})" if left > 0 else f"{moment(at)} (now)"


def ago(at: datetime) -> str:
    return f"{duration(max(0.0, (now() - at).total_seconds()))} ago"


def _next(text: str) -> datetime:
    """The next time that the clock here shows this."""
    try:
        shown = time.fromisoformat(text)
    except ValueError as error:
        raise BadUse(
            f"A time is given as 2026-12-01T03:00+01:00, or 2026-12-01 03:00, or 03:00, not as '{plain(text)}'."
        ) from error
    here = now().astimezone(shown.tzinfo)
    at = datetime.combine(here.date(), shown)
    at = at if at.tzinfo else at.astimezone()
    return at if at > here else _tomorrow(at, shown)


def _tomorrow(today: datetime, shown: time) -> datetime:
    at = datetime.combine(today.date() + timedelta(days=1), shown)
    return at if at.tzinfo else at.astimezone()
