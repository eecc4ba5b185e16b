"""Which files are documents, in which format, and their bytes as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestory_docgrapher import formats
from codestory_docgrapher.plain import read

PROSE = "This file says in plain words\nwhat there is to know about it.\n"


@pytest.mark.parametrize(
    ("path", "format_"),
    [
        ("README.md", "markdown"),
        ("docs/a.MDX", "markdown"),
        ("docs/a.rst", "restructuredtext"),
        ("a/b.ipynb", "notebook"),
        ("README", "text"),
        ("LICENSE-MIT", "text"),
        ("COPYING.LESSER", "text"),
        ("CHANGELOG.txt", "text"),
        ("docs/anything.txt", "text"),
        ("notes.txt", "text"),
    ],
)
def test_documents_are_known_by_name_and_place(path: str, format_: str) -> None:
    assert formats.may_be_document(path)
    assert formats.format_of(path, PROSE) == format_


@pytest.mark.parametrize(
    "path",
    [
        "requirements.txt",
        "docs/requirements-dev.txt",
        "CMakeLists.txt",
        "robots.txt",
        "x.egg-info/SOURCES.txt",
        "license.py",
        "README.html",
        "readme_test",
        "tests/data/sample.txt",
        "src/main.py",
    ],
)
def test_what_tools_and_tests_read_is_no_document(path: str) -> None:
    assert not (formats.may_be_document(path) and formats.format_of(path, PROSE))


def test_text_that_is_no_prose_is_no_document() -> None:
    assert formats.format_of("words.txt", "alpha\nbeta\ngamma\n") is None


def test_text_with_restructuredtext_markup_is_read_as_that() -> None:
    assert formats.format_of("docs/a.txt", "See :doc:`b`.\n") == "restructuredtext"
    assert formats.format_of("docs/constraints.txt", ".. _constraints:\n") == "restructuredtext"


def test_patterns_take_and_leave_files() -> None:
    assert formats.selected("notes/a.adoc", ["notes/*"], [])
    assert not formats.selected("README.md", [], ["*.md"])
    assert formats.format_of("notes/a.adoc", "x", wanted=["notes/*"]) == "text"


@pytest.mark.parametrize(
    ("data", "text", "lossy"),
    [
        (b"a\r\nb\rc", "a\nb\nc", False),
        (b"\xef\xbb\xbfa", "a", False),
        ("ä".encode("utf-16"), "ä", False),
        (b"a\xff", "a\ufffd", True),
        (b"", "", False),
    ],
)
def test_bytes_become_text(data: bytes, text: str, *, lossy: bool) -> None:
    assert formats.text_of(data) == (text, lossy)


def test_binary_data_is_no_text() -> None:
    assert formats.text_of(b"\x89PNG\0\0") == (None, False)


@given(st.binary())
def test_text_never_holds_what_a_database_refuses(data: bytes) -> None:
    text, _ = formats.text_of(data)

    assert text is None or "\0" not in text
    (text or "").encode("utf-8")


def test_underlined_lines_are_the_headings_of_plain_text() -> None:
    outline = read(
        "TITLE\n=====\n\nWords.\n\nPart\n----\n\nSee src/a.py.\n\nA long line above a rule, not a heading\n---\n"
    )

    assert [(heading.text, heading.level, heading.line, heading.body) for heading in outline.headings] == [
        ("TITLE", 1, 1, 3),
        ("Part", 2, 6, 8),
    ]
    assert [(mention.target, mention.line) for mention in outline.mentions] == [("src/a.py", 9)]


def test_plain_text_without_headings_is_called_by_its_first_line() -> None:
    assert read("\n  MIT License\n\nPermission is granted.\n").title == "MIT License"
