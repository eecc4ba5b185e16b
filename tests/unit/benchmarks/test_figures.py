"""What the benchmarks make of their measurements."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[3] / "benchmarks" / "chain" / "figures.py"


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    """Benchmarks are programs, not a package."""
    spec = importlib.util.spec_from_file_location("benchmark_figures", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.95, 4), (1.0, 4)])
def test_a_percentile_is_one_of_the_values(figures: ModuleType, share: float, value: int) -> None:
    assert figures.percentile([4, 1, 3, 2], share) == value


def test_a_hop_is_a_quarter_of_a_chain_of_four(figures: ModuleType) -> None:
    phase = figures.Phase([0.02, 0.04, 0.06], seconds=0.12)

    assert phase.hop_ms(0.5) == pytest.approx(10)
    assert phase.per_second == pytest.approx(25)


def test_a_ratio_compares_what_was_measured_in_one_round(figures: ModuleType) -> None:
    def turn(seconds: float) -> object:
        phase = figures.Phase([seconds], seconds)
        return figures.Turn(phase, phase)

    assert figures.ratios([turn(1), turn(2)], [turn(2), turn(8)], "jobs/s") == [2, 4]
    assert figures.ratios([turn(1)], [turn(2)], "cancel p50 ms") == []


def test_each_round_begins_with_another(figures: ModuleType) -> None:
    assert figures.in_turn("abc", 1) == ["b", "c", "a"]
    assert {figures.in_turn("abc", round_)[0] for round_ in range(3)} == set("abc")
