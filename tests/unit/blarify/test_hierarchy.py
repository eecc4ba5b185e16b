"""What Blarify finds in real files of every language, as the program tells it: one run for most of these tests."""

import asyncio
import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from codestory.contracts.results import Gap
from codestory.files.repository import RepositoryFiles
from codestory.steps import StepError, TemporaryStepError
from codestory_blarify import hierarchy
from codestory_blarify.definitions import Definition
from codestory_blarify.hierarchy import Hierarchy
from codestory_blarify.settings import BlarifySettings
from codestory_blarify.shadow import Shadow, copy

PYTHON = '''\
"""The module."""
from typing import overload


class Shop(
    Base[int],
    metaclass=Meta,
):  # the shop
    """Sells.

    And buys."""

    @property
    def price(self): return 1

    @price.setter
    def price(self, value: int = 3,  # a default
              *, tax=(1,
                      2)) -> None:
        "Set it."
        def inner():
            pass

    class Meta: b"no docstring"


if True:
    def pay(): ...
else:
    def pay(amount): ...


async def büro(a, /, b): f"no {a} docstring"


x = "日本語"; y = lambda: 1
'''
SAMPLES: dict[str, str | bytes] = {
    "shop.py": PYTHON,
    "deep/er/leaf.py": "def leaf(): pass\n",
    "latin.py": "# -*- coding: latin-1 -*-\ndef caf\xe9(): pass\n".encode("latin-1"),
    "windows.py": "def one():\r\n    pass\r\n\r\ndef two(): pass\r\n",
    "broken.py": "def whole(): pass\n\ndef broken(:\n",
    "garbage.py": ")))) ((((\n",
    "sum.py": "def total():\n    return " + "+".join("a" * 6_000) + "\n",
    "parentheses.py": "def nested():\n    return " + "(" * 5_000 + ")" * 5_000 + "\n",
    "scopes.js": "function f() {" * 5_000 + "}" * 5_000,
    "a.ts": "/** Doc of A.\n * more */\nexport class A extends B {\n"
    "  /** m */\n  @Input()\n  m(a: number /* c */) {}\n}\n"
    "x(); // not about f\nexport const f = async (x) => x + 1;\n\n// apart\n\ninterface I { m(): void }\n",
    "a.jsx": "// f\n// two\nexport default function f(a) { return <b/>; }\nclass C { static x() {} [comp]() {} }\n",
    "a.go": "package main\n\n//go:generate x\n// Run runs.\nfunc (s *Server[T]) Run(a int) error { return nil }\n\n"
    "// Server does.\ntype Server[T any] struct {\n\ta int\n}\n\nfunc (o Other) Run() {}\n\n"
    "type (\n\t// U doc\n\tU int\n)\n",
    "a.rb": "# A doc\nclass A < B\n  # m doc\n  def m(a)\n    1\n  end\n  # s\n  def self.s; end\nend\n",
    "a.php": "<?php\n/** A */\nfinal class A extends B {\n /** m */\n public function m(int $a): int { return 1; }\n}\n"
    "# f\nfunction f() {}\n",
    "a.java": "/** A */\n@Foo\npublic class A<T> {\n"
    "  /** m */\n  public int m(int a) throws X { return 1; }\n  int g();\n}\n",
    "a.cs": "namespace N {\n /// A\n public class A : B {\n  public int M(int a) => 1;\n  public A() {}\n }\n}\n",
}


def unheard(done: int, total: int, path: str) -> None:
    pass


def found(
    root: Path, settings: BlarifySettings | None = None, *, store_source: bool = False
) -> tuple[Shadow, Hierarchy]:
    tree, work = root.with_name(f"{root.name}-copy"), root.with_name(f"{root.name}-work")
    tree.mkdir()
    work.mkdir()
    with RepositoryFiles(root) as files:
        shadow = copy(files, list(files.walk()), tree, max_bytes=1_000_000, progress=unheard)
    given = settings or BlarifySettings()
    finding = hierarchy.find(shadow, work, given, store_source=store_source, progress=unheard)
    return shadow, asyncio.run(finding)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shadow, Hierarchy]:
    root = tmp_path_factory.mktemp("samples") / "repository"
    for name, content in SAMPLES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return found(root, store_source=True)


@pytest.fixture
def of(samples: tuple[Shadow, Hierarchy]) -> Callable[[str], list[Definition]]:
    """The definitions of one file."""
    _, hierarchy = samples
    return lambda path: [definition for definition in hierarchy.definitions if definition.path == path]


Of = Callable[[str], list[Definition]]


def test_definitions_come_in_order_with_their_place_in_the_file(of: Of) -> None:
    assert [(d.label, d.qualified_name, d.ordinal, d.start_line, d.end_line) for d in of("shop.py")] == [
        ("Class", "Shop", 0, 5, 24),
        ("Method", "Shop.price", 0, 14, 14),
        ("Method", "Shop.price", 1, 17, 22),
        ("Function", "Shop.price.inner", 0, 21, 22),
        ("Class", "Shop.Meta", 0, 24, 24),
        ("Function", "pay", 0, 28, 28),
        ("Function", "pay", 1, 30, 30),
        ("Function", "büro", 0, 33, 33),
    ]


def test_a_definition_knows_the_one_that_holds_it(samples: tuple[Shadow, Hierarchy], of: Of) -> None:
    _, hierarchy = samples
    [inner] = [d for d in of("shop.py") if d.name == "inner"]

    assert inner.parent is not None
    holder = hierarchy.definitions[inner.parent]
    assert (holder.path, holder.qualified_name, holder.ordinal) == ("shop.py", "Shop.price", 1)
    assert [d.parent for d in of("shop.py") if "." not in d.qualified_name] == [None] * 4


def test_names_are_where_they_stand_in_bytes(of: Of) -> None:
    places = {(d.name, d.ordinal): (d.name_line, d.name_column) for d in of("shop.py")}

    assert places["Shop", 0] == (5, 6)
    assert places["price", 1] == (17, 8)
    assert places["büro", 0] == (33, 10)


def test_a_signature_is_one_line_without_comments_and_body(of: Of) -> None:
    assert [d.signature for d in of("shop.py")] == [
        "class Shop(Base[int], metaclass=Meta)",
        "def price(self)",
        "def price(self, value: int = 3, *, tax=(1, 2)) -> None",
        "def inner()",
        "class Meta",
        "def pay()",
        "def pay(amount)",
        "async def büro(a, /, b)",
    ]


def test_a_docstring_is_what_the_language_takes_for_one(of: Of) -> None:
    assert [d.docstring for d in of("shop.py")] == ["Sells.\n\nAnd buys.", "", "Set it.", "", "", "", "", ""]
    assert [d.docstring for d in of("a.ts")] == ["Doc of A.\nmore", "m", "", ""]
    assert [d.docstring for d in of("a.jsx")] == ["f\ntwo", "", "", ""]
    assert [d.docstring for d in of("a.go")] == ["Run runs.", "Server does.", "", "U doc"]
    assert [d.docstring for d in of("a.rb")] == ["A doc", "m doc", "s"]
    assert [d.docstring for d in of("a.php")] == ["A", "m", "f"]
    assert [d.docstring for d in of("a.java")] == ["A", "m", ""]
    assert [d.docstring for d in of("a.cs")] == ["A", "", ""]


@pytest.mark.parametrize(
    ("path", "language", "expected"),
    [
        (
            "a.ts",
            "TypeScript",
            [
                ("Class", "A", "class A extends B"),
                ("Method", "A.m", "m(a: number )"),
                ("Function", "f", "f = async (x)"),
                ("Class", "I", "interface I"),
            ],
        ),
        (
            "a.jsx",
            "JavaScript",
            [
                ("Function", "f", "function f(a)"),
                ("Class", "C", "class C"),
                ("Method", "C.x", "static x()"),
                ("Method", "C.[comp]", "[comp]()"),
            ],
        ),
        (
            "a.go",
            "Go",
            [
                ("Method", "Server.Run", "func (s *Server[T]) Run(a int) error"),
                ("Class", "Server", "Server[T any] struct"),
                ("Method", "Other.Run", "func (o Other) Run()"),
                ("Class", "U", "U int"),
            ],
        ),
        (
            "a.rb",
            "Ruby",
            [("Class", "A", "class A < B"), ("Method", "A.m", "def m(a)"), ("Method", "A.s", "def self.s")],
        ),
        (
            "a.php",
            "PHP",
            [
                ("Class", "A", "final class A extends B"),
                ("Method", "A.m", "public function m(int $a): int"),
                ("Function", "f", "function f()"),
            ],
        ),
        (
            "a.java",
            "Java",
            [
                ("Class", "A", "@Foo public class A<T>"),
                ("Method", "A.m", "public int m(int a) throws X"),
                ("Method", "A.g", "int g()"),
            ],
        ),
        (
            "a.cs",
            "C#",
            [
                ("Class", "A", "public class A : B"),
                ("Method", "A.M", "public int M(int a)"),
                ("Method", "A.A", "public A()"),
            ],
        ),
    ],
)
def test_every_language_has_its_hierarchy(
    of: Of, path: str, language: str, expected: list[tuple[str, str, str]]
) -> None:
    assert [(d.label, d.qualified_name, d.signature) for d in of(path)] == expected
    assert {d.language for d in of(path)} == {language}


def test_a_method_of_go_is_contained_in_its_type_if_that_is_in_the_file(
    samples: tuple[Shadow, Hierarchy], of: Of
) -> None:
    _, hierarchy = samples
    own, type_, others, _ = of("a.go")

    assert own.parent is not None
    assert hierarchy.definitions[own.parent] == type_
    assert others.parent is None


def test_the_depth_counts_folders_file_and_scopes(of: Of) -> None:
    assert [d.level for d in of("shop.py")][:4] == [2, 3, 3, 4]
    assert [d.level for d in of("deep/er/leaf.py")] == [4]


def test_the_hash_is_that_of_the_text_which_is_stored_if_wanted(of: Of) -> None:
    [leaf] = of("deep/er/leaf.py")

    assert leaf.source == "def leaf(): pass"
    assert leaf.sha256 == hashlib.sha256(b"def leaf(): pass").hexdigest()


def test_other_encodings_and_line_ends_are_read(of: Of) -> None:
    assert [d.name for d in of("latin.py")] == ["café"]
    assert [(d.name, d.start_line, d.end_line) for d in of("windows.py")] == [("one", 1, 2), ("two", 4, 4)]


def test_deep_expressions_end_nothing(of: Of) -> None:
    assert [d.name for d in [*of("sum.py"), *of("parentheses.py")]] == ["total", "nested"]


def test_what_is_nested_beyond_reason_is_left_out_and_named(samples: tuple[Shadow, Hierarchy], of: Of) -> None:
    shadow, _ = samples

    assert len(of("scopes.js")) == 100
    assert Gap(path="scopes.js", reason=hierarchy.TOO_DEEP) in shadow.failed


def test_syntax_errors_are_recovered_from_or_named(samples: tuple[Shadow, Hierarchy], of: Of) -> None:
    shadow, hierarchy_ = samples

    assert "whole" in [d.name for d in of("broken.py")]
    assert ("broken.py", 3) in hierarchy_.recovered
    assert [gap for gap in shadow.failed if gap.path == "garbage.py"] == [
        Gap(path="garbage.py", reason=hierarchy.UNPARSABLE)
    ]


#: Blarify as it comes, on files that it survives.
STOCK = """
import json, sys
from blarify.graph.graph_environment import GraphEnvironment
from blarify.project_file_explorer import ProjectFilesIterator
from blarify.project_graph_creator import ProjectGraphCreator

class NoReferences:
    def initialize_directory(self, file): pass

root = sys.argv[1]
creator = ProjectGraphCreator(root, NoReferences(), ProjectFilesIterator(root), GraphEnvironment("main", "0", root))
for node in creator.build_hierarchy_only().get_nodes_as_objects():
    kept = node["attributes"]
    if node["type"] in ("CLASS", "FUNCTION"):
        path = kept["path"].removeprefix(f"file://{root}/")
        print(json.dumps([path, node["type"].lower(), kept["name"], kept["start_line"] + 1, kept["level"]]))
"""


def test_the_hierarchy_is_blarifys_own(tree: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    survived = {name: text for name, text in SAMPLES.items() if name not in {"sum.py", "parentheses.py", "scopes.js"}}
    root = tree(survived)
    shadow, ours = found(root)

    python = str(BlarifySettings().python)
    stock = subprocess.run(
        [python, "-I", "-W", "ignore", "-X", "utf8", "-c", STOCK, str(shadow.tree)], capture_output=True, check=True
    )

    theirs = {tuple(json.loads(line)) for line in stock.stdout.splitlines()}
    # Of definitions that share a name in a scope it keeps the last one.
    assert theirs < {(d.path, d.kind, d.name, d.start_line, d.level) for d in ours.definitions}
    assert {(path, kind, name, level) for path, kind, name, _, level in theirs} == {
        (d.path, d.kind, d.name, d.level) for d in ours.definitions
    }


def test_a_file_that_takes_too_long_is_named_and_the_others_are_read(
    tree: Callable[[Mapping[str, str | bytes]], Path],
) -> None:
    root = tree({"a.py": "def a(): pass\n", "b.py": "def b(): pass\n" * 40_000, "c.py": "def c(): pass\n"})

    shadow, hierarchy_ = found(root, BlarifySettings(blarify_file_seconds=0.1))

    assert [d.name for d in hierarchy_.definitions] == ["a", "c"]
    assert [d.parent for d in hierarchy_.definitions] == [None, None]
    assert shadow.failed == [Gap(path="b.py", reason=hierarchy.TOO_LONG)]


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ("kill -9 $$", TemporaryStepError, "was ended by SIGKILL"),
        ("echo 'no module named blarify' >&2; exit 1", StepError, "exit code 1: no module named blarify"),
        ("exit 0", StepError, "ended with exit code 0"),
        ("echo garbage", StepError, "said what it cannot mean"),
        ("""echo '{"what": "file", "path": "/etc/passwd"}'""", StepError, "spoke of '/etc/passwd' out of turn"),
        ("""echo '{"what": "file", "path": "a.py", "definitions": 7}'""", StepError, "said 0 of 7 definitions of a.py"),
    ],
)
def test_a_program_that_fails_or_lies_is_not_believed(
    tree: Callable[[Mapping[str, str | bytes]], Path],
    tmp_path: Path,
    script: str,
    error: type[StepError],
    said: str,
) -> None:
    settings = BlarifySettings(blarify_python=program(tmp_path / "python", script))

    with pytest.raises(StepError, match=said) as raised:
        found(tree({"a.py": "def a(): pass\n"}), settings)

    assert type(raised.value) is error


def test_a_parser_that_dies_on_file_after_file_is_given_up(
    tree: Callable[[Mapping[str, str | bytes]], Path], tmp_path: Path
) -> None:
    settings = BlarifySettings(blarify_python=program(tmp_path / "python", "kill -SEGV $$"))

    with pytest.raises(StepError, match=f"died on more than {hierarchy.MOST_DEATHS} files"):
        found(tree({f"{number}.py": "" for number in range(hierarchy.MOST_DEATHS + 2)}), settings)
