"""Times, shares and lists as people say them. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

#: Seconds that nobody would speak of.
NOW = 0.05


def moment(at: datetime, now: datetime) -> str:
    """`2026-11-27T12:00:00Z (in 5 min)`: in the zone it was given in, and how far off it is."""
    away = (at - now).total_seconds()
    if abs(away) < NOW:
        return f"{iso(at)} (now)"
    return f"{iso(at)} ({f'in {length(away)}' if away > 0 else f'{length(-away)} ago'})"


def since(at: datetime, now: datetime) -> str:
    """`since 2026-11-27T12:00:00Z (5 min)`."""
    return f"since {iso(at)} ({length(max((now - at).total_seconds(), 0.0))})"


def iso(at: datetime) -> str:
    text = at.isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if at.utcoffset() == timedelta(0) else text


def length(seconds: float) -> str:
    """In the two largest units that matter: `2 d 2 h`, `3 h`, `1 min 15 s`, `12 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return _two(days, "d", hours, "h")
    if hours:
        return _two(hours, "h", minutes, "min")
    return _two(minutes, "min", rest if minutes < 10 else 0, "s")


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return " ".join(f"{count} {name}" for count, name in ((large, unit), (small, smaller)) if count)


def share(fraction: float) -> str:
    """Never 100 % of what has not ended."""
    return f"{min(int(fraction * 100), 99)} %"


def listed(names: Sequence[str], most: int = 5) -> str:
    """`a, b and c`, or `a, b and 7 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""
