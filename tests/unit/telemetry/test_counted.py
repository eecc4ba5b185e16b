"""What a step's process counts is told to its host once, and counts there."""

from prometheus_client import REGISTRY

from codestory import telemetry
from codestory.telemetry import Count, Counted


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_each_growth_is_told_once() -> None:
    counted = Counted()
    counted.news()
    telemetry.MODEL_TOKENS.labels("input").inc(7)
    telemetry.redacted({"aws_key": 2})

    told = counted.news()

    assert set(told_of(told)) == {("llm_tokens", "input", 7.0), ("ingest_redactions", "aws_key", 2.0)}
    assert counted.news() == ()


def told_of(counts: tuple[Count, ...]) -> list[tuple[str, str, float]]:
    return [(count.name, label, count.amount) for count in counts for label in count.labels.values()]


def test_what_is_told_counts_at_the_host_and_what_nobody_knows_does_not() -> None:
    before = value("llm_requests_total", code="429")

    telemetry.add([Count(name="llm_requests", labels={"code": "429"}, amount=3)])
    telemetry.add([Count(name="of_a_stranger", labels={"job": "j1"}, amount=3)])

    assert value("llm_requests_total", code="429") == before + 3
    assert REGISTRY.get_sample_value("of_a_stranger_total", {"job": "j1"}) is None
