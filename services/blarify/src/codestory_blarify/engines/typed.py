"""References that Pyrefly's types tell: calls, objects made, properties read and written, functions passed about."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from codestory_blarify.definitions import Definition
from codestory_blarify.engines.collected import Collected
from codestory_blarify.engines.names import Names
from codestory_blarify.engines.report import CallGraphs, Entry, FunctionRef, Key, Report, Target
from codestory_blarify.engines.scopes import Variable
from codestory_blarify.engines.syntax import FileSyntax, Mention, Role

#: The last name of an expression, in the text before its end.
_CALLEE = re.compile(rb"([A-Za-z_\x80-\xff][\w\x80-\xff]*(?:\s*\.\s*[A-Za-z_\x80-\xff][\w\x80-\xff]*)*)\s*\(")
_LAST_NAME = re.compile(rb"([A-Za-z_\x80-\xff][\w\x80-\xff]*)\s*$")


_ENDS = {"__enter__": "__exit__", "__aenter__": "__aexit__"}


@dataclass(frozen=True)
class File:
    module: int
    path: str
    lines: Sequence[bytes]
    syntax: FileSyntax

    @cached_property
    def calls(self) -> dict[str, Mention]:
        """Those of something that may be a definition, by place."""
        return {one.place: one for one in self.syntax.mentions if one.role is Role.CALLED}


class _Site:
    """One expression of a call graph. `around`: the definitions that it stands in, the caller's first."""

    def __init__(self, file: File, key: str, around: Sequence[Key], source: int | str) -> None:
        self.place, _, self.kind = key.partition("|")
        self.line = int(self.place.partition(":")[0])
        self.around = around
        self.source = source
        self._file = file

    @property
    def implied(self) -> bool:
        """No name of what is called stands there: an operator, a loop, a `with`."""
        return self.kind.startswith("artificial")

    @property
    def decorates(self) -> bool:
        return self.kind.endswith("for-decorated-target")

    @property
    def last_name(self) -> str:
        """`create` of `shop.Order.create`; empty if the expression does not end with a name."""
        if self.kind.startswith("identifier|"):
            return self.kind.removeprefix("identifier|")
        line, column = map(int, self.place.partition("-")[2].split(":"))
        text = self._file.lines[line - 1][: column - 1] if line <= len(self._file.lines) else b""
        name = _LAST_NAME.search(text)
        return name[1].decode("utf-8", "replace") if name else ""

    @property
    def is_use(self) -> bool:
        """The base of a class and what is raised have references of their own."""
        return self.place not in self._file.syntax.not_uses

    def callee(self) -> list[str]:
        """What is called, if it is a name or attributes of one: `shop`, `Order`, `create`."""
        line, column = map(int, self.place.partition("-")[0].split(":"))
        text = self._file.lines[line - 1][column - 1 :] if line <= len(self._file.lines) else b""
        path = _CALLEE.match(text)
        return [part.strip().decode("utf-8", "replace") for part in path[1].split(b".")] if path else []

    def calls_variable(self) -> bool:
        """Whether the file itself puts in a variable what is called here by one name."""
        called = self._file.calls.get(self.place)
        bindings = called.scope.look_up(called.path[0]) or () if called else ()
        return called is None or any(isinstance(one, Variable) for one in bindings)


class TypedReferences:
    """Reads the call graphs of one file after the other into `collected`."""

    def __init__(self, report: Report, names: Names, definitions: Sequence[Definition], collected: Collected) -> None:
        self._report = report
        self._names = names
        self._definitions = definitions
        self._collected = collected

    def read(self, file: File, graphs: CallGraphs) -> set[str]:
        """The places of the calls that something of the repository answers."""
        answered: set[str] = set()
        for caller, entries in graphs.items():
            around = list(self._report.around((file.module, caller.replace("FDT:", "F:"))))
            owner = next((known for key in around if (known := self._report.known[key].index) is not None), None)
            for key, kinds in entries.items():
                inner = file.syntax.heads.get(key.partition("|")[0], owner)
                site = _Site(file, key, around, file.path if inner is None else inner)
                for kind, entry in kinds.items():
                    if self._read(kind, entry, site):
                        answered.add(site.place)
        return answered

    def _read(self, kind: str, entry: Entry, site: _Site) -> bool:
        match kind:
            case "Call" if site.decorates:
                self._mentions(entry, site)
            case "Call":
                return self._called(entry, site)
            case "FormatStringStringify":
                self._calls(entry.get("targets", ()), site)
            case "Identifier" | "AttributeAccess":
                self._calls(entry.get("property_getters", ()), site)
                self._calls(entry.get("property_setters", ()), site)
                self._mentions(entry.get("if_called", {}), site)
            case _:
                pass
        return False

    def _called(self, entry: Entry, site: _Site) -> bool:
        direct = [one for one in entry.get("call_targets", ()) if site.implied or not self._hides(one, site)]
        made = entry.get("init_targets", ())
        called = self._calls(direct, site)
        self._leaves(direct, site)
        constructors = self._calls([*made, *entry.get("new_targets", ())], site)
        return self._instantiates(made, site) or called or constructors

    def _hides(self, target: Target, site: _Site) -> bool:
        """A wrapper that a decorator put in the place of what the code names: `inner` of `def decorator(f)`. A reader
        wants the function that is named; a variable of the same file that holds a function has no better answer."""
        function = _function(target)
        known = self._report.function(function) if function else None
        if not function or not known or not known.parent or not known.parent[1].startswith("F:"):
            return False
        callee = site.callee()
        if known.parent in site.around or function["function_name"] in callee[-1:]:
            return False
        return len(callee) > 1 or (len(callee) == 1 and not site.calls_variable())

    def _calls(self, targets: Iterable[Target], site: _Site) -> bool:
        found = [index for one in targets if (index := self._index(one)) is not None]
        for index in found:
            self._collected.add("CALLS", site.source, index, site.line)
        return bool(found)

    def _leaves(self, targets: Iterable[Target], site: _Site) -> None:
        """A `with` also calls what ends it; the report has what begins it."""
        for target in targets if site.kind.endswith("with-enter") else ():
            function = _function(target)
            end = _ENDS.get(function["function_name"]) if function else None
            index = self._report.of_class(target["receiver_class"]) if "receiver_class" in target else None
            method = self._names.member_of_class(index, end) if index is not None and end else None
            if method is not None:
                self._collected.add("CALLS", site.source, method, site.line)

    def _instantiates(self, targets: Iterable[Target], site: _Site) -> bool:
        classes = [self._report.of_class(one["receiver_class"]) for one in targets if "receiver_class" in one]
        found = [index for index in classes if index is not None]
        for index in found:
            self._collected.add("INSTANTIATES", site.source, index, site.line)
        return bool(found)

    def _mentions(self, entry: Entry, site: _Site) -> None:
        """Functions and classes by their own names: what a variable may hold is no mention of it."""
        if not site.is_use:
            return
        named = site.last_name
        for target in entry.get("call_targets", ()):
            function = _function(target)
            if (
                function
                and not target.get("implicit_dunder_call")
                and (site.implied or function["function_name"] == named)
            ):
                self._uses(self._index(target), site)
        for target in entry.get("init_targets", ()):
            if "receiver_class" in target and target["receiver_class"]["class_name"] == named:
                self._uses(self._report.of_class(target["receiver_class"]), site)

    def _uses(self, index: int | None, site: _Site) -> None:
        if index is not None and (site.source == index or not same_name(self._definitions, site.source, index)):
            self._collected.add("USES", site.source, index, site.line)

    def _index(self, target: Target) -> int | None:
        function = _function(target)
        known = self._report.function(function) if function else None
        return known.index if known else None


def _function(target: Target) -> FunctionRef | None:
    match target.get("target"):
        case {"Function": function} | {"Overrides": function}:
            return function
        case _:
            return None


def same_name(definitions: Sequence[Definition], source: int | str, target: int) -> bool:
    """`@total.setter` before another `total` of the same class names what it adds to, and uses nothing."""
    if isinstance(source, str):
        return False
    ours, theirs = definitions[source], definitions[target]
    return (ours.path, ours.qualified_name) == (theirs.path, theirs.qualified_name)
