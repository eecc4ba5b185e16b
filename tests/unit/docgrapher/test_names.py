"""What names mean: import paths, re-exports, inheritance, scopes, and what is left open."""

import pytest

from codestory_docgrapher.modules import Code, Import
from codestory_docgrapher.names import Meant, Names, Said
from codestory_docgrapher.places import Missing, Symbol


def symbol(path: str, qualified_name: str, label: str = "Function") -> Symbol:
    module = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return Symbol(
        f"{path}:{qualified_name}",
        label,
        qualified_name.rpartition(".")[2],
        qualified_name,
        path,
        module=module,
    )


SYMBOLS = [
    symbol("src/pkg/app.py", "App", "Class"),
    symbol("src/pkg/app.py", "App.start", "Method"),
    symbol("src/pkg/base.py", "Base", "Class"),
    symbol("src/pkg/base.py", "Base.stop", "Method"),
    symbol("src/pkg/base.py", "Base.start", "Method"),
    symbol("src/pkg/tools.py", "url_for"),
    symbol("src/pkg/tools.py", "url_for.inner"),
    symbol("src/pkg/web.py", "Web.url_for", "Method"),
    symbol("tests/test_app.py", "check"),
    symbol("tests/test_app.py", "twice"),
    symbol("src/pkg/tools.py", "twice"),
    symbol("src/pkg/one.py", "same"),
    symbol("src/pkg/two.py", "same"),
]
IMPORTS = [
    Import("src/pkg/__init__.py", ("App", "Application"), symbol="src/pkg/app.py:App"),
    Import("src/pkg/__init__.py", ("helpers",), file="src/pkg/tools.py"),
    Import("src/pkg/all.py", ("*",), file="src/pkg/tools.py"),
    Import("src/pkg/all.py", ("*",), file="src/pkg/all.py"),
    Import("src/pkg/circle.py", ("x",), file="src/pkg/circle.py"),
]
FILES = ["src/pkg/__init__.py", "src/pkg/all.py", "src/pkg/circle.py", "src/pkg/deep/more.py"]
BASES = {"src/pkg/app.py:App": ["src/pkg/base.py:Base"], "src/pkg/base.py:Base": ["src/pkg/app.py:App"]}


@pytest.fixture(scope="module")
def names() -> Names:
    return Names(Code(SYMBOLS, IMPORTS, BASES), [*FILES, *sorted({symbol.path for symbol in SYMBOLS})])


@pytest.mark.parametrize(
    ("name", "target", "evidence", "confidence"),
    [
        ("pkg.app.App", "src/pkg/app.py:App", "import_path", 0.95),
        ("pkg.app.App.start", "src/pkg/app.py:App.start", "import_path", 0.95),
        ("pkg.App", "src/pkg/app.py:App", "import_path", 0.9),
        ("pkg.Application.start", "src/pkg/app.py:App.start", "import_path", 0.9),
        ("pkg.helpers.url_for", "src/pkg/tools.py:url_for", "import_path", 0.9),
        ("pkg.all.url_for", "src/pkg/tools.py:url_for", "import_path", 0.9),
        ("pkg.App.stop", "src/pkg/base.py:Base.stop", "import_path", 0.8),
        ("pkg.app.App.stop", "src/pkg/base.py:Base.stop", "import_path", 0.8),
        ("App.start", "src/pkg/app.py:App.start", "qualified_name", 0.85),
        ("App.stop", "src/pkg/base.py:Base.stop", "qualified_name", 0.7),
        ("app.App.start", "src/pkg/app.py:App.start", "code_span", 0.75),
        ("url_for", "src/pkg/tools.py:url_for", "code_span", 0.36),
        ("twice", "src/pkg/tools.py:twice", "code_span", 0.24),
        ("check", "tests/test_app.py:check", "code_span", 0.3),
        ("pkg.deep.more", "src/pkg/deep/more.py", "import_path", 0.95),
        ("pkg.helpers", "src/pkg/tools.py", "import_path", 0.9),
    ],
)
def test_names_lead_to_symbols_and_files(
    names: Names, name: str, target: str, evidence: str, confidence: float
) -> None:
    meaning = names.meaning(Said(name))

    assert isinstance(meaning, Meant)
    assert (meaning.found.place.id or meaning.found.place.path) == target
    assert (meaning.evidence, meaning.found.confidence) == (evidence, confidence)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("same", Missing.AMBIGUOUS),
        ("os.path.join", Missing.UNKNOWN),
        ("pkg.nothing", Missing.UNKNOWN),
        ("pkg.circle.x.x.x.x.x.x.x.x.x.x.y", Missing.UNKNOWN),
        ("a." * 200_000 + "run", Missing.UNKNOWN),
        ("inner", Missing.UNKNOWN),
        ("dict", Missing.UNKNOWN),
        ("pkg", Missing.UNKNOWN),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_may_mean_several_things_or_nothing_is_left_open(names: Names, name: str, why: Missing) -> None:
    assert names.meaning(Said(name)) is why


def target(meaning: object) -> str:
    assert isinstance(meaning, Meant)
    return meaning.found.place.id or meaning.found.place.path


def test_a_scope_decides_between_equal_names(names: Names) -> None:
    meaning = names.meaning(Said("same", scopes=("pkg.two",)))

    assert target(meaning) == "src/pkg/two.py:same"
    assert isinstance(meaning, Meant)
    assert (meaning.evidence, meaning.found.confidence) == ("import_path", 0.9)


def test_a_class_around_is_a_scope_without_its_module(names: Names) -> None:
    assert target(names.meaning(Said("start", scopes=("App",), marked=True))) == "src/pkg/app.py:App.start"


def test_a_name_that_is_marked_as_a_class_is_no_functions(names: Names) -> None:
    assert names.meaning(Said("check", marked=True, label="Class")) is Missing.UNKNOWN


def test_a_name_that_is_imported_means_that(names: Names) -> None:
    said = Said("a.stop", bound={"a": "pkg.App"})

    assert target(names.meaning(said)) == "src/pkg/base.py:Base.stop"


def test_one_import_path_for_two_files_is_ambiguous() -> None:
    twice = [symbol("a/src/pkg/x.py", "f"), symbol("b/src/pkg/x.py", "f")]
    twice = [Symbol(s.id, s.label, s.name, s.qualified_name, s.path, module="pkg.x") for s in twice]
    names = Names(Code(twice), [])

    assert names.exactly("pkg.x.f") is Missing.AMBIGUOUS
    assert names.exactly("pkg.x") is Missing.AMBIGUOUS


def test_modules_without_symbols_go_by_the_packages_they_stand_in() -> None:
    names = Names(Code(), ["lib/pkg/__init__.py", "lib/pkg/a.py", "lib/pkg/a.pyi", "lib/pkg/b.pyi", "lib/no-name.py"])

    assert [names.modules.name_of(path) for path in ("lib/pkg/__init__.py", "lib/pkg/a.py", "lib/pkg/b.pyi")] == [
        "pkg",
        "pkg.a",
        "pkg.b",
    ]
    assert names.modules.name_of("lib/no-name.py") == names.modules.name_of("lib/pkg/a.pyi") == ""
