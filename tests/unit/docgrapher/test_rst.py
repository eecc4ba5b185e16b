"""reStructuredText in, sections and mentions out; nothing of it is run, opened or fetched."""

from collections.abc import Callable

import pytest

from codestory_docgrapher.document import Document, Kind

MakeDocument = Callable[[str, str], Document]
Read = Callable[[str], Document]


@pytest.fixture
def read(document: MakeDocument) -> Read:
    return lambda text: document("docs/page.rst", text)


def mentions(document: Document) -> list[tuple[Kind, str, int]]:
    return [(mention.kind, mention.target, mention.line) for _, mention in document.mentions]


def test_sections_have_docutils_ids_and_their_own_text(read: Read) -> None:
    document = read("""
        .. _start:

        ======
        Manual
        ======

        Says this.

        .. _use:

        Use it
        ------

        Like so.

        =====
        Other
        =====
    """)

    assert [(s.anchor, s.level, s.parent, s.start_line, s.end_line, s.text) for s in document.sections] == [
        ("manual", 1, None, 3, 7, "Says this."),
        ("use-it", 2, "manual", 11, 14, "Like so."),
        ("other", 1, None, 16, 18, ""),
    ]
    assert document.title == "Manual"
    assert document.labels == {"start": "manual", "use": "use-it"}


def test_readable_text_before_the_first_heading_is_a_section_of_level_0(read: Read) -> None:
    document = read("Hello.\n\nHead\n====\n")

    assert [(section.level, section.text) for section in document.sections] == [(0, "Hello."), (1, "")]


def test_labels_and_comments_before_the_first_heading_are_no_section(read: Read) -> None:
    document = read(".. _label:\n\n.. a comment\n\nHead\n====\n")

    assert [section.heading for section in document.sections] == ["Head"]


def test_every_kind_of_mention_is_found_with_its_line(read: Read) -> None:
    document = read("""
        Head
        ====

        See ``src/a.py``, `that <b.md#x>`_ and
        src/c.py or :doc:`guide`, :ref:`the place <some-label>`,
        :py:func:`~pkg.mod.run`, :class:`Thing`, :download:`d.zip` and :file:`e.cfg`.

        .. image:: f.png

        .. literalinclude:: ../g.py
           :language: python

        .. toctree::
           :maxdepth: 1

           h
           Title <i>

        .. py:function:: pkg.mod.other(a, b) -> int

           Runs ``j.py``.

        Code::

           run src/k.py

        Head_
    """)

    assert mentions(document) == [
        (Kind.CODE, "src/a.py", 4),
        (Kind.LINK, "b.md#x", 4),
        (Kind.PATH, "src/c.py", 5),
        (Kind.DOC, "guide", 5),
        (Kind.REF, "some-label", 5),
        (Kind.SYMBOL, "pkg.mod.run", 6),
        (Kind.SYMBOL, "Thing", 6),
        (Kind.LINK, "d.zip", 6),
        (Kind.CODE, "e.cfg", 6),
        (Kind.IMAGE, "f.png", 8),
        (Kind.INCLUDE, "../g.py", 10),
        (Kind.TOCTREE, "h", 16),
        (Kind.TOCTREE, "i", 17),
        (Kind.SYMBOL, "pkg.mod.other", 19),
        (Kind.CODE, "j.py", 21),
        (Kind.BLOCK, "src/k.py", 25),
        (Kind.LINK, "#head", 27),
    ]


def test_directives_nobody_knows_keep_their_content(read: Read) -> None:
    document = read("""
        .. whatever:: Some *text* with ``a.py``
           :option: value

           - An item with ``b.py``

             .. nested:: ``c.py``
    """)

    assert [(target, line) for _, target, line in mentions(document)] == [("a.py", 1), ("b.py", 4), ("c.py", 6)]


def test_roles_nobody_knows_keep_their_text(read: Read) -> None:
    [section] = read("A :strange:`role` here\n======================\n").sections

    assert section.heading == "A role here"


def test_code_with_options_of_sphinx_is_kept(read: Read) -> None:
    document = read("""
        .. code-block:: python
           :emphasize-lines: 1

           open("src/a.py")
    """)

    assert mentions(document) == [(Kind.BLOCK, "src/a.py", 4)]


@pytest.mark.parametrize("directive", ["include", "literalinclude"])
def test_an_included_file_is_named_and_never_opened(read: Read, directive: str) -> None:
    document = read(f".. {directive}:: /etc/hostname\n")

    assert mentions(document) == [(Kind.INCLUDE, "/etc/hostname", 1)]


@pytest.mark.parametrize(
    "text",
    [
        ".. raw:: html\n   :file: /etc/hostname\n",
        ".. csv-table::\n   :file: /etc/hostname\n",
        ".. csv-table::\n   :url: http://127.0.0.1:9/\n",
        ".. date::\n",
        ".. figure:: x.png\n   :figwidth: image\n",
    ],
)
def test_nothing_outside_the_text_is_in_what_is_read(read: Read, text: str) -> None:
    document = read(text)

    assert all(section.text in text for section in document.sections)
    assert {mention.target for _, mention in document.mentions} <= {"x.png"}


def test_a_document_cannot_change_how_the_next_one_is_read(read: Read) -> None:
    text = "A :shared:`x`\n=============\n"
    alone = read(text)

    read(".. role:: shared(raw)\n   :format: html\n\n.. default-role:: shared\n")

    assert read(text) == alone


def test_a_table_of_contents_links_nothing(read: Read) -> None:
    assert read(".. contents::\n\nHead\n====\n").mentions == ()


def test_equal_headings_have_different_anchors(read: Read) -> None:
    document = read("Top\n===\n\nSame\n----\n\nSame\n----\n")

    anchors = [section.anchor for section in document.sections]
    assert len(set(anchors)) == 3


def test_broken_markup_is_read_as_far_as_it_goes(read: Read) -> None:
    document = read("Head\n====\n\n*open ``also open `and\n\n.. figure::\n\n=== ===\nbroken table\n")

    assert document.title == "Head"


def test_lines_that_only_docutils_ends_do_not_move_the_sections(read: Read) -> None:
    document = read("One\u2028two\x0c\n\nHead\n====\n\nText\n")

    assert [(section.heading, section.start_line) for section in document.sections] == [("", 1), ("Head", 3)]


def test_names_stand_below_the_modules_and_classes_whose_directives_are_around_them(read: Read) -> None:
    document = read("""
        :func:`zero`

        .. module:: pkg.app
           :synopsis: What it is.

        :func:`one` and ``code``

        .. class:: App(name)

           :meth:`two`

           .. method:: run()

              :meth:`three`

           .. class:: App.Meta

              .. attribute:: four

        .. method:: Other.start()

           :meth:`five`

        .. currentmodule:: None

        :func:`six`
    """)

    scopes = {mention.target: mention.scopes for _, mention in document.mentions}
    app, meta, module = ("pkg.app.App", "App", "pkg.app"), ("pkg.app.App.Meta", "App.Meta", "pkg.app"), ("pkg.app",)
    assert scopes == {
        "zero": (),
        "pkg.app": module,
        "one": module,
        "code": module,
        "App": module,
        "two": app,
        "run": app,
        "three": app,
        "App.Meta": app,
        "four": meta,
        "Other.start": module,
        "five": ("pkg.app.Other", "Other", "pkg.app"),
        "six": (),
    }


def test_modules_are_named_and_the_current_one_is_only_set(read: Read) -> None:
    document = read("""
        .. automodule:: pkg.a
           :members:

        .. currentmodule:: pkg.b

        .. autofunction:: work

        :mod:`~pkg.c` :class:`~pkg.D` :exc:`E` :func:`f`
    """)

    assert [(str(one.kind), one.target, one.label) for _, one in document.mentions] == [
        ("module", "pkg.a", ""),
        ("symbol", "work", ""),
        ("module", "pkg.c", ""),
        ("symbol", "pkg.D", "Class"),
        ("symbol", "E", "Class"),
        ("symbol", "f", ""),
    ]


def test_what_blocks_of_code_import_is_found_with_its_line(read: Read) -> None:
    document = read("""
        Like so::

            import a

            from b import c as d

        >>> import e

        .. code-block:: python

           import f
    """)

    found = [(one.target, one.alias, one.line) for _, one in document.mentions if one.kind is Kind.IMPORT]
    assert sorted(found) == [
        ("a", "a", 3),
        ("b.c", "d", 5),
        ("e", "e", 7),
        ("f", "f", 11),
    ]
