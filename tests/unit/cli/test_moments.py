"""Times as people write and read them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from codestory.cli import moments
from codestory.cli.exits import BadUse
from codestory.contracts.values import now


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("typed", "at"),
    [
        ("2026-12-01T03:00+01:00", datetime(2026, 12, 1, 2, tzinfo=UTC)),
        ("2026-12-01T03:00Z", datetime(2026, 12, 1, 3, tzinfo=UTC)),
        ("2026-12-01 03:00", datetime(2026, 12, 1, 2, tzinfo=UTC)),
        ("2026-07-01 03:00", datetime(2026, 7, 1, 1, tzinfo=UTC)),
        ("2026-12-01", datetime(2026, 11, 30, 23, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_of_this_machine(typed: str, at: datetime) -> None:
    assert moments.eta(typed) == at


@pytest.mark.parametrize("typed", ["03:00", "23:59:59", "00:00", "12:00+02:00"])
def test_a_time_of_day_is_the_next(typed: str) -> None:
    at = moments.eta(typed)

    assert at is not None
    assert timedelta(0) < at - now() <= timedelta(hours=25)  # a day has 25 hours once a year
    assert at.strftime("%H:%M") == typed[:5]


@pytest.mark.parametrize(
    ("typed", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("0.5h", 1800)]
)
def test_a_countdown_has_units(typed: str, seconds: float) -> None:
    assert moments.countdown(typed) == seconds


@pytest.mark.parametrize("typed", ["", "x", "1x", "-1", "1 h", "h", "\x1b"])
def test_what_is_no_countdown_is_refused(typed: str) -> None:
    with pytest.raises(BadUse):
        moments.countdown(typed)


@pytest.mark.parametrize("typed", ["", "soon", "2026-13-01", "25:00", "\x1b"])
def test_what_is_no_time_is_refused(typed: str) -> None:
    with pytest.raises(BadUse):
        moments.eta(typed)


def test_what_is_not_given_stays_so() -> None:
    assert moments.eta(None) is None
    assert moments.countdown(None) is None


def test_a_time_is_shown_with_its_zone_and_how_long_it_is_until_then() -> None:
    assert moments.moment(datetime(2026, 12, 1, 2, tzinfo=UTC)) == "2026-12-01 03:00:00 CET"
    assert moments.due(now() - timedelta(hours=1)).endswith("(now)")
    assert moments.due(now() + timedelta(days=3, minutes=1)).endswith("(in 3 d 00 h)")
