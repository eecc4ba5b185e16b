"""Decides what every mention in the documents means: which relationships there are, and on what evidence."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from codestory_docgrapher import docstrings, words
from codestory_docgrapher.document import Document, Kind, Mention
from codestory_docgrapher.modules import NO_CODE, Code
from codestory_docgrapher.names import IMPORT_PATH, Meaning, Meant, Names, Said
from codestory_docgrapher.places import (
    Documents,
    Files,
    Found,
    Missing,
    Place,
    Resolution,
    Symbol,
    document_place,
    within,
)

LINKS_TO = "LINKS_TO"
DESCRIBES = "DESCRIBES"

#: A path among the words of a line of code, or of prose.
_IN_CODE = 0.5
_IN_PROSE = 0.9
#: What code imports it uses, and does not yet describe; the code of a notebook is hardly documentation.
_IMPORTED = {Kind.IMPORT: 0.7, Kind.CELL_IMPORT: 0.5}

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")
_NAME = re.compile(r"[~!@.]?((?:[^\W\d]|\$)[\w$]*(?:(?:\.|::|#)(?:[^\W\d]|\$)[\w$]*)*)(?:\(.*\))?", re.DOTALL)
_LINE_NUMBER = re.compile(r"(:\d+(-\d+)?(:\d+)?|#L\d+(-L?\d+)?)$")
#: What Sphinx makes itself and no document has.
_MADE_BY_SPHINX = frozenset({"genindex", "modindex", "py-modindex", "search"})

#: Kept of the evidence for one relationship; the rest would say the same again.
_TEXTS = 20
_TEXT_CHARS = 200
_LINES = 500
#: Broken links named on their document.
_BROKEN = 20
#: Patterns of one toctree that are looked for.
_PATTERNS = 50


@dataclass(frozen=True, slots=True)
class Relation:
    """A relationship with all evidence there is for it; `confidence` is the best of it."""

    type: str
    source: Place
    target: Place
    evidence: tuple[str, ...]
    texts: tuple[str, ...]
    confidence: float
    lines: tuple[int, ...]


@dataclass
class Links:
    """`counts` by name; `broken`: a document's path and the first of its links that lead nowhere."""

    relations: list[Relation] = field(default_factory=list[Relation])
    counts: Counter[str] = field(default_factory=Counter[str])
    broken: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


def link(
    documents: Sequence[Document],
    files: Collection[str],
    code: Code = NO_CODE,
    documented: Iterable[tuple[Symbol, Place]] = (),
) -> Links:
    """Every relationship once, in an order that depends on the content alone.

    `documented`: the symbols whose docstrings are read for mentions too, each with the section made of it.
    """
    linker = _Linker(documents, files, code)
    for document in documents:
        linker.read(document)
    for symbol, place in documented:
        linker.read_docstring(symbol, place)
    return linker.links()


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a mention stands.

    `bound`: the import paths of the names that the document's code imports. `about`: path and qualified name of the
    symbol that a docstring is of.
    """

    place: Place
    bound: Mapping[str, str] = field(default_factory=dict[str, str])
    about: tuple[str, str] = ("", "")

    @property
    def folder(self) -> str:
        return self.place.path.rpartition("/")[0]


@dataclass
class _Evidence:
    kinds: set[str] = field(default_factory=set[str])
    texts: set[str] = field(default_factory=set[str])
    lines: set[int] = field(default_factory=set[int])
    confidence: float = 0.0


class _Linker:
    def __init__(self, documents: Iterable[Document], files: Collection[str], code: Code) -> None:
        self._files = Files(files)
        self._names = Names(code, files)
        self._summaries = code.summaries
        self._documents = Documents(documents, self._files)
        self._found: dict[tuple[str, Place, Place], _Evidence] = {}
        self._counts: Counter[str] = Counter()
        self._broken: dict[str, list[str]] = {}
        self._patterns = 0

    def read(self, document: Document) -> None:
        self._patterns = 0
        bound = {mention.alias: mention.target for _, mention in reversed(document.mentions) if mention.alias}
        for anchor, mention in document.mentions:
            origin = _Origin(document_place(document, anchor), bound)
            if not self._name(origin, mention):
                self._link(document, origin.place, mention)

    def read_docstring(self, symbol: Symbol, place: Place) -> None:
        origin = _Origin(place, about=(symbol.path, symbol.qualified_name))
        for mention in docstrings.mentions(symbol):
            self._name(origin, mention)

    def links(self) -> Links:
        relations = [_relation(*item) for item in sorted(self._found.items(), key=lambda item: item[0])]
        for relation in relations:
            self._count(relation)
        return Links([*relations, *self._of_summaries(relations)], self._counts, self._broken)

    def _of_summaries(self, relations: Iterable[Relation]) -> Iterator[Relation]:
        """What describes a file or symbol describes what its summary says, on the same evidence."""
        for relation in relations:
            target = relation.target
            summary = self._summaries.get((target.label, target.id or target.path))
            if relation.type == DESCRIBES and summary:
                self._counts["describes.summaries"] += 1
                yield replace(relation, target=Place("Summary", target.path, id=summary))

    def _count(self, relation: Relation) -> None:
        if relation.type == LINKS_TO:
            self._counts["links"] += 1
            return
        self._counts["describes"] += 1
        self._counts["describes.files" if relation.target.label == "File" else "describes.symbols"] += 1
        if docstrings.is_place_of(relation.source):
            self._counts["describes.from_docstrings"] += 1
        for kind in relation.evidence:
            self._counts[f"describes.{kind}"] += 1

    def _name(self, origin: _Origin, mention: Mention) -> bool:
        """Whether the mention is a name, not a link; then it has been looked up."""
        match mention.kind:
            case Kind.CODE:
                self._code(origin, mention)
            case Kind.SYMBOL:
                self._symbol(origin, mention)
            case Kind.MODULE:
                self._meant(origin, mention, self._names.exactly(mention.target.strip(), mention.scopes))
            case Kind.IMPORT | Kind.CELL_IMPORT:
                self._import(origin, mention)
            case Kind.PATH | Kind.BLOCK:
                self._path(origin, mention)
            case _:
                return False
        return True

    def _link(self, document: Document, source: Place, mention: Mention) -> None:
        if mention.kind is Kind.TOCTREE and any(character in mention.target for character in "*?["):
            self._pattern(document, source, mention)
            return
        resolution = self._resolve(document, mention)
        if isinstance(resolution, Found):
            self._add(LINKS_TO, source, resolution, mention)
            if resolution.place.label == "File" and mention.kind is not Kind.IMAGE:
                self._describe(_Origin(source), resolution, mention, "path")
        elif resolution is not Missing.UNKNOWN:
            self._counts[f"links.{resolution}"] += 1
            if resolution is Missing.BROKEN:
                named = self._broken.setdefault(document.path, [])
                named += [f"{mention.line}: {mention.target[:_TEXT_CHARS]}"] * (len(named) < _BROKEN)

    def _resolve(self, document: Document, mention: Mention) -> Resolution:
        target = mention.target.strip()
        if _SCHEME.match(target):
            return Missing.EXTERNAL
        match mention.kind:
            case Kind.REF:
                return Missing.UNKNOWN if target in _MADE_BY_SPHINX else self._documents.labelled(document, target)
            case Kind.DOC | Kind.TOCTREE:
                known = target in _MADE_BY_SPHINX
                return Missing.UNKNOWN if known else self._documents.by_sphinx_name(document, target)
            case _:
                return self._relative(document, target)

    def _relative(self, document: Document, target: str) -> Resolution:
        path, _, fragment = target.partition("#")
        path, fragment = unquote(path.partition("?")[0]), unquote(fragment)
        if not path:
            return self._anchor(document, fragment)
        folders = self._documents.folders(document, path)
        if path.startswith("/"):
            # Hosts of repositories take it for the repository's root, Sphinx for its project's.
            folders = ["", *folders]
        resolution: Resolution = Missing.BROKEN
        for folder in folders:
            whole = within(folder, path)
            if whole is not None:
                is_pattern = whole.endswith(".*")
                resolution = self._documents.image(whole) if is_pattern else self._documents.at(whole, fragment)
            if resolution is not Missing.BROKEN:
                break
        return resolution

    def _anchor(self, document: Document, fragment: str) -> Resolution:
        """A place in the same document."""
        if fragment in {"", "top"}:
            return Missing.UNKNOWN
        found = self._documents.anchored(document, fragment)
        return found if found.confidence == 1.0 else Missing.BROKEN

    def _pattern(self, document: Document, source: Place, mention: Mention) -> None:
        self._patterns += 1
        if self._patterns <= _PATTERNS:
            for found in self._documents.by_pattern(document, mention.target):
                self._add(LINKS_TO, source, found, mention)

    def _code(self, origin: _Origin, mention: Mention) -> None:
        written = _LINE_NUMBER.sub("", mention.target.strip())
        if len(written.split()) != 1:
            self._commands(origin, mention)
            return
        resolution = self._files.exactly(written, origin.folder)
        if resolution is Missing.UNKNOWN and "." in written.strip("."):
            resolution = self._files.by_suffix(written)
        if resolution is Missing.UNKNOWN:
            self._symbol(origin, mention)
        elif resolution is Missing.AMBIGUOUS:
            self._counts["mentions.ambiguous"] += 1
        elif isinstance(resolution, Found):
            self._describe(origin, resolution, mention, Kind.CODE)

    def _commands(self, origin: _Origin, mention: Mention) -> None:
        """`python src/run.py --now` names a file too."""
        for word, _ in words.paths(mention.target):
            if "/" in word:
                resolution = self._files.exactly(word, origin.folder)
                self._describe(origin, resolution, mention, Kind.CODE, weight=_IN_CODE)

    def _path(self, origin: _Origin, mention: Mention) -> None:
        in_code = mention.kind is Kind.BLOCK
        if in_code and "/" not in mention.target:
            return
        resolution = self._files.exactly(mention.target, origin.folder)
        self._describe(origin, resolution, mention, mention.kind, weight=_IN_CODE if in_code else _IN_PROSE)

    def _symbol(self, origin: _Origin, mention: Mention) -> None:
        match = _NAME.fullmatch(mention.target.strip())
        if match is None:
            return
        name = match.group(1).replace("::", ".").replace("#", ".")
        marked = mention.kind is Kind.SYMBOL
        said = Said(name, mention.scopes, marked=marked, label=mention.label, bound=origin.bound)
        self._meant(origin, mention, self._names.meaning(said))

    def _import(self, origin: _Origin, mention: Mention) -> None:
        meaning = self._names.exactly(mention.target)
        if isinstance(meaning, Meant):
            certainty = min(meaning.found.confidence, _IMPORTED[mention.kind])
            evidence = IMPORT_PATH if mention.kind is Kind.IMPORT else mention.kind
            self._describe(origin, Found(meaning.found.place, certainty), mention, evidence)

    def _meant(self, origin: _Origin, mention: Mention, meaning: Meaning) -> None:
        if meaning is Missing.AMBIGUOUS:
            self._counts["mentions.ambiguous"] += 1
        elif isinstance(meaning, Meant):
            self._describe(origin, meaning.found, mention, meaning.evidence)

    def _describe(
        self, origin: _Origin, resolution: Resolution, mention: Mention, evidence: str, weight: float = 1.0
    ) -> None:
        """A document does not describe its own file, nor a docstring its own symbol: that is DOCUMENTED_BY."""
        if not isinstance(resolution, Found):
            return
        place = resolution.place
        own_file = place.label == "File" and place.path == origin.place.path
        if not own_file and (place.path, self._names.qualified_name(place)) != origin.about:
            found = Found(place, resolution.confidence * weight)
            self._add(DESCRIBES, origin.place, found, mention, evidence)

    def _add(self, type_: str, source: Place, found: Found, mention: Mention, evidence: str = "") -> None:
        target = found.place
        if target == source or (target.label == "Document" and target.path == source.path):
            return
        known = self._found.setdefault((type_, source, target), _Evidence())
        known.kinds.add(str(evidence or mention.kind))
        known.texts.add(mention.target.strip()[:_TEXT_CHARS])
        known.lines.add(mention.line)
        known.confidence = max(known.confidence, found.confidence)


def _relation(key: tuple[str, Place, Place], evidence: _Evidence) -> Relation:
    return Relation(
        *key,
        evidence=tuple(sorted(evidence.kinds)),
        texts=tuple(sorted(evidence.texts)[:_TEXTS]),
        confidence=round(evidence.confidence, 3),
        lines=tuple(sorted(evidence.lines)[:_LINES]),
    )
