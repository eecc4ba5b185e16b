"""What one document may take, and that any text parses, the same way every time."""

import json
import threading
from contextlib import suppress
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codestory_docgrapher.limits import OutOfTime, cpu_limit
from codestory_docgrapher.link import link
from codestory_docgrapher.parse import Bounds, Unparsable, parse

FORMATS = ["markdown", "restructuredtext", "text"]

#: Pieces of markup of all formats, and what has broken parsers.
PIECES = st.one_of(
    st.sampled_from(["# ", "## ", "=====\n", "-----\n", "~~~\n", "* ", "- ", "1. ", "> ", "    ", "\t", "\n", "\n\n"]),
    st.sampled_from(["`", "``", "```\n", "[a](b)", "[a]: b\n", "[", "]", "(", ")", "<", ">", "![x](y.png)", "\\"]),
    st.sampled_from(["<!--", "-->", "<![", "<a href=", "---\n", "+++\n", "title: x", "{#id}", "&#xD800;", "&#0;"]),
    st.sampled_from([".. ", "::", ".. _a:", ".. _a: b_\n", ".. note::", ".. include:: /etc/hosts\n", ".. toctree::\n"]),
    st.sampled_from([".. role:: x\n", ":ref:`a`", ":x:`y`", "`z`_", "`z`__", "a_", "[1]_", "[#]_", ".. [1] x\n"]),
    st.sampled_from([".. |s| unicode:: 0xD800\n", ".. |s| replace:: |s|\n", "+--+\n", "|a |\n", "=== ===\n"]),
    st.sampled_from(["|s|", "\u2028", "\x0b", "\x85", "\ufeff", "../../etc/passwd", "a/b.py", "é", "🎉"]),
    st.text(max_size=8),
)
MARKUP = st.lists(PIECES, max_size=40).map("".join)


@pytest.mark.parametrize("format_", FORMATS)
@settings(deadline=None)
@given(text=MARKUP)
def test_any_text_parses_and_gives_the_same_every_time(format_: str, text: str) -> None:
    first = parse("docs/a.md", text, format_)
    files = ["docs/a.md", "a/b.py", "y.png"]

    assert parse("docs/a.md", text, format_) == first
    assert link([first], files) == link([first], files)
    anchors = [section.anchor for section in first.sections]
    assert len(set(anchors)) == len(anchors)


@pytest.mark.parametrize("format_", FORMATS)
@settings(deadline=None)
@given(text=MARKUP)
def test_every_section_is_a_piece_of_the_text_and_follows_the_one_before(format_: str, text: str) -> None:
    lines = text.count("\n") + 1
    sections = parse("a", text, format_).sections

    assert all(section.text in text for section in sections)
    assert all(1 <= section.start_line <= section.end_line <= lines for section in sections)
    assert all(before.end_line < after.start_line for before, after in pairwise(sections))


@settings(deadline=None)
@given(cells=st.lists(st.tuples(st.sampled_from(["markdown", "raw", "code", "heading"]), MARKUP), max_size=5))
def test_any_notebook_parses_and_names_cells_that_it_has(cells: list[tuple[str, str]]) -> None:
    content = json.dumps({"cells": [{"cell_type": kind, "source": source} for kind, source in cells]})

    document = parse("a.ipynb", content, "notebook")

    named = [section.cell for section in document.sections] + [mention.line for _, mention in document.mentions]
    assert all(cell in range(1, len(cells) + 1) for cell in named)
    anchors = [section.anchor for section in document.sections]
    assert len(set(anchors)) == len(anchors)


def test_a_document_that_would_take_hours_is_given_up() -> None:
    before = process_time()

    with pytest.raises(Unparsable, match=r"took more than 0\.3 s"):
        parse("a.rst", "*a " * 200_000, "restructuredtext", Bounds(cpu_seconds=0.3))

    assert process_time() - before < 10


@pytest.mark.parametrize("format_", FORMATS)
def test_deep_nesting_parses_or_is_named(format_: str) -> None:
    for text in (">" * 5_000, "".join(f"{' ' * depth}- x\n" for depth in range(300)), "   .. note::\n\n" * 20):
        with suppress(Unparsable):
            assert parse("a", text, format_, Bounds(cpu_seconds=2))


def test_a_class_of_a_very_long_name_is_no_scope_of_what_stands_in_it() -> None:
    text = f".. class:: {'A' * 100_000}\n\n" + "   :meth:`x`\n" * 500

    document = parse("a.rst", text, "restructuredtext")

    assert {mention.scopes for _, mention in document.mentions} == {()}


def test_the_limit_does_nothing_outside_of_the_main_thread() -> None:
    reached: list[bool] = []

    def work() -> None:
        with cpu_limit(0.001):
            sum(range(1_000_000))
        reached.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert reached


def test_the_limit_ends_with_its_block() -> None:
    with pytest.raises(OutOfTime), cpu_limit(0.05):
        sum(number for number in range(10**9))
    with cpu_limit(0.05):
        pass

    assert sum(number for number in range(2_000_000))


def spend(seconds: float) -> None:
    """Processor time, in the hearing of every signal."""
    until = process_time() + seconds
    while process_time() < until:
        pass


def test_a_parser_that_catches_the_alarm_hears_it_again() -> None:
    caught = 0

    def parser() -> None:
        nonlocal caught
        while caught < 3:
            with suppress(OutOfTime):
                caught += 1
                spend(5)
        spend(5)

    with pytest.raises(OutOfTime), cpu_limit(0.05):
        parser()

    assert caught == 3


@pytest.mark.parametrize("made_of_it", [None, ValueError])
def test_a_parser_that_ends_after_all_was_too_slow_even_so(made_of_it: type[Exception] | None) -> None:
    def parser() -> None:
        with suppress(OutOfTime):
            spend(5)
        if made_of_it:
            raise made_of_it

    with pytest.raises(OutOfTime), cpu_limit(0.05):
        parser()


def test_long_text_of_a_section_is_cut_and_says_so() -> None:
    document = parse("a.md", "# A\n" + "x" * 50 + "\n# B\nshort\n", "markdown", Bounds(section_chars=10))

    assert [(section.text, section.truncated) for section in document.sections] == [("x" * 10, True), ("short", False)]
