from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from codestory_orchestrator.why import words

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("say", "said"),
    [
        (lambda: words.length(0.04), "0.0 s"),
        (lambda: words.length(59.4), "59 s"),
        (lambda: words.length(75), "1 min 15 s"),
        (lambda: words.length(3599), "59 min"),
        (lambda: words.length(3 * 3600 + 120), "3 h 2 min"),
        (lambda: words.length(3600), "1 h"),
        (lambda: words.length(50 * 3600), "2 d 2 h"),
        (lambda: words.listed(["a"]), "a"),
        (lambda: words.listed(["a", "b", "c"]), "a, b and c"),
        (lambda: words.listed(list("abcdefg")), "a, b, c, d, e and 2 more"),
        (lambda: words.share(1.0), "99 %"),
        (lambda: words.iso(AT.astimezone(BERLIN)), "2026-01-01T13:00:00+01:00"),
    ],
)
def test_times_and_lists_are_said_briefly(say: Callable[[], str], said: str) -> None:
    assert say() == said
