"""What mentions mean: links, descriptions, and what is left unlinked."""

from collections.abc import Callable, Iterable

import pytest

from codestory_docgrapher.document import Document
from codestory_docgrapher.link import Links, Relation, link
from codestory_docgrapher.modules import Code
from codestory_docgrapher.places import Symbol

MakeDocument = Callable[[str, str], Document]

FILES = [
    "Makefile",
    "README.md",
    "docs/guide/index.md",
    "docs/guide/page.md",
    "docs/img/logo.png",
    "docs/other.rst",
    "setup.py",
    "src/pkg/__init__.py",
    "src/pkg/mod.py",
    "src/pkg/sub/__init__.py",
    "src/pkg/sub/only.py",
]


@pytest.fixture
def linked(document: MakeDocument) -> Callable[..., Links]:
    """Links of the page docs/guide/page.md with this text, among other documents."""

    def make(text: str, *, path: str = "docs/guide/page.md", symbols: Iterable[Symbol] = ()) -> Links:
        documents = [
            document("README.md", "# Project\n\n## Use it\n"),
            document("docs/guide/index.md", "# Guide\n"),
            document("docs/other.rst", ".. _spot:\n\nOther\n=====\n\nPart\n----\n"),
            document(path, text),
        ]
        return link(documents, {*FILES, path}, Code(list(symbols)))

    return make


Linked = Callable[..., Links]


def named(relation: Relation) -> tuple[str, str]:
    target = relation.target
    place = target.path if target.anchor is None else f"{target.path}#{target.anchor}"
    return relation.type, place if target.label in {"Document", "Section"} else f"{target.label} {target.id or place}"


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("../../README.md", "README.md"),
        ("/README.md", "README.md"),
        ("../../README.md#use-it", "README.md#use-it"),
        ("../../README.md#Use-It", "README.md#use-it"),
        ("../../README.md?plain=1#use-it", "README.md#use-it"),
        ("..%2F..%2FREADME.md", "README.md"),
        ("index.md", "docs/guide/index.md"),
        ("index", "docs/guide/index.md"),
        ("index.html", "docs/guide/index.md"),
        ("../guide/", "docs/guide/index.md"),
        ("../../", "README.md"),
        ("../other.rst#part", "docs/other.rst#part"),
        ("../img/logo.png", "File docs/img/logo.png"),
    ],
)
def test_relative_links_lead_to_documents_sections_and_files(linked: Linked, written: str, target: str) -> None:
    links = linked(f"[x]({written})")

    assert ("LINKS_TO", target) in [named(relation) for relation in links.relations]
    assert links.counts["links"] == 1


@pytest.mark.parametrize(
    "written",
    [
        "../../../../etc/passwd",
        "/../etc/passwd",
        "..%2F..%2F..%2Fetc%2Fpasswd",
        "/etc/passwd",
        "missing.md",
        "#missing",
        "..",
    ],
)
def test_links_out_of_the_repository_or_to_nothing_are_counted_and_never_linked(linked: Linked, written: str) -> None:
    links = linked(f"# Head\n\n[x]({written})")

    assert links.relations == []
    assert links.counts["links.broken"] + links.counts["links.directory"] == 1


def test_broken_links_are_named_with_their_line(linked: Linked) -> None:
    assert linked("Words.\n[x](missing.md)").broken == {"docs/guide/page.md": ["2: missing.md"]}


@pytest.mark.parametrize("written", ["https://example.org/README.md", "//example.org", "mailto:a@b.c"])
def test_urls_are_counted_and_never_linked(linked: Linked, written: str) -> None:
    links = linked(f"[x]({written})")

    assert links.relations == []
    assert links.counts == {"links.external": 1}


def test_a_link_to_a_section_that_is_not_there_leads_to_the_document_with_less_confidence(linked: Linked) -> None:
    [relation] = linked("[x](../../README.md#gone)").relations

    assert (named(relation), relation.confidence) == (("LINKS_TO", "README.md"), 0.8)


def test_a_section_links_to_another_of_its_document(linked: Linked) -> None:
    [relation] = linked("# A\n\n[b](#b)\n\n# B\n").relations

    assert (relation.source.anchor, named(relation)) == ("a", ("LINKS_TO", "docs/guide/page.md#b"))


def test_a_link_to_a_source_file_is_a_link_and_a_description(linked: Linked) -> None:
    relations = linked("[x](../../setup.py)").relations

    assert [(named(relation), relation.evidence) for relation in relations] == [
        (("DESCRIBES", "File setup.py"), ("path",)),
        (("LINKS_TO", "File setup.py"), ("link",)),
    ]


def test_an_image_is_a_link_and_no_description(linked: Linked) -> None:
    assert [named(relation) for relation in linked("![x](../img/logo.png)").relations] == [
        ("LINKS_TO", "File docs/img/logo.png")
    ]


@pytest.mark.parametrize(
    ("text", "target", "evidence", "confidence"),
    [
        ("`src/pkg/mod.py`", "src/pkg/mod.py", "code_span", 0.95),
        ("`./src/pkg/mod.py`", "src/pkg/mod.py", "code_span", 0.95),
        ("`src/pkg/mod.py:12`", "src/pkg/mod.py", "code_span", 0.95),
        ("`pkg/mod.py`", "src/pkg/mod.py", "code_span", 0.75),
        ("`mod.py`", "src/pkg/mod.py", "code_span", 0.6),
        ("`setup.py`", "setup.py", "code_span", 0.665),
        ("`Makefile`", "Makefile", "code_span", 0.665),
        ("`python src/pkg/mod.py --now`", "src/pkg/mod.py", "code_span", 0.475),
        ("see src/pkg/mod.py.", "src/pkg/mod.py", "path", 0.855),
        ("see (../img/logo.png)", "docs/img/logo.png", "path", 0.765),
        ("Run:\n\n    run src/pkg/mod.py", "src/pkg/mod.py", "code_block", 0.475),
    ],
)
def test_files_are_described_by_path_and_code_span(
    linked: Linked, text: str, target: str, evidence: str, confidence: float
) -> None:
    [relation] = linked(text).relations

    assert named(relation) == ("DESCRIBES", f"File {target}")
    assert (relation.evidence, relation.confidence) == ((evidence,), confidence)


@pytest.mark.parametrize(
    "text",
    [
        "`missing.py`",
        "see pkg/mod.py",
        "see mod.py",
        "Makefile",
        "Run:\n\n    run mod.py",
        "https://example.org/src/pkg/mod.py",
        "xsrc/pkg/mod.py",
        "`src/pkg`",
        "`../../../../etc/passwd`",
        "`/etc/passwd`",
        "../../../../etc/passwd",
        "`page.md`",
    ],
)
def test_what_only_looks_like_a_file_of_the_repository_is_not_linked(linked: Linked, text: str) -> None:
    assert linked(text).relations == []


def test_a_name_that_several_files_have_is_counted_and_not_linked(linked: Linked) -> None:
    links = linked("`__init__.py`")

    assert links.relations == []
    assert links.counts == {"mentions.ambiguous": 1}


def test_the_file_beside_the_document_is_meant_before_the_one_at_the_root(document: MakeDocument) -> None:
    page = document("service/README.md", "`setup.py`")

    [relation] = link([page], ["service/README.md", "service/setup.py", "setup.py"]).relations

    assert named(relation) == ("DESCRIBES", "File service/setup.py")


def test_a_file_among_the_samples_of_tests_is_hardly_meant_by_its_bare_name(document: MakeDocument) -> None:
    page = document("README.md", "`manage.py`")

    [relation] = link([page], ["README.md", "tests/sample/manage.py"]).relations

    assert relation.confidence == 0.3


def test_all_evidence_for_one_pair_is_one_relationship(linked: Linked) -> None:
    [relation] = linked("src/pkg/mod.py\n\n`mod.py` and `mod.py`\n\n`pkg/mod.py`").relations

    assert relation.evidence == ("code_span", "path")
    assert relation.texts == ("mod.py", "pkg/mod.py", "src/pkg/mod.py")
    assert relation.lines == (1, 3, 5)
    assert relation.confidence == 0.855


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (":doc:`/README`", None),
        (":doc:`guide/index`", "docs/guide/index.md"),
        (":doc:`/guide/index`", "docs/guide/index.md"),
        (":ref:`spot`", "docs/other.rst#other"),
        (":ref:`the Spot <Spot>`", "docs/other.rst#other"),
        (".. toctree::\n\n   guide/index\n", "docs/guide/index.md"),
        (".. toctree::\n   :glob:\n\n   guide/*\n", None),
        (".. image:: /img/logo.*\n", "File docs/img/logo.png"),
    ],
)
def test_names_of_sphinx_lead_to_its_documents(document: MakeDocument, text: str, target: str | None) -> None:
    documents = [
        document("README.md", "# Project\n"),
        document("docs/guide/index.md", "# Guide\n"),
        document("docs/other.rst", ".. _spot:\n\nOther\n=====\n"),
        document("docs/index.rst", text),
    ]

    links = link(documents, [*FILES, "docs/conf.py", "docs/index.rst"])

    assert [named(relation) for relation in links.relations] == ([("LINKS_TO", target)] if target else [])


def test_a_toctree_with_patterns_links_all_it_matches(document: MakeDocument) -> None:
    documents = [document(f"docs/{name}.rst", "") for name in ("a", "b", "sub/c")]
    documents.append(document("docs/index.rst", ".. toctree::\n   :glob:\n\n   *\n"))

    links = link(documents, [one.path for one in documents])

    assert [relation.target.path for relation in links.relations] == ["docs/a.rst", "docs/b.rst"]


def test_a_label_of_two_projects_leads_to_ones_own(document: MakeDocument) -> None:
    label = ".. _same:\n\nHead\n====\n"
    documents = [
        document("one/a.rst", label),
        document("two/a.rst", label),
        document("two/b.rst", ":ref:`same`"),
        document("c.rst", ":ref:`same`"),
    ]

    links = link(documents, ["one/conf.py", "two/conf.py", *(one.path for one in documents)])

    assert [(relation.source.path, relation.target.path) for relation in links.relations] == [
        ("two/b.rst", "two/a.rst")
    ]
    assert links.counts["links.ambiguous"] == 1


def test_a_label_that_nobody_has_is_perhaps_another_projects(linked: Linked) -> None:
    links = linked(":ref:`elsewhere`", path="docs/page.rst")

    assert links.counts == {"links.unknown_label": 1}


def symbol(qualified_name: str, path: str = "src/pkg/mod.py", label: str = "Function", line: int = 1) -> Symbol:
    name = qualified_name.rpartition(".")[2]
    module = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return Symbol(f"{path}:{qualified_name}:{line}", label, name, qualified_name, path, line, module=module)


SYMBOLS = [
    symbol("run_all"),
    symbol("Thing", label="Class"),
    symbol("Thing.close", label="Method"),
    symbol("Other.close", "src/pkg/sub/only.py", "Method"),
    symbol("get"),
    symbol("get", line=9),
]


@pytest.mark.parametrize(
    ("text", "name", "evidence", "confidence"),
    [
        ("`pkg.mod.run_all`", "run_all", "import_path", 0.95),
        ("`run_all()`", "run_all", "code_span", 0.6),
        ("`mod.run_all()`", "run_all", "code_span", 0.75),
        ("`Thing.close`", "Thing.close", "qualified_name", 0.85),
        ("`Thing::close(now)`", "Thing.close", "qualified_name", 0.85),
        ("`get`", "get", "code_span", 0.4),
    ],
)
def test_symbols_are_described_by_name(linked: Linked, text: str, name: str, evidence: str, confidence: float) -> None:
    [relation] = linked(text, symbols=SYMBOLS).relations

    assert relation.target.id == f"src/pkg/mod.py:{name}:1"
    assert (relation.evidence, relation.confidence) == ((evidence,), confidence)


@pytest.mark.parametrize(
    ("text", "path", "confidence"),
    [("`pkg.mod`", "src/pkg/mod.py", 0.95), ("{py:mod}`pkg`", "src/pkg/__init__.py", 0.95)],
)
def test_files_are_described_by_the_import_path_of_their_module(
    linked: Linked, text: str, path: str, confidence: float
) -> None:
    [relation] = linked(text, symbols=SYMBOLS).relations

    assert named(relation) == ("DESCRIBES", f"File {path}")
    assert (relation.evidence, relation.confidence) == (("import_path",), confidence)


def test_what_a_block_of_code_imports_is_described_with_less_confidence(linked: Linked) -> None:
    text = "```python\nimport os\nfrom pkg.mod import (\n    run_all,  # all\n)\n```\n"

    [relation] = linked(text, symbols=SYMBOLS).relations

    assert relation.target.id == "src/pkg/mod.py:run_all:1"
    assert (relation.evidence, relation.confidence, relation.lines) == (("import_path",), 0.7, (3,))


def test_a_name_that_the_documents_own_code_imports_means_that(linked: Linked) -> None:
    text = "Call `shut.close`.\n\n```python\nfrom pkg.mod import Thing as shut\n```\n"

    relations = linked(text, symbols=SYMBOLS).relations

    assert {(relation.target.id, relation.confidence) for relation in relations} == {
        ("src/pkg/mod.py:Thing.close:1", 0.85),
        ("src/pkg/mod.py:Thing:1", 0.7),
    }


def test_a_symbols_name_that_several_have_is_counted_and_not_linked(linked: Linked) -> None:
    links = linked("`close`", symbols=SYMBOLS)

    assert links.relations == []
    assert links.counts == {"mentions.ambiguous": 1}


def test_what_describes_a_symbol_describes_its_summary_on_the_same_evidence(document: MakeDocument) -> None:
    page = document("README.md", "`Thing.close` in `setup.py`")
    summaries = {("Method", SYMBOLS[2].id): "s1", ("File", "setup.py"): "s2"}

    links = link([page], FILES, Code(SYMBOLS, summaries=summaries))

    assert {(one.target.label, one.target.id, one.evidence, one.confidence) for one in links.relations} == {
        ("Method", SYMBOLS[2].id, ("qualified_name",), 0.85),
        ("Summary", "s1", ("qualified_name",), 0.85),
        ("File", "", ("code_span",), 0.665),
        ("Summary", "s2", ("code_span",), 0.665),
    }
    assert links.counts["describes"] == links.counts["describes.summaries"] == 2


def test_words_that_are_not_marked_as_code_name_no_symbol(linked: Linked) -> None:
    assert linked("run_all and Thing", symbols=SYMBOLS).relations == []


def test_links_do_not_depend_on_the_order_of_files_and_symbols(document: MakeDocument) -> None:
    page = document("README.md", "`mod.py` `__init__.py` `get` `close` src/pkg/mod.py [x](docs/other.rst)")

    assert link([page], FILES, Code(SYMBOLS)) == link([page], FILES[::-1], Code(SYMBOLS[::-1]))
