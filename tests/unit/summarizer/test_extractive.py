"""Rules say in English what there is to say, in few words, and the same every time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codestory_summarizer import extractive, openings
from codestory_summarizer.subject import Related, Subject


def calls(*names: str) -> tuple[Related, ...]:
    return tuple(Related(name, "function", "calls") for name in names)


def test_a_function_says_what_it_does_takes_and_calls_and_who_calls_it() -> None:
    subject = Subject(
        "function",
        "parse",
        "dates.py",
        "Python",
        "def parse(text: str, zone: dict[str, int] = {}, *, strict=True) -> Date",
        "Parses a :class:`~dates.Date`.\n\n:param text: the text",
        dependencies=calls("parse_iso", "Zone.of"),
        used_by=("load", "main", "test_parse"),
    )

    text = extractive.summary(subject)

    assert text == (
        "Parses a Date. Takes text, zone and strict; returns Date; calls parse_iso and Zone.of; "
        "called by 3: load, main and test_parse."
    )


@pytest.mark.parametrize(
    ("language", "signature", "facts"),
    [
        ("Python", "async def f(self, a, *args: int, **more) -> None", "Takes a, args and more."),
        ("Python", "def f()", ""),
        ("TypeScript", "function f(a: string, b?: Map<string, number>): Promise<void> {", "Takes a and b; returns"),
        ("Go", "func (s *Server) Run(ctx context.Context, port int) error {", "Takes ctx and port."),
        ("Java", "public void run(int count, Map<String, Integer> ages) {", "Takes count and ages."),
        ("C", "int main(int argc, char *argv[])", "Takes argc and argv."),
        ("Rust", "fn f(&mut self, mut name: &str) -> Vec<u8> {", "Takes name; returns Vec<u8>."),
        ("PHP", "function f($a, array $b = [])", "Takes $a and $b."),
        ("Python", "def f(a", ""),
    ],
)
def test_signatures_of_many_languages_are_understood(language: str, signature: str, facts: str) -> None:
    text = extractive.summary(Subject("function", "f", "a", language, signature))

    assert text.removeprefix("Undocumented function f.").strip().startswith(facts)
    assert bool(facts) == (text != "Undocumented function f.")


def test_a_class_says_what_it_inherits_and_holds() -> None:
    held = tuple(Related(f"Date.m{number}", "method", "contains") for number in range(7))
    subject = Subject(
        "class", "Date", "d.py", "Python", dependencies=(*held, Related("Base", "class", "inherits from"))
    )

    assert extractive.summary(subject) == (
        "Undocumented class Date. Inherits from Base; holds 7 methods: m0, m1, m2, m3, m4 and 2 more."
    )


def test_what_overrides_something_is_told_by_that() -> None:
    base = Related("Base.run", "method", "overrides", "Runs the work. Takes x.")

    assert extractive.summary(Subject("method", "A.run", "a.py", dependencies=(base,))) == (
        "As Base.run: Runs the work. Overrides Base.run."
    )


def test_a_file_says_its_language_and_size_and_what_is_in_it() -> None:
    held = (Related("Date", "class", "contains", "A day."), Related("parse", "function", "contains", "Undocumented …"))

    text = extractive.summary(Subject("file", "dates.py", "lib/dates.py", "Python", "120 lines", dependencies=held))

    assert text == "Python file dates.py of 120 lines. Holds the class Date; holds the function parse. Date: A day."


def test_a_directory_says_what_is_in_it() -> None:
    held = (
        Related("sub", "directory", "contains"),
        Related("a.py", "file", "contains"),
        Related("b.py", "file", "contains"),
    )

    text = extractive.summary(Subject("directory", "lib", "lib", dependencies=held))

    assert text == "Directory lib. Holds the directory sub; holds 2 files: a.py and b.py."


def test_a_remark_says_why_there_is_no_more() -> None:
    subject = Subject("file", "key.pem", "key.pem", signature="27 lines")

    text = extractive.summary(subject, "it may hold secrets and is not read")

    assert text == "File key.pem of 27 lines. It may hold secrets and is not read."


@settings(max_examples=40)
@given(
    st.text(max_size=400),
    st.text(max_size=200),
    st.lists(st.text(max_size=100), max_size=12),
    st.sampled_from(["function", "class", "file", "directory", "repository"]),
)
def test_a_text_is_bounded_and_on_one_line(docstring: str, signature: str, names: list[str], kind: str) -> None:
    related = tuple(Related(name, "function", "calls") for name in names)
    subject = Subject(kind, "name", "path", "Python", signature, docstring, dependencies=related, used_by=tuple(names))

    text = extractive.summary(subject)

    assert text == extractive.summary(subject)
    assert 0 < len(text) <= extractive.MAX_CHARS
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("docstring", "said"),
    [
        ("Return it.", "Return it."),
        ("no capital, no stop", "no capital, no stop."),
        ("Args:\n    x: a number", ""),
        ("First line\nand its end.\n\nSecond paragraph.", "First line and its end."),
        ("Title\n=====\n\nText.", "Title."),
        ("Use ``x`` or :meth:`run <a.b.run>` and `y`_.", "Use x or run and y."),
        ("@param x a number", ""),
        ("   \n  ", ""),
        ("---", ""),
    ],
)
def test_a_docstring_is_told_by_its_first_paragraph(docstring: str, said: str) -> None:
    assert openings.of_docstring(docstring) == said


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("Python", '#!/usr/bin/env python\n# coding: utf-8\n"""Works.\n\nMore."""\nx = 1\n', "Works."),
        ("Python", "# Copyright 2020 Somebody\n# All rights reserved.\n\n# Reads dates.\nimport os\n", "Reads dates."),
        ("Python", "import os\n# not at the top\n", ""),
        ("JavaScript", "/**\n * Core helpers.\n * @module x\n */\n'use strict';\n", "Core helpers."),
        ("Go", "// Package dates reads dates.\n//\n// More.\npackage dates\n", "Package dates reads dates."),
        ("Markdown", "# Flask\n\n[![badge](x)](y)\n\nA framework.\n", "Flask: A framework."),
        ("Markdown", "# Flask\n\nFlask is a framework.\n", "Flask is a framework."),
        ("reStructuredText", "=====\nTitle\n=====\n\n.. image:: x\n\nThe text.\n", "Title: The text."),
        ("TOML", "[project]\nname = 'x'\n", ""),
        ("YAML", "# Settings of the tests.\na: 1\n", "Settings of the tests."),
        ("C", "/* SPDX-License-Identifier: MIT */\n#include <stdio.h>\n", ""),
    ],
)
def test_a_file_is_told_by_what_stands_at_its_top(language: str, text: str, said: str) -> None:
    assert openings.of_file(text, language) == said


@pytest.mark.parametrize("unit", [":a", "[", "<a ", "`", "*", "# ", '"', "\\", "(", ":a:`", "![", "/*", "-- "])
def test_hostile_texts_are_looked_at_no_longer_than_others(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))

    for language in ("Python", "Markdown", "C"):
        assert len(openings.of_file(text, language)) <= openings.MAX_CHARS + 1
    assert len(openings.of_docstring(text)) <= openings.MAX_CHARS + 1
