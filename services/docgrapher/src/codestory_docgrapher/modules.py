"""The import paths of a repository: which file is which module, and what can be imported from it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from codestory_docgrapher.places import Found, Missing, Place, Resolution, Symbol

#: How sure an import path is: it leads to a definition itself, to what its module imports, to what its class inherits.
_DEFINED, _IMPORTED, _INHERITED = 0.95, 0.9, 0.8

#: Modules may import from each other in a circle.
_HOPS = 8
#: Longer than this is no import path that anybody wrote; and a class has not so many above it.
_PATH_CHARS, _ANCESTORS = 500, 200
_PACKAGE = "__init__"
#: A stub says the same as the module beside it.
_SUFFIXES = (".py", ".pyi")


@dataclass(frozen=True, slots=True)
class Import:
    """The file at `path` imports a symbol (by its id) or a whole file (by its path) under these names."""

    path: str
    names: tuple[str, ...]
    symbol: str = ""
    file: str = ""


@dataclass(frozen=True)
class Code:
    """What other steps have put into the graph of the code.

    `bases`: the ids of a class and of those that it inherits from. `summaries`: the id of the Summary by label and id
    of what it is of; of a file by its path.
    """

    symbols: Sequence[Symbol] = ()
    imports: Sequence[Import] = ()
    bases: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    summaries: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])


#: Nothing is known of the code.
NO_CODE = Code()


class Members:
    """The symbols by file and name, those that a class inherits too. Equals in one file count as one, the first."""

    def __init__(self, code: Code) -> None:
        self.all: list[Symbol] = []
        self._by_place: dict[tuple[str, str], Symbol] = {}
        self._by_id: dict[str, Symbol] = {}
        self._bases = code.bases
        for symbol in sorted(code.symbols, key=lambda symbol: (symbol.path, symbol.start_line, symbol.id)):
            key = (symbol.path, symbol.qualified_name)
            if key not in self._by_place:
                self.all.append(symbol)
            self._by_id[symbol.id] = self._by_place.setdefault(key, symbol)

    def by_id(self, id_: str) -> Symbol | None:
        return self._by_id.get(id_)

    def at(self, path: str, qualified_name: str) -> Symbol | None:
        return self._by_place.get((path, qualified_name))

    def is_local(self, symbol: Symbol) -> bool:
        """It stands within a function: nobody outside can name it."""
        scope = symbol.qualified_name.rpartition(".")[0]
        while scope:
            around = self.at(symbol.path, scope)
            if around is not None and around.label != "Class":
                return True
            scope = scope.rpartition(".")[0]
        return False

    def below(self, symbol: Symbol, rest: str) -> Symbol | None:
        """What a class has by this name, itself or by inheritance; the nearest. None where two are equally near."""
        level, seen = [symbol.id], {symbol.id}
        while level and len(seen) <= _ANCESTORS:
            classes = [known for id_ in level if (known := self._by_id.get(id_))]
            found = [member for known in classes if (member := self.at(known.path, f"{known.qualified_name}.{rest}"))]
            if found:
                return found[0] if len({member.id for member in found}) == 1 else None
            level = sorted({base for id_ in level for base in self._bases.get(id_, ())} - seen)
            seen.update(level)
        return None


class Modules:
    """What import paths lead to."""

    def __init__(self, code: Code, members: Members, files: Iterable[str]) -> None:
        self._members = members
        self._names: dict[str, str] = {}
        self._paths: dict[str, list[str]] = {}
        self._imported: dict[tuple[str, str], set[Symbol | str]] = {}
        self._starred: dict[str, list[str]] = {}
        for path, module in _modules(code.symbols, files):
            self._names[path] = module
            self._paths.setdefault(module, []).append(path)
        for one in code.imports:
            self._add(one)

    def name_of(self, path: str) -> str:
        """The import path of a file; empty where it has none."""
        return self._names.get(path, "")

    def at(self, import_path: str) -> Resolution:
        """The file or symbol that exactly this import path leads to."""
        parts = import_path.split(".") if len(import_path) <= _PATH_CHARS else []
        for cut in range(len(parts), 0, -1):
            paths = self._paths.get(".".join(parts[:cut]))
            if paths:
                found = {one for path in paths if (one := self._in_file(path, parts[cut:]))}
                if found:
                    return found.pop() if len(found) == 1 else Missing.AMBIGUOUS
        return Missing.UNKNOWN

    def packages(self) -> Iterator[tuple[str, Symbol]]:
        """What packages import to offer it themselves: the import path that this gives a symbol, and the symbol."""
        for (path, name), targets in self._imported.items():
            module = self._names.get(path)
            if module and path.rpartition("/")[2].startswith(_PACKAGE) and len(targets) == 1:
                [target] = targets
                if isinstance(target, Symbol):
                    yield f"{module}.{name}", target

    def _add(self, one: Import) -> None:
        target = self._members.by_id(one.symbol) if one.symbol else one.file
        if not target:
            return
        for name in one.names:
            if name == "*" and isinstance(target, str):
                self._starred.setdefault(one.path, []).append(target)
            elif isinstance(target, Symbol) or name.rpartition(".")[0] == "":
                self._imported.setdefault((one.path, name), set()).add(target)

    def _in_file(self, path: str, rest: Sequence[str], hops: int = _HOPS) -> Found | None:
        if not rest:
            return Found(Place("File", path), _DEFINED if hops == _HOPS else _IMPORTED)
        found = self._defined(path, rest)
        if found is None and hops:
            found = self._imported_by(path, rest, hops)
        if found is not None and hops < _HOPS:
            return Found(found.place, min(found.confidence, _IMPORTED))
        return found

    def _defined(self, path: str, rest: Sequence[str]) -> Found | None:
        own = self._members.at(path, ".".join(rest))
        if own is not None:
            return Found(symbol_place(own), _DEFINED)
        for cut in range(len(rest) - 1, 0, -1):
            owner = self._members.at(path, ".".join(rest[:cut]))
            if owner is not None:
                return self._inherited(owner, rest[cut:])
        return None

    def _inherited(self, owner: Symbol, rest: Sequence[str]) -> Found | None:
        member = self._members.below(owner, ".".join(rest))
        return Found(symbol_place(member), _INHERITED) if member else None

    def _imported_by(self, path: str, rest: Sequence[str], hops: int) -> Found | None:
        targets = self._imported.get((path, rest[0]), set())
        found = {one for target in targets if (one := self._in_import(target, rest[1:], hops - 1))}
        if not targets:
            found = {one for target in self._starred.get(path, ()) if (one := self._in_file(target, rest, hops - 1))}
        return found.pop() if len(found) == 1 else None

    def _in_import(self, target: Symbol | str, rest: Sequence[str], hops: int) -> Found | None:
        if isinstance(target, str):
            return self._in_file(target, rest, hops)
        if not rest:
            return Found(symbol_place(target), _IMPORTED)
        own = self._members.at(target.path, ".".join((target.qualified_name, *rest)))
        return Found(symbol_place(own), _IMPORTED) if own else self._inherited(target, rest)


def symbol_place(symbol: Symbol) -> Place:
    return Place(symbol.label, symbol.path, id=symbol.id)


def _modules(symbols: Iterable[Symbol], files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The import path of each Python file and of whatever else is said to have one.

    Symbols say that of their own file. A file without any is seen from the same folder as they are, else from the
    folder above the last one with an `__init__.py`.
    """
    known = {symbol.path: symbol.module for symbol in symbols if symbol.module}
    roots = {root for path, module in known.items() if (root := _root(path, module)) is not None}
    there = frozenset(files)
    for path in sorted(there | known.keys()):
        stem, dot, suffix = path.rpartition(".")
        if path in known:
            yield path, known[path]
        elif dot + suffix == _SUFFIXES[0] or (dot + suffix == _SUFFIXES[1] and stem + _SUFFIXES[0] not in there):
            module = _dotted(stem, roots, there)
            if module:
                yield path, module


def _root(path: str, module: str) -> str | None:
    """The folder that a file's import path starts from: `src/flask/app.py` is `flask.app` from `src/`."""
    stem = path.rpartition(".")[0].removesuffix(f"/{_PACKAGE}")
    tail = module.replace(".", "/")
    whole = stem == tail or stem.endswith("/" + tail)
    return stem[: len(stem) - len(tail)] if whole else None


def _dotted(stem: str, roots: Iterable[str], files: frozenset[str]) -> str:
    above = [root for root in roots if stem.startswith(root)]
    if above:
        rest = stem[len(max(above, key=len)) :]
    else:
        folder, _, rest = stem.rpartition("/")
        while folder and f"{folder}/{_PACKAGE}.py" in files:
            rest, folder = f"{folder.rpartition('/')[2]}/{rest}", folder.rpartition("/")[0]
    parts = rest.split("/")
    if len(parts) > 1 and parts[-1] == _PACKAGE:
        parts.pop()
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""
