"""Plain text: headings are lines underlined with one repeated character."""

import re

from codestory_docgrapher import words
from codestory_docgrapher.document import Heading, Kind, Mention, Outline
from codestory_docgrapher.outline import Slugs

_UNDERLINE = re.compile(r"([=\-~^*#+])\1{2,}\s*$")
#: A first line longer than this is a paragraph, not a title.
_TITLE_CHARS = 120


def read(text: str) -> Outline:
    lines = text.split("\n")
    outline = Outline(headings=_headings(lines))
    outline.mentions = [Mention(Kind.PATH, word, line) for word, line in words.paths(text)]
    first = outline.headings[0].line if outline.headings else len(lines) + 1
    outline.preamble = any(line.strip() for line in lines[: first - 1])
    outline.title = outline.headings[0].text if outline.headings else _first_line(lines)
    return outline


def _headings(lines: list[str]) -> list[Heading]:
    slugs = Slugs()
    styles: list[tuple[str, bool]] = []
    headings: list[Heading] = []
    for index in range(1, len(lines)):
        title, under = lines[index - 1].strip(), _UNDERLINE.match(lines[index])
        before = lines[index - 2] if index > 1 else ""
        if under is None or not title or _UNDERLINE.match(lines[index - 1]) or not _fits(title, lines[index]):
            continue
        over = before.strip() == lines[index].strip()
        if before.strip() and not over:
            continue
        style = (under.group(1), over)
        if style not in styles:
            styles.append(style)
        line = index - 1 if over else index
        headings.append(Heading(title, styles.index(style) + 1, slugs.of(title), line, index + 2))
    return headings


def _fits(title: str, underline: str) -> bool:
    """A rule across the page under some line is not a heading's underline."""
    return abs(len(title) - len(underline.strip())) <= max(3, len(title) // 4)


def _first_line(lines: list[str]) -> str:
    first = next((line.strip() for line in lines if line.strip()), "")
    return first if len(first) <= _TITLE_CHARS else ""
