"""Documents, docstrings and links as the nodes and relationships of the graph."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from codestory.graph import Label, Node, Relationship, RelationshipType, node_id
from codestory.graph.model import Property
from codestory_docgrapher import docstrings, formats
from codestory_docgrapher.document import Document, Section
from codestory_docgrapher.link import Relation
from codestory_docgrapher.places import Place, Symbol, document_place

#: Sections made of a heading or of the text before the first one; and those made of a symbol's docstring.
_WRITTEN, _DOCSTRING = "text", "docstring"


class Rows:
    """The rows of one repository."""

    def __init__(self, repository: str, *, section_chars: int) -> None:
        self._repository = repository
        self._section_chars = section_chars

    def nodes(self, documents: Iterable[Document], broken: Mapping[str, Sequence[str]]) -> Iterator[Node]:
        for document in documents:
            yield Node(
                Label.DOCUMENT,
                self._id(document_place(document)),
                {
                    "path": document.path,
                    "title": storable(document.title),
                    "format": document.format,
                    "sha256": document.sha256 or None,
                    # Only where it is so: absent properties cost nothing.
                    "lossy": document.lossy or None,
                    "broken_links": [storable(link) for link in broken.get(document.path, ())] or None,
                },
            )
            for section in document.sections:
                yield self._section(document, section)

    def hierarchy(self, documents: Iterable[Document]) -> Iterator[Relationship]:
        for document in documents:
            for section in document.sections:
                above = document_place(document, section.parent)
                yield self._relationship(
                    RelationshipType.HAS_SECTION, above, document_place(document, section.anchor), {}
                )

    def links(self, relations: Iterable[Relation]) -> Iterator[Relationship]:
        for relation in relations:
            numbers = "cells" if formats.is_notebook(relation.source.path) else "lines"
            yield self._relationship(
                RelationshipType(relation.type),
                relation.source,
                relation.target,
                {
                    "evidence": list(relation.evidence),
                    "texts": [storable(text) for text in relation.texts],
                    "confidence": relation.confidence,
                    numbers: list(relation.lines),
                },
            )

    def docstrings(self, documented: Iterable[tuple[Symbol, Place]]) -> Iterator[tuple[Node, Relationship]]:
        """The sections made of docstrings."""
        for symbol, place in documented:
            node = self._docstring(symbol, place)
            yield node, Relationship(RelationshipType.DOCUMENTED_BY, symbol.label, symbol.id, node.label, node.id)

    def _section(self, document: Document, section: Section) -> Node:
        return Node(
            Label.SECTION,
            self._id(document_place(document, section.anchor)),
            {
                "path": document.path,
                "kind": _WRITTEN,
                "anchor": storable(section.anchor),
                "heading": storable(section.heading),
                "level": section.level,
                "ordinal": section.ordinal,
                "start_line": section.start_line if section.cell is None else None,
                "end_line": section.end_line if section.cell is None else None,
                "cell": section.cell,
                "text": storable(section.text),
                "truncated": section.truncated,
            },
        )

    def _docstring(self, symbol: Symbol, place: Place) -> Node:
        text = symbol.docstring.strip()
        return Node(
            Label.SECTION,
            self._id(place),
            {
                "path": symbol.path,
                "kind": _DOCSTRING,
                "anchor": storable(symbol.qualified_name),
                "heading": storable(symbol.name),
                "level": 0,
                "ordinal": docstrings.ordinal_of(place),
                "start_line": symbol.start_line,
                "text": storable(text[: self._section_chars]),
                "truncated": len(text) > self._section_chars,
            },
        )

    def _relationship(
        self, type_: RelationshipType, source: Place, target: Place, properties: Mapping[str, Property]
    ) -> Relationship:
        return Relationship(type_, source.label, self._id(source), target.label, self._id(target), properties)

    def _id(self, place: Place) -> str:
        return place.id or node_id(self._repository, place.label, place.path, place.anchor or "")


def storable(text: str) -> str:
    """Text that a database takes: markup can spell characters that do not exist (`&#xD800;`, `unicode:: 0`)."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
