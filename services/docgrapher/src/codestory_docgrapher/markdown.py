"""Markdown as CommonMark with tables, the HTML inside it, and front matter."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.token import Token

from codestory_docgrapher import imports, sphinx, words
from codestory_docgrapher.document import Heading, Kind, Mention, Outline
from codestory_docgrapher.outline import Slugs

_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?\n)\1[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title\s*[:=]\s*(['\"]?)(.+?)\1\s*$", re.MULTILINE)
#: `## Heading {#anchor}`, as several site generators write it.
_EXPLICIT_ANCHOR = re.compile(r"\s*\{:?\s*#([\w.:-]+)[^{}]*\}\s*$")

#: MyST's spelling of Sphinx's roles, before inline code, and of its directives, as a fence's language.
_MYST_ROLE = re.compile(r"\{([\w:+-]{1,40})\}$")
_MYST_DIRECTIVE = re.compile(r"\{([\w:+-]{1,40})\}\s*(.*)")
#: `::: package.module`, and `[text][package.module.Name]`, which no reference of the document defines.
_MKDOCSTRINGS = re.compile(r"^:::\s+([\w.]+)\s*$|\[[^\[\]]*\]\[([\w.]+)\]|\[([\w.]+\.\w+)\]\[\]")

_PARSER = MarkdownIt("commonmark").enable("table")


def read(text: str, slugs: Slugs | None = None) -> Outline:
    """`slugs`: those of what stands before, if this is a part of a document."""
    outline = Outline()
    matter = _FRONT_MATTER.match(text)
    if matter:
        # Blank lines instead, so that the lines below keep their numbers.
        before = matter.group().count("\n")
        text = "\n" * before + text[matter.end() :]
        outline.start = before + 1
    _Reader(outline, slugs or Slugs()).read(_PARSER.parse(text))
    title = _TITLE.search(matter.group(2)) if matter else None
    if title:
        outline.title = title.group(2).strip()
    elif outline.headings and not outline.title:
        top = min(heading.level for heading in outline.headings)
        outline.title = next(heading.text for heading in outline.headings if heading.level == top)
    return outline


class _Reader:
    """Goes through a document's tokens once."""

    def __init__(self, outline: Outline, slugs: Slugs) -> None:
        self.outline = outline
        self._slugs = slugs

    def read(self, tokens: list[Token]) -> None:
        for index, token in enumerate(tokens):
            line = token.map[0] + 1 if token.map else 1
            match token.type:
                case "heading_open" if token.level == 0:
                    self._heading(token, tokens[index + 1])
                case "inline":
                    self._inline(token, line)
                case "fence" | "code_block":
                    self._code(token, line)
                case "html_block":
                    self._html(token.content, line)
                case _:
                    continue
            if not self.outline.headings and not _is_comment(token):
                self.outline.preamble = True

    def _heading(self, opening: Token, inline: Token) -> None:
        first, after = opening.map or [0, 1]
        text = "".join(_visible(inline.children or []))
        aliases: tuple[str, ...] = ()
        explicit = _EXPLICIT_ANCHOR.search(text)
        if explicit:
            text, aliases = text[: explicit.start()], (explicit.group(1),)
        text = " ".join(text.split())
        anchor = self._slugs.of(text)
        self.outline.headings.append(Heading(text, int(opening.tag[1:]), anchor, first + 1, after + 1, aliases))

    def _code(self, token: Token, line: int) -> None:
        directive = _MYST_DIRECTIVE.match(token.info)
        mention = sphinx.directive_mention(directive[1], directive[2], line) if directive else None
        if mention is not None:
            self.outline.mentions.append(mention)
            return
        start = line + 1 if token.type == "fence" else line
        self._words(Kind.BLOCK, token.content, start)
        self.outline.mentions += imports.mentions(token.content, start)

    def _inline(self, token: Token, line: int) -> None:
        role: re.Match[str] | None = None
        for child, at in _with_lines(token, line):
            match child.type:
                case "link_open":
                    self._mention(Kind.LINK, str(child.attrs.get("href", "")), at)
                case "image":
                    self._mention(Kind.IMAGE, str(child.attrs.get("src", "")), at)
                case "code_inline":
                    mention = sphinx.role_mention(role[1], child.content, at) if role else None
                    self.outline.mentions.append(mention or Mention(Kind.CODE, child.content, at))
                case "text":
                    self._text(child.content, at)
                case "html_inline":
                    self._html(child.content, at)
                case _:
                    pass
            role = _MYST_ROLE.search(child.content) if child.type == "text" else None

    def _text(self, text: str, line: int) -> None:
        for match in _MKDOCSTRINGS.finditer(text):
            self._mention(Kind.MODULE, next(filter(None, match.groups())), line)
        self._words(Kind.PATH, text, line)

    def _mention(self, kind: Kind, target: str, line: int) -> None:
        self.outline.mentions.append(Mention(kind, target, line))

    def _words(self, kind: Kind, text: str, line: int) -> None:
        for word, at in words.paths(text, line):
            self._mention(kind, word, at)

    def _html(self, content: str, line: int) -> None:
        html = _Html(self.outline, line)
        try:
            html.feed(content)
            html.close()
        except (AssertionError, ValueError):
            # Malformed declarations (`<![`) end the standard library's parser so; what came before them counts.
            return


def _with_lines(token: Token, line: int) -> Iterator[tuple[Token, int]]:
    """The children of an inline token, each with the line it starts on. The parser gives only the block's line."""
    source, at = token.content, 0
    for child in token.children or []:
        yield child, line
        end = at
        if child.type in {"softbreak", "hardbreak"}:
            end = source.find("\n", at) + 1
        elif child.type == "code_inline":
            # Its line breaks have become spaces.
            for piece in child.content.split():
                end = max(source.find(piece, end) + len(piece), end)
        elif child.type == "html_inline":
            end = max(source.find(child.content, at) + len(child.content), at)
        if end > at:
            line += source.count("\n", at, end)
            at = end


def _visible(children: list[Token]) -> Iterator[str]:
    for child in children:
        if child.type in {"text", "code_inline"}:
            yield child.content
        elif child.type == "image":
            yield from _visible(child.children or [])
        elif child.type in {"softbreak", "hardbreak"}:
            yield " "


def _is_comment(token: Token) -> bool:
    return token.type == "html_block" and token.content.lstrip().startswith("<!--")


class _Html(HTMLParser):
    """Links, images, anchors and the title in a piece of HTML."""

    def __init__(self, outline: Outline, line: int) -> None:
        super().__init__()
        self._outline = outline
        self._line = line - 1
        self._inside: list[str] = []

    @property
    def _at(self) -> int:
        return self._line + self.getpos()[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self._outline.anchors.append((value, self._at))
            elif tag == "a" and name == "href":
                self._outline.mentions.append(Mention(Kind.LINK, value, self._at))
            elif name == "src":
                self._outline.mentions.append(Mention(Kind.IMAGE, value, self._at))
        if tag in {"h1", "code"}:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        inside = self._inside[-1] if self._inside else ""
        if inside == "h1" and not self._outline.title:
            self._outline.title = " ".join(data.split())
        if inside == "code":
            self._outline.mentions.append(Mention(Kind.CODE, data, self._at))
        else:
            self._outline.mentions += [Mention(Kind.PATH, word, at) for word, at in words.paths(data, self._at)]
