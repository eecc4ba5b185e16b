"""Which file an import names, and what a name in a Python file means: no program is run."""

from collections.abc import Mapping

import pytest

from codestory_blarify.definitions import Definition
from codestory_blarify.engines.names import Module, Names, Thing
from codestory_blarify.engines.places import Found, Places
from codestory_blarify.engines.reading import read
from codestory_blarify.engines.roots import Roots, imported_names
from codestory_blarify.engines.syntax import FileSyntax, Mention, Role


def definition(path: str, name: str, line: int, column: int = 4, ordinal: int = 0) -> Definition:
    return Definition(
        label="Function",
        kind="function",
        path=path,
        name=name.rpartition(".")[2],
        qualified_name=name,
        ordinal=ordinal,
        start_line=line,
        end_line=line,
        name_line=line,
        name_column=column,
        language="Python",
        level=1,
        sha256="",
        signature="",
    )


def roots_of(contents: Mapping[str, str]) -> Roots:
    return Roots(contents, {path: imported_names(text.encode()) for path, text in contents.items()})


class Code:
    """Files, their definitions, and what names in them mean."""

    def __init__(self, contents: Mapping[str, str], *names: str, bases: Mapping[int, list[int]] | None = None) -> None:
        """`names`: the definitions, `path:qualified name`, each the first of its name in its file."""
        self.definitions = [definition(*name.split(":"), line=-1) for name in names]
        places = Places(self.definitions)
        self.files = {path: read(path, text.encode(), places) for path, text in contents.items()}
        self.names = Names(roots_of(contents), self.files, lambda index: (bases or {}).get(index, ()))

    def called(self, path: str) -> list[str | None]:
        """What the calls in a file call, in the order of their lines."""
        file = self.files[path]
        return [self._meaning(one, file) for one in file.mentions if one.role is Role.CALLED]

    def _meaning(self, mention: Mention, file: FileSyntax) -> str | None:
        things = self.names.follow(mention.path, mention.scope, file)
        return self._said(things[-1]) if len(things) == len(mention.path) else None

    def _said(self, thing: Thing) -> str:
        if isinstance(thing, Module):
            return thing.location
        return f"{self.definitions[thing].path}:{self.definitions[thing].qualified_name}"


@pytest.mark.parametrize(
    ("paths", "path", "module"),
    [
        (["src/flask/__init__.py", "src/flask/app.py"], "src/flask/app.py", "flask.app"),
        (["src/flask/__init__.py"], "src/flask/__init__.py", "flask"),
        (["a/lib/b/__init__.py", "a/lib/__init__.py", "a/__init__.py"], "a/lib/b/__init__.py", "a.lib.b"),
        (["services/api/src/api/main.py", "setup.py"], "services/api/src/api/main.py", "api.main"),
        (["pkg/migrations/0001_initial.py"], "pkg/migrations/0001_initial.py", "pkg.migrations.0001_initial"),
        (["__init__.py"], "__init__.py", "__init__"),
    ],
)
def test_a_file_has_the_import_path_of_the_innermost_root(paths: list[str], path: str, module: str) -> None:
    assert Roots(paths, {}).module(path) == module


def test_of_modules_of_one_name_the_nearest_is_meant() -> None:
    roots = Roots(["a/src/app/x.py", "b/src/app/x.py", "a/src/app/y.py", "b/tests/z.py"], {})

    assert roots.locate("app.x", "a/src/app/y.py") == "a/src/app/x"
    assert roots.locate("app.x", "b/tests/z.py") == "b/src/app/x"


def test_what_lies_beside_a_script_is_found_unless_the_standard_library_has_it() -> None:
    roots = Roots(["tools/run.py", "tools/helper.py", "tools/json.py", "tools/yaml/data.py"], {})

    assert roots.locate("helper", "tools/run.py") == "tools/helper"
    assert roots.locate("json", "tools/run.py") is None
    assert roots.locate("yaml", "tools/run.py") is None, "an installed package comes before a folder"


def test_a_folder_that_programs_are_run_from_is_a_root_if_nothing_else_has_its_names() -> None:
    alone = roots_of({"tests/test_a.py": "import support", "tests/support.py": "", "app/__init__.py": ""})
    twice = roots_of(
        {"a/run.py": "import util", "a/util.py": "", "b/run.py": "from util import x", "b/util.py": "", "c.py": ""}
    )

    assert alone.folders == ("tests", "")
    assert twice.folders == ("",)


def test_a_name_is_followed_through_packages_aliases_and_stars() -> None:
    code = Code(
        {
            "pkg/__init__.py": "from .deep import work as labour\nfrom .more import *\n",
            "pkg/deep.py": "def work(): pass\n",
            "pkg/more.py": "def extra(): pass\nother = extra\n",
            "use.py": (
                "import pkg\nfrom pkg import *\nfrom pkg import labour as l\nimport pkg.deep as d\n"
                "l()\npkg.labour()\nextra()\nother()\nd.work()\npkg.more.extra()\n"
            ),
        },
        "pkg/deep.py:work",
        "pkg/more.py:extra",
    )

    work, extra = "pkg/deep.py:work", "pkg/more.py:extra"
    assert code.called("use.py") == [work, work, extra, extra, work, extra]


def test_circles_of_imports_and_aliases_end() -> None:
    code = Code(
        {
            "a.py": "from b import f, g\nh = i\ni = h\nf()\nh()\n",
            "b.py": "from a import f\nfrom a import *\nfrom c import *\n",
            "c.py": "from b import *\n",
        },
    )

    assert code.called("a.py") == [None, None]


def test_a_parameter_hides_a_function_and_a_class_hides_nothing_from_its_methods() -> None:
    code = Code(
        {
            "a.py": (
                "def f(): pass\n"
                "def one(f):\n    f()\n"
                "class A:\n    def f(self):\n        f()\n"
                "def two():\n    [f() for f in ()]\n    f()\n"
                "def three():\n    global f\n    f()\n"
                "def four():\n    f = 1\n    (lambda: f())()\n"
            )
        },
        "a.py:f",
    )

    assert code.called("a.py") == ["a.py:f"] * 3


def test_self_means_the_class_and_what_it_inherits() -> None:
    text = "class B:\n def f(self): pass\nclass A(B):\n def g(self):\n  self.f()\n  self.x()\n"
    code = Code({"a.py": text}, "a.py:B", "a.py:B.f", "a.py:A", "a.py:A.g", bases={2: [0]})

    assert code.called("a.py") == ["a.py:B.f", None]


def test_texts_in_annotations_are_names_unless_they_are_literal() -> None:
    text = 'def f(): pass\ndef g(a: "f", b: Literal["f"], *, c: "list[f]" = "f") -> "f.x": ...\nx: "f" = 1\n'
    file = read("a.py", text.encode(), Places([definition("a.py", "f", 1)]))

    assert sorted((one.line, ".".join(one.path)) for one in file.mentions) == [(2, "f"), (2, "f"), (2, "f.x"), (3, "f")]


def test_of_a_file_with_an_error_what_stands_before_it_is_read() -> None:
    text = "import os\ndef f(): pass\nf()\nclass A:\n    def broken(:\n        pass\nf()\n"
    file = read("a.py", text.encode(), Places([]))

    assert file.problem.startswith("line 5")
    assert [one.line for one in file.mentions] == [3]


@pytest.mark.parametrize("text", ["(" * 5000, "-" * 100_000 + "1", "a" + ".b" * 100_000, "1" + "+1" * 100_000])
def test_nesting_that_pythons_parser_refuses_is_a_problem_of_the_file(text: str) -> None:
    assert read("a.py", text.encode(), Places([])).problem


def test_very_many_bindings_of_one_name_cost_no_more_than_their_number() -> None:
    file = read("a.py", b"class A(A): pass\n" * 2_000, Places([]))

    assert len(file.scope.names["A"]) <= 50


def test_a_definition_is_told_by_its_place_else_by_its_name_and_order() -> None:
    places = Places([definition("a.py", "f", 1), definition("a.py", "f", 5, ordinal=1), definition("a.py", "g", 9)])

    assert places.match("a.py", [Found(5, 4, "f"), Found(1, 4, "f")]) == [1, 0]
    assert places.match("a.py", [Found(7, 4, "f"), Found(2, 7, "f")]) == [1, 0]
    assert places.match("a.py", [Found(2, 4, "g"), Found(3, 4, "g")]) == [None, None]
