"""Text from elsewhere cannot steer a terminal; numbers are short."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestory.cli.text import counted, duration, plain, plain_lines, size, tally


@given(st.text(st.characters(codec=None, categories=None)))
def test_whatever_the_text_only_printable_characters_are_shown(text: str) -> None:
    assert plain(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("src/app.py", "src/app.py"),
        ("naïve/日本語 🎉", "naïve/日本語 🎉"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff", r"\udcff"),
        ("\x9b31m", r"\x9b31m"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_lines_stay_lines_where_they_may() -> None:
    assert plain_lines("Traceback:\n\tline 1\x1b[0m") == "Traceback:\n        line 1\\x1b[0m"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (12.6, "13 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (4000, "1 h 06 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_durations_are_short(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_counts_name_the_most_frequent_first() -> None:
    assert tally({"Directory": 8, "File": 1200, "A\x1b": 8}) == r"File 1,200, A\x1b 8, Directory 8"


def test_one_is_singular() -> None:
    assert [counted(n, "gap") for n in (0, 1, 2)] == ["0 gaps", "1 gap", "2 gaps"]


def test_sizes_have_units() -> None:
    assert size(84_300_000) == "84.3 MB"
