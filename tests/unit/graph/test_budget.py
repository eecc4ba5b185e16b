"""When a reservation may start. Times in milliseconds, rates in units a millisecond."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from codestory.graph.budget import BURST_SECONDS, Rate, reserved
from codestory.graph.driver import Row

BURST = BURST_SECONDS * 1000

#: Milliseconds since the one before, how many requests, how many tokens.
asks = st.lists(st.tuples(st.integers(0, 20_000), st.floats(0.1, 50), st.floats(1, 20_000)), min_size=2, max_size=30)
per_ms = st.floats(0.001, 1)


@given(asks, per_ms, st.floats(0.1, 100))
def test_in_no_span_of_time_is_more_started_than_the_rates_allow(
    asked: list[tuple[int, float, float]], requests_per_ms: float, tokens_per_ms: float
) -> None:
    state: Row = {}
    starts: list[float] = []
    clock = accumulate(pause for pause, _, _ in asked)
    for now, (_, requests, tokens) in zip(clock, asked, strict=True):
        rates = [Rate("requests", requests, requests_per_ms), Rate("tokens", tokens, tokens_per_ms)]
        start, changes = reserved(state, now, rates)
        state |= changes
        starts.append(start)
        assert start >= now

    assert starts == sorted(starts)
    for last in range(len(starts)):
        for first in range(last):
            for at, rate in ((1, requests_per_ms), (2, tokens_per_ms)):
                used = sum(ask[at] for ask in asked[first:last])
                assert used <= (starts[last] - starts[first] + BURST) * rate * 1.000001 + 1e-6


def test_a_burst_starts_at_once_and_the_rest_is_spread() -> None:
    starts = _starts(Rate("requests", 1, 1 / 1000), now=[0] * 6)

    assert starts == [0, 0, 0, 0, 1000, 2000]


def test_a_pause_gives_back_the_burst_and_no_more() -> None:
    starts = _starts(Rate("requests", 1, 1 / 1000), now=[0] * 6 + [1_000_000] * 6)

    assert starts[6:] == [1_000_000] * 4 + [1_001_000, 1_002_000]


def test_what_is_bigger_than_a_burst_goes_alone_and_is_paid_for_afterwards() -> None:
    assert _starts(Rate("tokens", 10_000, 1), now=[0, 0, 0]) == [0, 10_000 - BURST, 20_000 - BURST]


def test_a_rate_that_is_raised_shortens_the_queue() -> None:
    _, state = reserved({}, 0, [Rate("tokens", 100_000, 1)])

    assert reserved(state, 0, [Rate("tokens", 1, 1)])[0] == 100_000 - BURST
    assert reserved(state, 0, [Rate("tokens", 1, 10)])[0] == 10_000 - BURST


def test_a_clock_that_was_set_back_keeps_nobody_waiting_for_it() -> None:
    _, state = reserved({}, 10**9, [Rate("tokens", 10_000, 1)])

    assert reserved(state, 0, [Rate("tokens", 1, 1)])[0] == 10_000 - BURST


def test_nothing_limited_waits_for_nothing_but_a_hold_off() -> None:
    assert reserved({}, 5, []) == (5, {})
    assert reserved({"held_until": 70.0}, 5, []) == (70, {})
    assert reserved({"held_until": 3.0}, 5, []) == (5, {})


def _starts(rate: Rate, now: list[int]) -> list[float]:
    state: Row = {}
    starts: list[float] = []
    for moment in now:
        start, changes = reserved(state, moment, [rate])
        state |= changes
        starts.append(start)
    return starts
