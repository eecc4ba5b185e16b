"""What a piece of code imports."""

import pytest

from codestory_docgrapher.imports import mentions


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import a", [("a", "a", 1)]),
        ("import a.b", [("a.b", "", 1)]),
        ("import a.b as c, d", [("a.b", "c", 1), ("d", "d", 1)]),
        ("x = 1\nfrom a.b import c, d as e  # why", [("a.b.c", "c", 2), ("a.b.d", "e", 2)]),
        ("from a import (\n    b,  # one\n    c as d,\n)", [("a.b", "b", 1), ("a.c", "d", 1)]),
        (">>> from a import b\n>>> import c", [("a.b", "b", 1), ("c", "c", 2)]),
        ("In [3]: import a", [("a", "a", 1)]),
        ("def f():\n    from a import b", [("a.b", "b", 2)]),
        ("from a import *", [("a", "", 1)]),
        ("from . import a", []),
        ("from .a import b", []),
        ("import {x} from './y'", []),
        ("the import of goods", []),
        ("imported", []),
    ],
)
def test_imports_are_found_with_the_names_they_give(code: str, found: list[tuple[str, str, int]]) -> None:
    assert [(one.target, one.alias, one.line) for one in mentions(code)] == found


def test_lines_count_from_where_the_code_stands() -> None:
    [mention] = mentions("\nimport a", line=10)

    assert mention.line == 11


def test_hostile_code_takes_no_long() -> None:
    assert list(mentions("from a import (" * 20_000)) == []
    assert len(list(mentions("import " + "a," * 50_000))) == 50
