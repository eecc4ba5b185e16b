"""Pyrefly's report: its definitions, matched to ours, and its call graphs, file by file."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from codestory_blarify.engines.places import Found, Places
from codestory_blarify.references import EngineFailed

_FORMAT = 1
_ContentT = TypeVar("_ContentT")


class ClassRef(TypedDict):
    module_id: int
    class_id: int
    class_name: str


class FunctionRef(TypedDict):
    module_id: int
    function_id: str
    function_name: str


class Target(TypedDict, total=False):
    """What may be called. `target`: under Function the function itself, under Overrides it or one that overrides it."""

    target: dict[str, FunctionRef] | str
    receiver_class: ClassRef
    implicit_dunder_call: bool


class Entry(TypedDict, total=False):
    """What the report says of one expression."""

    call_targets: list[Target]
    init_targets: list[Target]
    new_targets: list[Target]
    property_getters: list[Target]
    property_setters: list[Target]
    targets: list[Target]
    if_called: "Entry"


#: By caller, then by place and kind of the expression, then by the kind of the entry.
CallGraphs = dict[str, dict[str, dict[str, Entry]]]


class _CallGraphFile(TypedDict):
    call_graphs: CallGraphs


class _Module(TypedDict):
    module_id: int
    source_path: dict[str, str]
    info_filename: str | None


class _Index(TypedDict):
    format_version: int
    modules: dict[str, _Module]


class _Function(TypedDict, total=False):
    name: str
    name_location: str
    parent: str | dict[str, dict[str, int]]
    overridden_base_method: FunctionRef


class _Class(TypedDict):
    class_id: int
    name: str
    name_location: str
    parent: str | dict[str, dict[str, int]]
    bases: NotRequired[list[ClassRef]]


class _DefinitionFile(TypedDict):
    function_definitions: dict[str, _Function]
    class_definitions: dict[str, _Class]


_index = TypeAdapter(_Index)
_definition_file = TypeAdapter(_DefinitionFile)
_call_graph_file = TypeAdapter(_CallGraphFile)

#: Module and id: a function's `F:3`, a class's `CTL:3`, as callers are named.
Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Known:
    """A definition of the report. `index`: ours, if we have it. `parent`: what it stands in; None: the file."""

    index: int | None
    parent: Key | None
    line: int


class Report:
    """Raises EngineFailed if it is not as expected."""

    def __init__(self, folder: Path, tree: Path, places: Places) -> None:
        self._folder = folder
        self._files: dict[int, tuple[str, str]] = {}
        self.known: dict[Key, Known] = {}
        self._bases: dict[int, list[ClassRef]] = {}
        self._overridden: dict[int, FunctionRef] = {}
        top = Path(os.path.realpath(tree))
        for module in self._modules():
            path = Path(module["source_path"].get("FileSystem", "/"))
            name = module["info_filename"]  # of a module that it could do nothing with there is none
            if name and path.is_relative_to(top):
                self._files[module["module_id"]] = (path.relative_to(top).as_posix(), name)
        for number, (path, name) in self._files.items():
            self._define(number, path, name, places)

    def _modules(self) -> list[_Module]:
        index = _read(_index, self._folder / "pyrefly.pysa.json")
        if index is None or index["format_version"] != _FORMAT:
            raise EngineFailed("Pyrefly wrote no report in the format that this version reads")
        return list(index["modules"].values())

    def _define(self, number: int, path: str, name: str, places: Places) -> None:
        content = _read(_definition_file, self._folder / "definitions" / name)
        if content is None:
            return
        classes = {f"CTL:{one['class_id']}": one for one in content["class_definitions"].values()}
        placed = {
            key: one for key, one in (content["function_definitions"] | classes).items() if "name_location" in one
        }
        names = _Names(placed)
        found = [Found(*_start(one["name_location"]), names.of(key)) for key, one in placed.items()]
        for (key, one), at, index in zip(placed.items(), found, places.match(path, found), strict=True):
            self.known[number, key] = Known(index, _parent(number, one), at.line)
            if index is not None and "bases" in one:
                self._bases[index] = one["bases"]
            if index is not None and "overridden_base_method" in one:
                self._overridden[index] = one["overridden_base_method"]

    @property
    def paths(self) -> set[str]:
        return {path for path, _ in self._files.values()}

    def call_graphs(self) -> Iterator[tuple[int, str, CallGraphs]]:
        """Module, path of its file, call graphs: one file of the report at a time."""
        for number, (path, name) in sorted(self._files.items(), key=lambda item: item[1]):
            content = _read(_call_graph_file, self._folder / "call_graphs" / name)
            yield number, path, content["call_graphs"] if content else {}

    def function(self, reference: FunctionRef) -> Known | None:
        return self.known.get((reference["module_id"], reference["function_id"]))

    def of_class(self, reference: ClassRef) -> int | None:
        known = self.known.get((reference["module_id"], f"CTL:{reference['class_id']}"))
        return known.index if known else None

    def around(self, key: Key | None) -> Iterator[Key]:
        """The definition of this key and those that it stands in, from the inside."""
        while key and (known := self.known.get(key)):
            yield key
            key = known.parent

    def bases(self) -> dict[int, list[int]]:
        """The base classes of each class."""
        found = {index: [self.of_class(one) for one in bases] for index, bases in self._bases.items()}
        return {index: [base for base in bases if base is not None] for index, bases in found.items()}

    def overridden(self) -> Iterator[tuple[int, int]]:
        """A method and the one that it overrides."""
        for index, reference in self._overridden.items():
            base = self.function(reference)
            if base and base.index is not None:
                yield index, base.index


class _Names:
    """Qualified names within one file, by key."""

    def __init__(self, placed: dict[str, _Function | _Class]) -> None:
        self._placed = placed

    def of(self, key: str) -> str:
        parts: list[str] = []
        at: Key | None = (0, key)
        while at and (one := self._placed.get(at[1])):
            parts.append(one.get("name", ""))
            at = _parent(0, one)
        return ".".join(reversed(parts))


def _parent(module: int, one: _Function | _Class) -> Key | None:
    match one.get("parent"):
        case {"Class": {"class_id": number}}:
            return module, f"CTL:{number}"
        case {"Function": {"func_def_index": number}}:
            return module, f"F:{number}"
        case _:
            return None


def _start(location: str) -> tuple[int, int]:
    """Line from 1, column from 0, of `3:5-3:9`."""
    line, column = location.partition("-")[0].split(":")
    return int(line), int(column) - 1


def _read(kind: TypeAdapter[_ContentT], path: Path) -> _ContentT | None:
    """None if there is no such file: the report leaves out what is empty."""
    try:
        return kind.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise EngineFailed(f"Pyrefly wrote a report that cannot be read: {error.errors()[0]['msg']}") from error
