from datetime import UTC, datetime

import pytest

from codestory_summarizer.providers import delay

NOW = datetime(2025, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
        ({"retry-after": "Thu, 01 May 2025 12:00:30 GMT"}, 30),
        ({"retry-after": "Thu, 01 May 2025 14:00:30 +0200"}, 30),
        ({"retry-after": "Thu, 01 May 2025 11:00:00 GMT"}, 0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_an_endpoint_says_how_long_to_wait_in_three_ways(headers: dict[str, str], seconds: float | None) -> None:
    assert delay.asked(headers, NOW) == seconds


@pytest.mark.parametrize(("failures", "most"), [(1, 0.5), (2, 1), (4, 4), (20, 30), (10_000, 30)])
def test_waits_are_drawn_up_to_a_bound_that_doubles_to_its_own(failures: int, most: float) -> None:
    waits = [delay.backoff(failures, 0.5, 30) for _ in range(400)]

    assert min(waits) < most / 2 < max(waits) <= most
