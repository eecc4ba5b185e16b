"""References of Python as Pyrefly and the names tell them, over one repository with a case in each file."""

import asyncio
import os
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from codestory.testing import wait_until
from codestory_blarify import hierarchy
from codestory_blarify.definitions import Definition
from codestory_blarify.engines.pyrefly import Pyrefly
from codestory_blarify.programs import Limits
from codestory_blarify.references import EngineFailed, EngineKilled, External, References
from codestory_blarify.settings import BlarifySettings
from codestory_blarify.shadow import Shadow, Source
from codestory_blarify.workplace import place_for, private_folder

#: Pyrefly writes as much for the smallest repository.
ROOM = 64 * 1024**2
CODE = {
    "app/__init__.py": "",
    "app/shapes.py": """
import os.path
from abc import ABC

class Shape(ABC):
    def area(self): return 0
    @property
    def name(self): return "n"
    @name.setter
    def name(self, value): ...
    def __call__(self): return self.area()
    def __add__(self, other): return self
    async def __aenter__(self): return self
    async def __aexit__(self, *_): ...

class Square(Shape):
    def area(self): return super().area()

class Broken(missing.Base):
    def area(self): return self.helper()
    def helper(self): return 1

class Gone(Exception): ...
""",
    "app/use.py": """
from app import shapes
from app.shapes import Square as Sq, Gone, Broken

def decorator(function):
    def inner(*args): return function(*args)
    return inner

@decorator
def decorated(): return 1

@decorator
class Decorated(shapes.Shape, metaclass=type): ...

def factory():
    def made(): return 1
    return made

def run(shape: "Sq", other=Sq()):
    shape.name = shape.name
    shape()
    shape + other
    decorated()
    held = factory()
    held()
    print(shape, Sq, shape.area, Gone)
    Broken().area()
    return run(shape)

async def enter(shape: Sq):
    async with shape:
        pass

def gone():
    raise Gone
""",
    "app/columns.py": """
s = "😀"; from app.use import run as läufer; läufer(None); x = "日本語"; läufer(1)
""",
    "app/conditional.py": """
import sys
if sys.version_info < (3,):
    def text(): return old()
else:
    def text(): return new()
def old(): return 1
def new(): return 2
text()
""",
}


@dataclass
class Read:
    definitions: list[Definition]
    references: References

    def pairs(self, type_: str, path: str) -> set[tuple[str, str]]:
        """The ends of what a file says, by name; definitions after the first of their name with `#`."""
        ends = {(self._name(one.source), self._name(one.target)) for one in self.references.found if one.type == type_}
        return {(source[1], target[1]) for source, target in ends if source[0] == path}

    def found_by(self, type_: str, path: str, line: int) -> set[tuple[str, str]]:
        found = [one for one in self.references.found if (one.type, one.line) == (type_, line)]
        return {(self._name(one.target)[1], one.resolved_by) for one in found if self._name(one.source)[0] == path}

    def _name(self, end: int | str | External) -> tuple[str, str]:
        match end:
            case int():
                one = self.definitions[end]
                return one.path, one.qualified_name + (f"#{one.ordinal}" if one.ordinal else "")
            case External():
                return "", f"<{end.name}>"
            case _:
                return end, end


def copied(root: Path, contents: dict[str, str]) -> Shadow:
    shadow = Shadow(root / "tree")
    for path, text in contents.items():
        file = shadow.tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        if path.endswith(".py"):
            shadow.files[path] = Source(path, "Python")
    return shadow


def folder(root: Path, name: str) -> Path:
    made = root / name
    made.mkdir()
    return made


def silent(done: int, total: int, path: str) -> None:
    """Nobody asks how far it is."""


async def read(root: Path, contents: dict[str, str], definitions: list[Definition] | None = None) -> Read:
    """With Blarify's definitions, unless some are given."""
    settings, shadow = BlarifySettings(), copied(root, contents)
    engine, work = Pyrefly(settings.pyrefly, settings.limits), folder(root, "engine")
    await engine.prepare(shadow.tree, work)
    if definitions is None:
        room = folder(root, "hierarchy")
        definitions = (await hierarchy.find(shadow, room, settings, store_source=False, progress=silent)).definitions
    return Read(definitions, await engine.references(shadow.tree, work, definitions, silent))


@pytest.fixture(scope="module")
def code() -> Iterator[Read]:
    with private_folder(place_for(ROOM)) as room:
        yield asyncio.run(read(room, CODE))


def test_a_property_is_called_by_who_reads_and_who_writes_it(code: Read) -> None:
    calls = code.pairs("CALLS", "app/use.py")

    assert {("run", "Shape.name"), ("run", "Shape.name#1")} <= calls
    assert ("Shape.name#1", "Shape.name") not in code.pairs("USES", "app/shapes.py")


def test_operators_and_objects_that_are_called_call_their_methods(code: Read) -> None:
    assert {("run", "Shape.__call__"), ("run", "Shape.__add__")} <= code.pairs("CALLS", "app/use.py")


def test_an_async_with_calls_what_begins_and_what_ends_it(code: Read) -> None:
    assert {("enter", "Shape.__aenter__"), ("enter", "Shape.__aexit__")} <= code.pairs("CALLS", "app/use.py")


def test_a_decorated_function_is_called_not_its_wrapper(code: Read) -> None:
    calls = code.pairs("CALLS", "app/use.py")

    assert ("run", "decorated") in calls
    assert ("run", "decorator.inner") not in calls


def test_a_function_held_by_a_variable_is_called(code: Read) -> None:
    assert ("run", "factory.made") in code.pairs("CALLS", "app/use.py")


def test_what_is_named_and_not_called_is_used(code: Read) -> None:
    uses = code.pairs("USES", "app/use.py")

    assert {("run", "Square"), ("run", "Square.area"), ("run", "Gone")} <= uses
    assert {("decorated", "decorator"), ("Decorated", "decorator")} <= uses
    assert ("run", "Shape.__call__") not in uses, "an object that is mentioned is not called"
    assert ("Decorated", "Shape") not in uses, "a base class is inherited from"


def test_a_class_without_a_known_base_is_still_made_and_its_methods_called(code: Read) -> None:
    assert ("run", "Broken") in code.pairs("INSTANTIATES", "app/use.py")
    assert ("run", "Broken.area") in code.pairs("CALLS", "app/use.py")
    assert ("Broken.area", "Broken.helper") in code.pairs("CALLS", "app/shapes.py")


def test_defaults_belong_to_the_function_and_a_function_may_call_itself(code: Read) -> None:
    assert ("run", "Square") in code.pairs("INSTANTIATES", "app/use.py")
    assert ("run", "run") in code.pairs("CALLS", "app/use.py")


def test_raising_a_class_makes_an_object_of_it(code: Read) -> None:
    assert ("gone", "Gone") in code.pairs("INSTANTIATES", "app/use.py")


def test_classes_inherit_and_methods_override(code: Read) -> None:
    assert code.pairs("INHERITS_FROM", "app/shapes.py") == {("Square", "Shape")}
    assert code.pairs("INHERITS_FROM", "app/use.py") == {("Decorated", "Shape")}
    assert code.pairs("OVERRIDES", "app/shapes.py") == {("Square.area", "Shape.area")}


def test_imports_lead_to_symbols_to_files_and_outside(code: Read) -> None:
    assert code.pairs("IMPORTS", "app/use.py") == {
        ("app/use.py", name) for name in ("app/shapes.py", "Square", "Gone", "Broken")
    }
    assert code.pairs("IMPORTS", "app/shapes.py") == {("app/shapes.py", "<os>"), ("app/shapes.py", "<abc>")}
    [alias] = [one for one in code.references.found if one.type == "IMPORTS" and one.name == "Sq"]
    assert alias.line == 3


def test_columns_are_bytes_whatever_stands_before(code: Read) -> None:
    assert code.found_by("CALLS", "app/columns.py", 2) == {("run", "")}


def test_code_for_another_python_is_read_by_its_names(code: Read) -> None:
    assert {("text", "old"), ("text#1", "new")} <= code.pairs("CALLS", "app/conditional.py")
    assert code.found_by("CALLS", "app/conditional.py", 4) == {("old", "syntax")}
    assert code.found_by("CALLS", "app/conditional.py", 6) == {("new", "")}


def test_each_file_has_its_import_path(code: Read) -> None:
    assert code.references.modules["app/shapes.py"] == "app.shapes"
    assert code.references.modules["app/__init__.py"] == "app"
    assert not code.references.problems


async def test_configuration_in_the_tree_runs_nothing_and_changes_nothing(tmp_path: Path) -> None:
    canary, evil = tmp_path / "canary", tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {canary}\n")
    evil.chmod(evil.stat().st_mode | stat.S_IXUSR)
    definition = Definition("Function", "function", "a.py", "f", "f", 0, 1, 1, 1, 4, "Python", 1, "", "def f()")
    settings = f'python-interpreter-path = "{evil}"\nproject-excludes = ["**"]\n'
    files = {
        "a.py": "def f(): pass\nf()\n",
        "pyrefly.toml": settings,
        "pyproject.toml": "[tool.pyrefly]\n" + settings,
        "pyrightconfig.json": '{"exclude": ["**"]}',
        ".gitignore": "*\n",
    }

    with private_folder(place_for(ROOM)) as room:
        found = await read(room, files, [definition])

    assert found.pairs("CALLS", "a.py") == {("a.py", "f")}
    assert not canary.exists()


async def test_a_tree_without_python_starts_no_program(tmp_path: Path) -> None:
    engine = Pyrefly(Path("/nonexistent"), Limits(seconds=5))
    shadow = copied(tmp_path, {"a.go": "package a\n"})

    await engine.prepare(shadow.tree, folder(tmp_path, "work"))
    found = await engine.references(shadow.tree, tmp_path / "work", [], silent)

    assert not found.found


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Path]:
    """Stands where Pyrefly stands; what it does, each test writes."""
    path = tmp_path / "script"
    path.touch(mode=0o700)
    yield path
    assert not [one for one in psutil.Process().children(recursive=True) if str(path) in " ".join(one.cmdline())]


def prepared(root: Path, script: Path, text: str, seconds: float = 30) -> "asyncio.Task[None]":
    script.write_text(f"#!/bin/sh\n{text}\n")
    tree = copied(root, {"a.py": "def f(): pass\n"}).tree
    return asyncio.create_task(Pyrefly(script, Limits(seconds=seconds)).prepare(tree, folder(root, "work")))


async def test_a_program_that_is_killed_from_outside_may_be_tried_again(tmp_path: Path, script: Path) -> None:
    running = prepared(tmp_path, script, f"echo $$ > {tmp_path}/pid; exec /bin/sleep 60")
    pid = tmp_path / "pid"

    async def started() -> bool:
        return pid.exists() and pid.read_text().endswith("\n")

    await wait_until(started, "the program has started")
    os.kill(int(pid.read_text()), signal.SIGKILL)

    with pytest.raises(EngineKilled, match="SIGKILL"):
        await running


@pytest.mark.parametrize(
    ("text", "seconds", "said"),
    [
        ("exec /bin/sleep 60", 0.3, "took longer than 0.3 s"),
        ("echo no such option >&2; exit 2", 30, "exit code 2: no such option"),
        ("exit 0", 30, "wrote no report"),
    ],
)
async def test_a_program_that_fails_is_named_with_the_reason(
    tmp_path: Path, script: Path, text: str, seconds: float, said: str
) -> None:
    with pytest.raises(EngineFailed, match=said) as raised:
        await prepared(tmp_path, script, text, seconds)

    assert not isinstance(raised.value, EngineKilled)


@pytest.mark.parametrize("report", ["{", "[]", '{"format_version": 2, "modules": {}}'])
async def test_a_report_that_is_not_as_expected_is_refused(tmp_path: Path, script: Path, report: str) -> None:
    await prepared(tmp_path, script, f"echo '{report}' > report/pyrefly.pysa.json")
    engine = Pyrefly(script, Limits(seconds=5))

    with pytest.raises(EngineFailed, match="Pyrefly wrote"):
        await engine.references(tmp_path / "tree", tmp_path / "work", [], silent)
