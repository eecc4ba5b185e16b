"""Decides what every mention in the documents means: which relationships there are, and on what evidence."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from codestory_docgrapher import words
from codestory_docgrapher.document import Document, Kind, Mention
from codestory_docgrapher.places import (
    Documents,
    Files,
    Found,
    Missing,
    Place,
    Resolution,
    Symbol,
    Symbols,
    document_place,
    within,
)

LINKS_TO = "LINKS_TO"
DESCRIBES = "DESCRIBES"

#: Evidence of a symbol that was named in full.
QUALIFIED_NAME = "qualified_name"

#: A path among the words of a line of code, or of prose.
_IN_CODE = 0.5
_IN_PROSE = 0.9

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


def link(documents: Sequence[Document], files: Collection[str], symbols: Iterable[Symbol] = ()) -> Links:
    """Every relationship once, in an order that depends on the content alone."""
    linker = _Linker(documents, files, symbols)
    for document in documents:
        linker.read(document)
    return linker.links()


@dataclass
class _Evidence:
    kinds: set[str] = field(default_factory=set[str])
    texts: set[str] = field(default_factory=set[str])
    lines: set[int] = field(default_factory=set[int])
    confidence: float = 0.0


class _Linker:
    def __init__(self, documents: Iterable[Document], files: Collection[str], symbols: Iterable[Symbol]) -> None:
        self._files = Files(files)
        self._symbols = Symbols(symbols)
        self._documents = Documents(documents, self._files)
        self._found: dict[tuple[str, Place, Place], _Evidence] = {}
        self._counts: Counter[str] = Counter()
        self._broken: dict[str, list[str]] = {}
        self._patterns = 0

    def read(self, document: Document) -> None:
        self._patterns = 0
        for anchor, mention in document.mentions:
            source = document_place(document, anchor)
            match mention.kind:
                case Kind.CODE:
                    self._code(document, source, mention)
                case Kind.SYMBOL:
                    self._symbol(source, mention)
                case Kind.PATH | Kind.BLOCK:
                    self._path(document, source, mention)
                case _:
                    self._link(document, source, mention)

    def links(self) -> Links:
        relations = [
            Relation(
                *key,
                evidence=tuple(sorted(evidence.kinds)),
                texts=tuple(sorted(evidence.texts)[:_TEXTS]),
                confidence=round(evidence.confidence, 3),
                lines=tuple(sorted(evidence.lines)[:_LINES]),
            )
            for key, evidence in sorted(self._found.items(), key=lambda item: item[0])
        ]
        for relation in relations:
            self._counts["links" if relation.type == LINKS_TO else "describes"] += 1
            for kind in relation.evidence if relation.type == DESCRIBES else ():
                self._counts[f"describes.{kind}"] += 1
        return Links(relations, self._counts, self._broken)

    def _link(self, document: Document, source: Place, mention: Mention) -> None:
        if mention.kind is Kind.TOCTREE and any(character in mention.target for character in "*?["):
            self._pattern(document, source, mention)
            return
        resolution = self._resolve(document, mention)
        if isinstance(resolution, Found):
            self._add(LINKS_TO, source, resolution, mention)
            if resolution.place.label == "File" and mention.kind is not Kind.IMAGE:
                self._describe(source, resolution, mention, "path")
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

    def _code(self, document: Document, source: Place, mention: Mention) -> None:
        written = _LINE_NUMBER.sub("", mention.target.strip())
        if len(written.split()) != 1:
            self._commands(document, source, mention)
            return
        resolution = self._files.exactly(written, _folder(document))
        if resolution is Missing.UNKNOWN and "." in written.strip("."):
            resolution = self._files.by_suffix(written)
        if resolution is Missing.UNKNOWN:
            self._symbol(source, mention)
        elif resolution is Missing.AMBIGUOUS:
            self._counts["mentions.ambiguous"] += 1
        elif isinstance(resolution, Found):
            self._describe(source, resolution, mention, Kind.CODE)

    def _commands(self, document: Document, source: Place, mention: Mention) -> None:
        """`python src/run.py --now` names a file too."""
        for word, _ in words.paths(mention.target):
            if "/" in word:
                resolution = self._files.exactly(word, _folder(document))
                self._describe(source, resolution, mention, Kind.CODE, weight=_IN_CODE)

    def _path(self, document: Document, source: Place, mention: Mention) -> None:
        in_code = mention.kind is Kind.BLOCK
        if in_code and "/" not in mention.target:
            return
        resolution = self._files.exactly(mention.target, _folder(document))
        self._describe(source, resolution, mention, mention.kind, weight=_IN_CODE if in_code else _IN_PROSE)

    def _symbol(self, source: Place, mention: Mention) -> None:
        match = _NAME.fullmatch(mention.target.strip())
        if match is None:
            return
        name = match.group(1).replace("::", ".").replace("#", ".")
        resolution = self._symbols.named(name)
        if resolution is Missing.AMBIGUOUS:
            self._counts["mentions.ambiguous"] += 1
        elif isinstance(resolution, Found):
            exact = resolution.confidence >= 0.9
            self._add(DESCRIBES, source, resolution, mention, QUALIFIED_NAME if exact else Kind.CODE)

    def _describe(
        self, source: Place, resolution: Resolution, mention: Mention, evidence: str, weight: float = 1.0
    ) -> None:
        """A document does not describe its own file."""
        if isinstance(resolution, Found) and resolution.place.path != source.path:
            found = Found(resolution.place, resolution.confidence * weight)
            self._add(DESCRIBES, source, found, mention, evidence)

    def _add(self, type_: str, source: Place, found: Found, mention: Mention, evidence: str = "") -> None:
        target = found.place
        if target == source or (target.label == "Document" and target.path == source.path):
            return
        known = self._found.setdefault((type_, source, target), _Evidence())
        known.kinds.add(str(evidence or mention.kind))
        known.texts.add(mention.target.strip()[:_TEXT_CHARS])
        known.lines.add(mention.line)
        known.confidence = max(known.confidence, found.confidence)


def _folder(document: Document) -> str:
    return document.path.rpartition("/")[0]
