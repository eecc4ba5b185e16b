"""How long to wait before a call is made again: as the endpoint asks, else at random, longer each time."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def asked(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the endpoint asks for. Milliseconds are the most exact and win; what cannot be read is not there."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    return seconds if seconds is not None else _until(text, now)


def backoff(failures: int, first: float, limit: float) -> float:
    """Full jitter: anything up to `first`, doubled with each failure after the first, up to `limit`."""
    return random.uniform(0, min(limit, first * 2 ** min(failures - 1, 30)))  # noqa: S311  # spreads load; no secret


def _number(text: str) -> float | None:
    text = text.strip()
    if not text.isascii() or not text.replace(".", "", 1).isdigit() or len(text) > 12:
        return None
    return float(text)


def _until(text: str, now: datetime) -> float | None:
    """An HTTP date. One without a zone is UTC, as all of them are meant."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())
