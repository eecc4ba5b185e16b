"""Definitions and references as the nodes and relationships of the graph."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from codestory.graph import Label, Node, Relationship, RelationshipType, node_id
from codestory.redaction import redact
from codestory_blarify.definitions import Definition
from codestory_blarify.references import External, Reference
from codestory_blarify.shadow import Source

#: Lines kept on one relationship. `lines_left_out` says how many more there are.
MOST_LINES = 200

#: Label and id of a node.
_Key = tuple[str, str]


@dataclass(slots=True)
class _Mentions:
    """All that one thing does to another in one way."""

    lines: set[int] = field(default_factory=set[int])
    names: set[str] = field(default_factory=set[str])
    resolved_by: str = ""


class Rows:
    """The rows of one repository. `files`: its sources by their paths in the copy, as definitions have them."""

    def __init__(self, repository: str, files: Mapping[str, Source], definitions: Sequence[Definition]) -> None:
        self.references: dict[str, Counter[str]] = {}  # of each language, by type
        self.redacted = Counter[str]()  # secrets that nodes() left out, by kind
        self._repository, self._files, self._definitions = repository, files, definitions
        self._keys: list[_Key] = [self._symbol(definition) for definition in definitions]
        self._mentions: dict[tuple[str, _Key, _Key], _Mentions] = {}
        self._externals: set[External] = set()

    @property
    def externals(self) -> int:
        return len(self._externals)

    def add(self, references: Sequence[Reference], engine: str) -> None:
        """Of one engine."""
        for reference in references:
            key = (reference.type, self._source(reference.source), self._end(reference.target))
            mentions = self._mentions.get(key)
            if mentions is None:
                mentions = self._mentions[key] = _Mentions()
                self.references.setdefault(self._language(reference.source), Counter())[reference.type] += 1
            mentions.lines.add(reference.line)
            if reference.name:
                mentions.names.add(reference.name)
            if reference.resolved_by == "" or not mentions.resolved_by:
                mentions.resolved_by = reference.resolved_by or engine

    def nodes(self, modules: Mapping[str, str]) -> Iterator[Node]:
        """`modules`: the import path of each file that has one, by its path in the copy."""
        for definition, (label, id_) in zip(self._definitions, self._keys, strict=True):
            yield Node(label, id_, self._properties(definition, modules.get(definition.path, definition.module)))
        for external in sorted(self._externals):
            label, id_ = self._outside(external)
            yield Node(label, id_, {"name": external.name, "distribution": external.distribution or None})

    def relationships(self) -> Iterator[Relationship]:
        for definition, key in zip(self._definitions, self._keys, strict=True):
            if definition.parent is not None:
                yield Relationship(RelationshipType.CONTAINS, *self._keys[definition.parent], *key)
        for (type_, source, target), mentions in self._mentions.items():
            lines = sorted(mentions.lines)
            yield Relationship(
                RelationshipType(type_),
                *source,
                *target,
                {
                    "lines": lines[:MOST_LINES],
                    "lines_left_out": len(lines[MOST_LINES:]) or None,
                    "names": sorted(mentions.names)[:MOST_LINES] or None,
                    "resolved_by": mentions.resolved_by,
                },
            )

    def _properties(self, definition: Definition, module: str) -> dict[str, str | int | None]:
        return {
            "name": definition.name,
            "qualified_name": definition.qualified_name,
            "module": module or None,
            "path": self._files[definition.path].path,
            "kind": definition.kind,
            "language": definition.language,
            "level": definition.level,
            "start_line": definition.start_line,
            "end_line": definition.end_line,
            "signature": self._redacted(definition.signature),
            "docstring": self._redacted(definition.docstring),
            "sha256": definition.sha256,
            "source": self._redacted(definition.source),
        }

    def _redacted(self, text: str | None) -> str | None:
        redacted = redact(text or "")
        self.redacted.update(redacted.counts)
        return redacted.text or None

    def _symbol(self, definition: Definition) -> _Key:
        path = self._files[definition.path].path
        label, name = definition.label, definition.qualified_name
        return label, node_id(self._repository, label, path, name, definition.ordinal)

    def _source(self, source: int | str) -> _Key:
        return self._keys[source] if isinstance(source, int) else self._file(source)

    def _end(self, target: int | str | External) -> _Key:
        if isinstance(target, External):
            self._externals.add(target)
            return self._outside(target)
        return self._source(target)

    def _file(self, path: str) -> _Key:
        return str(Label.FILE), node_id(self._repository, Label.FILE, self._files[path].path)

    def _outside(self, external: External) -> _Key:
        label = str(Label.EXTERNAL)
        return label, node_id(self._repository, label, external.distribution, external.name)

    def _language(self, source: int | str) -> str:
        return self._definitions[source].language if isinstance(source, int) else self._files[source].language
