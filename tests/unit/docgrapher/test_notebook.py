"""Notebooks: which cells are documentation, and where what stands in them belongs."""

import json
from typing import Any

import pytest

from codestory_docgrapher.document import Document
from codestory_docgrapher.parse import Unparsable, parse


def notebook(*cells: tuple[str, str | list[str]], **others: Any) -> str:
    return json.dumps({"cells": [{"cell_type": kind, "source": source} for kind, source in cells]} | others)


def read(content: str) -> Document:
    return parse("a.ipynb", content, "notebook")


def test_sections_go_by_headings_across_cells() -> None:
    document = read(
        notebook(
            ("markdown", "Before."),
            ("markdown", ["# One\n", "\n", "First."]),
            ("code", "x = 1"),
            ("markdown", "Second."),
            ("markdown", "## Two\n\nThird.\n\n# Three\n"),
        )
    )

    assert [(one.heading, one.level, one.parent, one.cell, one.text) for one in document.sections] == [
        ("", 0, None, 1, "Before."),
        ("One", 1, None, 2, "First.\n\n\nSecond."),
        ("Two", 2, "one", 5, "Third."),
        ("Three", 1, None, 5, ""),
    ]
    assert document.title == "One"


def test_mentions_have_the_number_of_their_cell() -> None:
    document = read(
        notebook(
            ("code", "from a.b import c as d\nimport e"),
            ("markdown", "# One\n\n[x](y.md)\n\nin `code`"),
            ("raw", "see src/a.py"),
            ("code", "import f.g"),
            ("markdown", "`more`"),
        )
    )

    assert [(anchor, str(one.kind), one.target, one.line, one.alias) for anchor, one in document.mentions] == [
        (None, "notebook_code", "a.b.c", 1, "d"),
        (None, "notebook_code", "e", 1, "e"),
        ("one", "link", "y.md", 2, ""),
        ("one", "code_span", "code", 2, ""),
        ("one", "path", "src/a.py", 3, ""),
        ("one", "notebook_code", "f.g", 4, ""),
        ("one", "code_span", "more", 5, ""),
    ]


def test_equal_headings_in_different_cells_have_different_anchors() -> None:
    document = read(notebook(("markdown", "# Same"), ("markdown", "# Same")))

    assert [section.anchor for section in document.sections] == ["same", "same-1"]


def test_markup_that_one_cell_leaves_open_ends_with_it() -> None:
    document = read(notebook(("markdown", "```\nopen"), ("markdown", "# Head")))

    assert [section.heading for section in document.sections] == ["", "Head"]


def test_outputs_and_attachments_are_not_looked_at() -> None:
    cell = {
        "cell_type": "markdown",
        "source": "![x](attachment:x.png)",
        "attachments": {"x.png": {"image/png": "SECRET"}},
        "outputs": [{"text": "SECRET"}],
    }

    document = read(json.dumps({"cells": [cell]}))

    assert document.mentions == ()
    assert "SECRET" not in repr(document)


def test_the_older_format_has_worksheets_and_headings_of_their_own() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": ["Head\n", "ing"]},
        {"cell_type": "code", "input": "import a"},
        {"cell_type": "markdown", "source": "Text."},
    ]

    document = read(json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3}))

    [section] = document.sections
    assert (section.heading, section.level, section.cell, section.text) == ("Head ing", 2, 1, "Text.")
    assert [(one.target, one.line) for _, one in document.mentions] == [("a", 2)]


def test_the_title_may_stand_in_the_metadata() -> None:
    assert read(notebook(("markdown", "Text."), metadata={"title": "Named"})).title == "Named"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"cells": [{"a"', "not JSON"),
        ("[]", "not a notebook"),
        ("{}", "it has no cells"),
        ('{"cells": 3}', "it has no cells"),
        ("[" * 200_000, "nested too deeply"),
    ],
)
def test_what_is_no_notebook_is_named(content: str, reason: str) -> None:
    with pytest.raises(Unparsable, match=reason):
        read(content)


@pytest.mark.parametrize("cell", [None, 3, {}, {"cell_type": 3}, {"cell_type": "markdown", "source": {"a": 1}}])
def test_odd_cells_count_and_say_nothing(cell: object) -> None:
    document = read(json.dumps({"cells": [cell, {"cell_type": "markdown", "source": ["# A", 3, None]}]}))

    assert [section.heading for section in document.sections] == ["A"]
