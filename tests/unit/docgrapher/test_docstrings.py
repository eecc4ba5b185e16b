"""Docstrings: what they mention, however they are written, and in which scope."""

import pytest

from codestory_docgrapher import docstrings
from codestory_docgrapher.link import Links, link
from codestory_docgrapher.modules import Code
from codestory_docgrapher.places import Symbol


def symbol(label: str, qualified_name: str, docstring: str = "", line: int = 7) -> Symbol:
    name = qualified_name.rpartition(".")[2]
    return Symbol(f"id:{qualified_name}", label, name, qualified_name, "src/a.py", line, docstring, "pkg.a")


@pytest.mark.parametrize(
    ("docstring", "kind", "target"),
    [
        (":func:`other`", "symbol", "other"),
        (":py:meth:`~pkg.a.Thing.run`", "symbol", "pkg.a.Thing.run"),
        (":class:`a thing <Thing>`", "symbol", "Thing"),
        (":mod:`pkg.b`", "module", "pkg.b"),
        ("``Thing.run``", "code_span", "Thing.run"),
        ("`run()`", "code_span", "run()"),
        ("``src/b.py``", "code_span", "src/b.py"),
        ("{@link Thing#run}", "symbol", "Thing#run"),
        ("[words][pkg.a.Thing]", "module", "pkg.a.Thing"),
    ],
)
def test_names_are_found_in_every_style(docstring: str, kind: str, target: str) -> None:
    [mention] = docstrings.mentions(symbol("Function", "do", f"Does it, see {docstring}."))

    assert (str(mention.kind), mention.target, mention.line) == (kind, target, 7)


@pytest.mark.parametrize("docstring", ["timeout", "``timeout``", "`value`", ":param timeout: x", ":doc:`intro`", "``a"])
def test_words_and_arguments_are_no_names(docstring: str) -> None:
    assert list(docstrings.mentions(symbol("Function", "do", docstring))) == []


@pytest.mark.parametrize(
    ("label", "name", "scopes"),
    [
        ("Method", "Thing.run", ("pkg.a.Thing", "pkg.a")),
        ("Class", "Thing", ("pkg.a.Thing", "pkg.a")),
        ("Function", "do", ("pkg.a",)),
    ],
)
def test_names_stand_in_the_class_and_the_module(label: str, name: str, scopes: tuple[str, ...]) -> None:
    [mention] = docstrings.mentions(symbol(label, name, ":meth:`run`"))

    assert mention.scopes == scopes


def test_what_is_looked_at_is_bounded() -> None:
    assert len(list(docstrings.mentions(symbol("Function", "do", "`a.b` " * 10_000)))) <= 200


def linked(*symbols: Symbol) -> Links:
    return link([], ["src/a.py", "src/b.py"], Code(symbols), list(docstrings.documented(symbols)))


def test_a_docstring_describes_others_and_never_what_it_documents() -> None:
    run = symbol("Method", "Thing.run", "`run()` and `Thing.run`, see :meth:`stop` and ``src/b.py`` and ``src/a.py``.")

    links = linked(symbol("Class", "Thing"), run, symbol("Method", "Thing.stop"))

    assert {(one.source.path, one.target.id or one.target.path, one.confidence) for one in links.relations} == {
        ("src/a.py", "id:Thing.stop", 0.9),
        ("src/a.py", "src/b.py", 0.95),
    }
    assert links.counts["describes.from_docstrings"] == 2


def test_equal_definitions_have_sections_of_their_own() -> None:
    first = symbol("Method", "Thing.size", "Get.", line=1)
    second = Symbol("other", "Method", "size", "Thing.size", "src/a.py", 5, "Set.", "pkg.a")

    places = [place for _, place in docstrings.documented([second, first])]

    assert [docstrings.ordinal_of(place) for place in places] == [0, 1]
    assert all(docstrings.is_place_of(place) for place in places)
