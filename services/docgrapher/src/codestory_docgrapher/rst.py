"""reStructuredText by docutils, with Sphinx's directives and roles read as what they mention."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from docutils import frontend, nodes, utils
from docutils.parsers import rst
from docutils.transforms import references

from codestory_docgrapher import imports, sphinx, words
from codestory_docgrapher.document import Heading, Kind, Mention, Outline

#: What resolves names within a document. None of the others: they number, date, substitute or compute output.
_TRANSFORMS = (
    references.PropagateTargets,
    references.AnonymousHyperlinks,
    references.IndirectHyperlinks,
    references.ExternalTargets,
    references.InternalTargets,
)
#: Line ends that docutils knows and we do not: a document must have the same lines for both.
_OTHER_LINE_ENDS = str.maketrans(dict.fromkeys("\v\f\x1c\x1d\x1e\x85\u2028\u2029", " "))
#: What a document may start with that nobody reads.
_UNSEEN = (nodes.target, nodes.Invisible, nodes.section)
#: Classes within classes that are looked at.
_NESTED = 5
_CODE = (nodes.literal_block, nodes.doctest_block, nodes.math_block)


def read(text: str) -> Outline:
    text = text.translate(_OTHER_LINE_ENDS)
    tree = _tree(text)
    walk = _Walk(text.split("\n"), tree.nameids)
    for node in tree.findall():
        walk.visit(node)
    outline = walk.outline
    outline.preamble = any(not isinstance(node, _UNSEEN) for node in tree.children)
    outline.title = tree.get("title") or (outline.headings[0].text if outline.headings else "")
    outline.anchors = [(name, walk.line_of(node)) for name, node in tree.ids.items() if "refuri" not in node]
    outline.labels = [
        (name, walk.line_of(tree.ids[tree.nameids[name]]))
        for name, explicit in tree.nametypes.items()
        if explicit and tree.nameids.get(name) in tree.ids and _may_be_referred_to(tree.ids[tree.nameids[name]])
    ]
    return outline


def _may_be_referred_to(node: nodes.Element) -> bool:
    """`:ref:` leads to places in documents; the name of a URL or a footnote is for its own document."""
    return "refuri" not in node and not isinstance(node, (nodes.footnote, nodes.citation))


def _tree(text: str) -> nodes.document:
    tree = utils.new_document("document", _settings())
    sphinx.tolerate(text, tree)
    rst.Parser().parse(text, tree)
    tree.transformer.add_transforms(_TRANSFORMS)
    tree.transformer.apply_transforms()
    for message in list(tree.findall(nodes.system_message)):
        message.parent.remove(message)
    return tree


@cache
def _settings() -> Any:
    # typeshed asks for an instance; docutils documents the class
    settings = frontend.get_default_settings(rst.Parser)  # pyright: ignore[reportArgumentType]
    settings.report_level = settings.halt_level = 5  # beyond the most severe: nothing is said, nothing stops
    settings.warning_stream = False
    settings.file_insertion_enabled = False
    settings.raw_enabled = False
    settings.syntax_highlight = "none"
    settings.line_length_limit = 1 << 31  # the size of the document is what is limited
    return settings


class _Walk:
    """Goes through a tree once, in the order of the document, and keeps track of lines, which docutils gives only to
    blocks.
    """

    def __init__(self, lines: list[str], ids: Mapping[str, str | None]) -> None:
        self.outline = Outline()
        self._lines = lines
        #: The names of the document's own sections and targets.
        self._ids = ids
        #: The import path that `currentmodule` and its like have set.
        self._module = ""
        self._line = 1
        self._source = ""
        self._at = 0
        self._depth: dict[int, int] = {}
        self._starts: dict[int, int] = {}

    def line_of(self, node: nodes.Node) -> int:
        """The line where a node's section starts, or the node itself."""
        above: nodes.Node | None = node
        while above is not None:
            if id(above) in self._starts:
                return self._starts[id(above)]
            if above.line is not None and not isinstance(above, nodes.section):
                return above.line
            above = above.parent
        return 1

    def visit(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.section):
            self._section(node)
        elif isinstance(node, nodes.Text):
            self._text(node)
        elif isinstance(node, nodes.Element):
            self._element(node)

    def _section(self, node: nodes.section) -> None:
        depth = self._depth.get(id(node.parent), 0) + 1
        self._depth[id(node)] = depth
        first, body = self._lines_of_title(node.line or 1)
        self._starts[id(node)] = first
        title = node.next_node(nodes.title)
        text = " ".join(title.astext().split()) if title else ""
        ids: list[str] = node["ids"]
        # A label spelled like its heading takes the plain id and leaves `heading-1` to the section. Both lead here.
        natural = nodes.make_id(text)
        anchor = natural if natural in ids else ids[0]
        aliases = tuple(id_ for id_ in ids if id_ != anchor)
        self.outline.headings.append(Heading(text, depth, anchor, first, body, aliases))

    def _lines_of_title(self, underline: int) -> tuple[int, int]:
        """First line of a title and first line after it. docutils says where its underline is."""
        above, free = underline - 2, self.outline.headings[-1].body if self.outline.headings else 1
        overlined = above >= free and self._lines[above - 1].strip() == self._lines[underline - 1].strip()
        return above if overlined else max(underline - 1, 1), underline + 1

    def _element(self, node: nodes.Element) -> None:
        if isinstance(node, nodes.TextElement) and not isinstance(node, nodes.Inline):
            self._source, self._at = node.rawsource, 0
            self._line = self._line_of_block(node)
        elif isinstance(node, nodes.Inline) and node.rawsource:
            self._advance(node.rawsource)
        if "module" in node:
            self._module = "" if node["module"] == "None" else node["module"]
        if "mention" in node:
            line = self._line if isinstance(node, nodes.Inline) else node.line or self._line
            self._mention(Kind(node["mention"]), node["target"], line, scopes=self._scopes(node), label=node["label"])
        elif isinstance(node, nodes.reference):
            self._reference(node)
        elif isinstance(node, nodes.image):
            self._mention(Kind.IMAGE, node.get("uri", ""), node.line or self._line)
        elif isinstance(node, nodes.literal):
            self._mention(Kind.CODE, node.astext(), self._line, scopes=self._scopes(node))

    def _reference(self, node: nodes.reference) -> None:
        here = node.get("refid") or self._ids.get(node.get("refname", ""))
        if "refuri" in node or here:
            self._mention(Kind.LINK, node.get("refuri") or f"#{here}", self._line)

    def _text(self, node: nodes.Text) -> None:
        if isinstance(node.parent, nodes.literal) or "mention" in node.parent:
            return
        text = str(node)
        if isinstance(node.parent, _CODE):
            self._words(Kind.BLOCK, text)
            for mention in imports.mentions(text, self._line):
                self._mention(mention.kind, mention.target, mention.line, alias=mention.alias)
        else:
            self._advance(text)
            self._words(Kind.PATH, text)

    def _line_of_block(self, node: nodes.Element) -> int:
        line = node.line or self._line
        if isinstance(node, nodes.title) and isinstance(node.parent, nodes.section):
            return line - 1
        return line

    def _advance(self, source: str) -> None:
        found = self._source.find(source, self._at)
        if found > self._at:
            self._line += self._source.count("\n", self._at, found)
            self._at = found

    def _words(self, kind: Kind, text: str) -> None:
        for word, line in words.paths(text, self._line):
            self._mention(kind, word, line)

    def _scopes(self, node: nodes.Node) -> tuple[str, ...]:
        """Where a name may stand: below the classes whose directives are around it, below the module."""
        names: list[str] = []
        above: nodes.Node | None = node.parent
        while above is not None:
            if len(names) < _NESTED and isinstance(above, nodes.container) and "scope" in above:
                names.insert(0, above["scope"])
            above = above.parent
        within = ""
        for name in names:
            within = name if not within or f"{name}.".startswith(f"{within}.") else f"{within}.{name}"
        whole = f"{self._module}.{within}" if self._module and within else ""
        return tuple(scope for scope in (whole, within, self._module) if scope)

    def _mention(
        self, kind: Kind, target: str, line: int, *, scopes: tuple[str, ...] = (), label: str = "", alias: str = ""
    ) -> None:
        line = max(1, min(line, len(self._lines)))
        self.outline.mentions.append(Mention(kind, target, line, scopes, label, alias))
