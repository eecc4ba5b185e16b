"""What an attempt did, in parts: phases follow each other, and however much there is, it stays small."""

import pytest

from codestory.telemetry import parts
from codestory.telemetry.parts import EACH, NAMES, PHASES, Part, Parts, part


@pytest.fixture
def of_attempt() -> Parts:
    return parts.begin()


def test_phases_follow_each_other_and_the_last_goes_on() -> None:
    told = Parts()
    for name in ("listing", "listing", "reading", "writing"):
        told.phase(name)

    listing, reading, writing = told.all()

    assert [one.name for one in (listing, reading, writing)] == ["listing", "reading", "writing"]
    assert listing.ended == reading.started
    assert reading.ended == writing.started <= writing.ended


def test_a_step_that_goes_to_and_fro_has_a_bounded_number_of_phases() -> None:
    told = Parts()
    for number in range(10 * PHASES):
        told.phase("odd" if number % 2 else "even")

    assert len(told.all()) == PHASES


def test_of_thousands_of_calls_the_first_are_told_and_the_rest_are_added_up(of_attempt: Parts) -> None:
    for number in range(EACH + 1000):
        with part("model call") as said:
            said["tokens"] = 10
            said["model"] = f"m{number}"

    *each, rest = of_attempt.all()

    assert len(each) == EACH
    assert (rest.count, rest.said) == (1000, {"tokens": 10_000})
    assert rest.started <= rest.ended
    assert rest.seconds <= (rest.ended - rest.started) / 1e9 + 0.001


def test_names_without_end_are_not_all_told(of_attempt: Parts) -> None:
    for number in range(10 * NAMES):
        with part(f"call {number}"):
            pass

    assert len(of_attempt.all()) == NAMES


def test_what_raises_has_failed(of_attempt: Parts) -> None:
    with pytest.raises(ValueError, match="no"), part("model call"):
        raise ValueError("no")

    [told] = of_attempt.all()
    assert told.failed


def test_a_part_travels_as_json() -> None:
    told = Part(name="graph write", started=1, ended=2, said={"rows": 3})

    assert Part.model_validate_json(told.model_dump_json()) == told
