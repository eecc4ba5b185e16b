"""Markdown in, sections and mentions out."""

from collections.abc import Callable

import pytest

from codestory_docgrapher.document import Document, Kind

MakeDocument = Callable[[str, str], Document]


@pytest.fixture
def read(document: MakeDocument) -> Callable[[str], Document]:
    return lambda text: document("docs/page.md", text)


Read = Callable[[str], Document]


def mentions(document: Document) -> list[tuple[str | None, Kind, str, int]]:
    return [(anchor, mention.kind, mention.target, mention.line) for anchor, mention in document.mentions]


def test_sections_hold_their_own_text_and_know_what_is_above_them(read: Read) -> None:
    document = read("""
        # Manual

        Says this.

        ## Use

        Like so.

        #### Deep

        # Other
    """)

    assert document.title == "Manual"
    assert [(s.anchor, s.level, s.parent, s.start_line, s.end_line, s.text) for s in document.sections] == [
        ("manual", 1, None, 1, 3, "Says this."),
        ("use", 2, "manual", 5, 7, "Like so."),
        ("deep", 4, "use", 9, 9, ""),
        ("other", 1, None, 11, 11, ""),
    ]


def test_the_text_before_the_first_heading_is_a_section_of_level_0(read: Read) -> None:
    document = read("""
        Hello.

        # Head
    """)

    preamble, head = document.sections
    assert (preamble.level, preamble.anchor, preamble.heading, preamble.text) == (0, "", "", "Hello.")
    assert head.parent is None


def test_front_matter_gives_the_title_and_is_not_text(read: Read) -> None:
    document = read("""
        ---
        title: "The manual"
        ---
        Hello.
    """)

    [section] = document.sections
    assert document.title == "The manual"
    assert (section.text, section.start_line) == ("Hello.", 4)


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Use it", "use-it"),
        ("What's `new` in 1.2?", "whats-new-in-12"),
        ("Über *uns*", "über-uns"),
        ("a_b - c", "a_b---c"),
        ("🎉", "section"),
        ("[Link](x.md)", "link"),
    ],
)
def test_anchors_are_githubs(read: Read, heading: str, anchor: str) -> None:
    [section] = read(f"# {heading}").sections

    assert section.anchor == anchor


def test_equal_headings_have_different_anchors(read: Read) -> None:
    document = read("# A\n# A\n# A 1\n# A\n")

    assert [section.anchor for section in document.sections] == ["a", "a-1", "a-1-1", "a-2"]


def test_explicit_anchors_lead_to_their_section(read: Read) -> None:
    document = read("""
        # Head {#custom}

        <a name="old"></a>
        <div id="box"></div>
    """)

    assert document.sections[0].heading == "Head"
    assert {name: document.anchors[name] for name in ("custom", "old", "box")} == dict.fromkeys(
        ("custom", "old", "box"), "head"
    )


def test_headings_in_quotes_lists_and_code_are_none(read: Read) -> None:
    document = read("""
        # Head

        > # quoted

        - # item

        ```
        # code
        ```
    """)

    assert [section.heading for section in document.sections] == ["Head"]


def test_every_kind_of_mention_is_found_with_its_line(read: Read) -> None:
    document = read("""
        # Head

        See `src/a.py`, [that](b.md#x) and
        src/c.py or [this][ref] ![picture](d.png).

        ```sh
        run src/e.py
        ```

        <a href="f.md"><img src="g.png"></a> <code>h.py</code>

        [ref]: ./i.md
    """)

    assert mentions(document) == [
        ("head", Kind.CODE, "src/a.py", 3),
        ("head", Kind.LINK, "b.md#x", 3),
        ("head", Kind.PATH, "src/c.py", 4),
        ("head", Kind.LINK, "./i.md", 4),
        ("head", Kind.IMAGE, "d.png", 4),
        ("head", Kind.BLOCK, "src/e.py", 7),
        ("head", Kind.LINK, "f.md", 10),
        ("head", Kind.IMAGE, "g.png", 10),
        ("head", Kind.PATH, "h.py", 10),
    ]


def test_lines_are_right_after_code_that_spans_lines(read: Read) -> None:
    document = read("some `code\nthat goes on` and\n`a.py`")

    assert [line for _, _, _, line in mentions(document)] == [1, 3]


def test_text_in_tables_is_read(read: Read) -> None:
    document = read("""
        | a | b |
        |---|---|
        | `t.py` | src/e.py |
    """)

    assert [(kind, target) for _, kind, target, _ in mentions(document)] == [
        (Kind.CODE, "t.py"),
        (Kind.PATH, "src/e.py"),
    ]


def test_a_readme_that_draws_its_title_in_html_has_that_title(read: Read) -> None:
    assert read('<h1 align="center">\n  The Tool\n</h1>\n\n## Use\n').title == "The Tool"


def test_a_document_without_headings_is_called_by_its_file(read: Read) -> None:
    assert read("Just text.").title == "page.md"


def test_an_empty_document_has_no_sections(read: Read) -> None:
    assert read("").sections == ()


def test_characters_that_do_not_exist_are_replaced(read: Read) -> None:
    [section] = read("# a &#xD800; &#0; b").sections

    section.heading.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("::: pkg.app.App\n    options:\n      show_root: true\n", Kind.MODULE, "pkg.app.App"),
        ("See [the app][pkg.app.App].", Kind.MODULE, "pkg.app.App"),
        ("See [pkg.app.App][].", Kind.MODULE, "pkg.app.App"),
        ("{py:class}`~pkg.app.App`", Kind.SYMBOL, "pkg.app.App"),
        ("{func}`run <pkg.run>`", Kind.SYMBOL, "pkg.run"),
        ("{doc}`/guide`", Kind.DOC, "/guide"),
        ("```{autoclass} pkg.app.App\n:members:\n```\n", Kind.SYMBOL, "pkg.app.App"),
        ("```{eval-rst}\nsee src/a.py\n```\n", Kind.BLOCK, "src/a.py"),
        ("{nobody}`x`", Kind.CODE, "x"),
    ],
)
def test_what_site_generators_write_for_symbols_is_understood(read: Read, text: str, kind: Kind, target: str) -> None:
    names = [(one, name) for _, one, name, _ in mentions(read(text)) if one is not Kind.PATH]

    assert names == [(kind, target)]


def test_what_blocks_of_code_import_is_found_with_its_line(read: Read) -> None:
    document = read("Like so:\n\n```python\nimport a\n\nfrom b import c as d\n```\n\n    import e\n")

    found = [(one.target, one.alias, one.line) for _, one in document.mentions if one.kind is Kind.IMPORT]
    assert sorted(found) == [
        ("a", "a", 4),
        ("b.c", "d", 6),
        ("e", "e", 9),
    ]
