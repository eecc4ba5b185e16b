"""Decides which symbol or module a name means, as documentation writes it; on what evidence, and how surely."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from codestory_docgrapher.modules import Code, Members, Modules, symbol_place
from codestory_docgrapher.places import SAMPLE_FOLDERS, Found, Missing, Place, Symbol

#: Evidence: an import path leads there; the whole name within its file is given; a name alone, or its last parts.
IMPORT_PATH, QUALIFIED_NAME, CODE_SPAN, MARKUP = "import_path", "qualified_name", "code_span", "markup"

#: How sure each is. A name in the scope that the markup around it says, an import path but for its first parts, a name
#: with its scope (`Flask.run`), the same of a member that is inherited.
_IN_SCOPE, _LAST_PARTS, _QUALIFIED, _INHERITED = 0.9, 0.75, 0.85, 0.7
#: A name alone: marked as a symbol's, spelled like one, or any word.
_MARKED, _SPELLED, _WORD = 0.65, 0.6, 0.4
#: Several have the name, but only one is neither in tests nor within a class.
_LIKELIEST = 0.6

#: The same of what stands among tests: no more than this.
_AMONG_SAMPLES = 0.3

#: More symbols of one name are not told apart by the last parts of their import paths.
_NAMESAKES = 500

_CODE_NAME = re.compile(r"_|[a-z][A-Z]|[A-Z]{2}[a-z]")
#: Python's own, whatever a repository calls so too.
_BUILT_IN = re.compile(
    r"None|True|False|bool|bytes|callable|classmethod|complex|dict|dir|enumerate|eval|exec|filter|float|format|frozenset"
    r"|getattr|hasattr|hash|help|hex|id|input|int|isinstance|iter|len|list|map|max|min|next|object|open|ord|pow|print"
    r"|property|range|repr|reversed|round|self|set|setattr|slice|sorted|staticmethod|str|sum|super|tuple|type|vars|zip"
    r"|(Key|Value|Type|Index|Attribute|Runtime|OS|Import|Lookup)Error|Exception"
)


@dataclass(frozen=True, slots=True)
class Meant:
    found: Found
    evidence: str


Meaning = Meant | Missing


@dataclass(frozen=True, slots=True)
class Said:
    """A name and what its markup says of it.

    `scopes`: import paths it may stand below. `marked`: as a symbol's name. `label`: as that of a Class. `bound`: the
    import paths of the names that the document's own code imports.
    """

    name: str
    scopes: tuple[str, ...] = ()
    marked: bool = False
    label: str = ""
    bound: Mapping[str, str] | None = None


class Names:
    """The symbols and modules of a repository, found by what people write for them."""

    def __init__(self, code: Code, files: Iterable[str]) -> None:
        self._members = Members(code)
        self.modules = Modules(code, self._members, files)
        self._by_name: dict[str, list[Symbol]] = {}
        self._by_qualified_name: dict[str, list[Symbol]] = {}
        self._offered: dict[str, list[tuple[str, Symbol]]] = {}
        for symbol in self._members.all:
            if not self._members.is_local(symbol):
                self._by_name.setdefault(symbol.name, []).append(symbol)
                self._by_qualified_name.setdefault(symbol.qualified_name, []).append(symbol)
        for path, symbol in self.modules.packages():
            self._offered.setdefault(path.rpartition(".")[2], []).append((path, symbol))

    def qualified_name(self, place: Place) -> str:
        symbol = self._members.by_id(place.id)
        return symbol.qualified_name if symbol else ""

    def exactly(self, import_path: str, scopes: Sequence[str] = ()) -> Meaning:
        """By an import path alone."""
        resolution = self.modules.at(import_path)
        for scope in scopes:
            if isinstance(resolution, Found):
                break
            resolution = self.modules.at(f"{scope}.{import_path}")
        return Meant(resolution, IMPORT_PATH) if isinstance(resolution, Found) else resolution

    def meaning(self, said: Said) -> Meaning:
        """The first that says something: the scopes around, an import path, the document's imports, the name."""
        ways = (self._in_scope, self._as_import_path, self._as_bound, self._as_qualified, self._as_last_parts)
        for way in ways if "." in said.name else (self._in_scope, self._as_bound, self._alone):
            meaning = way(said)
            if meaning is not Missing.UNKNOWN:
                return meaning
        return Missing.UNKNOWN

    def _in_scope(self, said: Said) -> Meaning:
        for scope in said.scopes:
            resolution = self.modules.at(f"{scope}.{said.name}")
            if isinstance(resolution, Found):
                return Meant(_at_most(resolution, _IN_SCOPE), IMPORT_PATH)
        for scope in said.scopes:
            meaning = self._as_qualified(replace(said, name=f"{scope}.{said.name}"))
            if isinstance(meaning, Meant):
                return meaning
        return Missing.UNKNOWN

    def _as_import_path(self, said: Said) -> Meaning:
        return self.exactly(said.name)

    def _as_bound(self, said: Said) -> Meaning:
        first, dot, rest = said.name.partition(".")
        path = (said.bound or {}).get(first)
        resolution = self.modules.at(f"{path}{dot}{rest}") if path else Missing.UNKNOWN
        return (
            Meant(_at_most(resolution, _QUALIFIED), IMPORT_PATH) if isinstance(resolution, Found) else Missing.UNKNOWN
        )

    def _as_qualified(self, said: Said) -> Meaning:
        """`Flask.run`: a name with its scope; of the class itself, or of one that it inherits from."""
        scope, _, name = said.name.rpartition(".")
        own = self._by_qualified_name.get(said.name)
        if own:
            return _one(own, _QUALIFIED, QUALIFIED_NAME)
        owners = self._by_qualified_name.get(scope, ())
        inherited = self._members.below(owners[0], name) if len(owners) == 1 else None
        return _one([inherited] if inherited else [], _INHERITED, QUALIFIED_NAME)

    def _as_last_parts(self, said: Said) -> Meaning:
        """`app.Flask` and `models.Model`: an import path but for its first parts."""
        name = said.name.rpartition(".")[2]
        namesakes = self._by_name.get(name, ())
        if len(namesakes) > _NAMESAKES:
            return Missing.UNKNOWN
        found = {symbol.id: symbol for symbol in namesakes if _ends_with(_import_path(symbol), said.name)}
        found |= {symbol.id: symbol for path, symbol in self._offered.get(name, ()) if _ends_with(path, said.name)}
        return _one(list(found.values()), _LAST_PARTS, MARKUP if said.marked else CODE_SPAN)

    def _alone(self, said: Said) -> Meaning:
        if _BUILT_IN.fullmatch(said.name):
            return Missing.UNKNOWN
        candidates = self._by_name.get(said.name, ())
        if said.label:
            candidates = [symbol for symbol in candidates if symbol.label == said.label]
        spelled = _SPELLED if _CODE_NAME.search(said.name) else _WORD
        confidence, evidence = (_MARKED, MARKUP) if said.marked else (spelled, CODE_SPAN)
        meaning = _one(candidates, confidence, evidence)
        if isinstance(meaning, Meant) and _is_sample(meaning.found.place.path):
            return Meant(_at_most(meaning.found, _AMONG_SAMPLES), evidence)
        return meaning


def _one(symbols: Sequence[Symbol], confidence: float, evidence: str) -> Meaning:
    """The only one. Of several the only likely one, with less confidence; else none of them."""
    if not symbols:
        return Missing.UNKNOWN
    if len(symbols) > 1:
        confidence *= _LIKELIEST
        symbols = [symbol for symbol in symbols if not _is_sample(symbol.path)] or symbols
        symbols = [symbol for symbol in symbols if "." not in symbol.qualified_name] or symbols
    if len(symbols) > 1:
        return Missing.AMBIGUOUS
    return Meant(Found(symbol_place(symbols[0]), round(confidence, 3)), evidence)


def _is_sample(path: str) -> bool:
    return not SAMPLE_FOLDERS.isdisjoint(path.split("/")[:-1])


def _at_most(found: Found, confidence: float) -> Found:
    return Found(found.place, min(found.confidence, confidence))


def _import_path(symbol: Symbol) -> str:
    return f"{symbol.module}.{symbol.qualified_name}" if symbol.module else symbol.qualified_name


def _ends_with(path: str, parts: str) -> bool:
    return path == parts or path.endswith("." + parts)
