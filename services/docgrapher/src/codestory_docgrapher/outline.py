"""From headings and mentions with their lines to sections with their text."""

import re
from bisect import bisect_right
from collections.abc import Iterable

from codestory_docgrapher.document import Document, Heading, Mention, Outline, Section

#: Lines at the end of a section's text that belong to the next heading: blank ones and reStructuredText labels.
_TRAILING = re.compile(r"\s*$|\.\. _[^:]+:\s*$")

_NOT_IN_SLUG = re.compile(r"[^\w\- ]")


class Slugs:
    """The anchors that GitHub gives to headings, unique within a document."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}

    def of(self, heading: str) -> str:
        # Never empty: the empty anchor is the text before the first heading.
        slug = _NOT_IN_SLUG.sub("", heading.strip().lower()).replace(" ", "-") or "section"
        unique = slug
        while unique in self._used:
            self._used[slug] += 1
            unique = f"{slug}-{self._used[slug]}"
        self._used[unique] = 0
        return unique


def assemble(path: str, form: str, text: str, outline: Outline, *, max_chars: int) -> Document:
    """The document with its sections; every mention, anchor and label goes to the section whose lines it stands in."""
    lines = text.split("\n")
    place = _Places(outline)
    anchors: dict[str, str | None] = {}
    for heading in outline.headings:
        anchors.setdefault(heading.anchor, heading.anchor)
    for heading in outline.headings:
        for alias in heading.aliases:
            anchors.setdefault(alias, heading.anchor)
    for name, line in outline.anchors:
        anchors.setdefault(name, place.at(line))
    return Document(
        path=path,
        title=outline.title or path.rpartition("/")[2],
        format=form,
        sections=tuple(_sections(lines, outline, max_chars)),
        mentions=tuple(_placed(outline.mentions, place)),
        anchors=anchors,
        labels={name: place.at(line) for name, line in reversed(outline.labels)},
    )


class _Places:
    """Which section a line is in."""

    def __init__(self, outline: Outline) -> None:
        self._starts = [heading.line for heading in outline.headings]
        self._anchors: list[str | None] = ["" if outline.preamble else None]
        self._anchors += [heading.anchor for heading in outline.headings]

    def at(self, line: int) -> str | None:
        return self._anchors[bisect_right(self._starts, line)]


def _placed(mentions: Iterable[Mention], place: _Places) -> Iterable[tuple[str | None, Mention]]:
    return ((place.at(mention.line), mention) for mention in mentions)


def _sections(lines: list[str], outline: Outline, max_chars: int) -> Iterable[Section]:
    headings = list(outline.headings)
    if outline.preamble:
        headings.insert(0, Heading("", 0, "", outline.start, outline.start))
    ends = [heading.line - 1 for heading in headings[1:]] + [len(lines)] * bool(headings)
    above: list[Heading] = []
    for ordinal, (heading, last) in enumerate(zip(headings, ends, strict=True)):
        while above and above[-1].level >= heading.level:
            above.pop()
        body, first, end = _body(lines, heading.body, last)
        yield Section(
            anchor=heading.anchor,
            heading=heading.text,
            level=heading.level,
            ordinal=ordinal,
            parent=above[-1].anchor if above else None,
            start_line=heading.line if heading.level else first,
            end_line=max(end, heading.body - 1, 1),
            text=body[:max_chars],
            truncated=len(body) > max_chars,
        )
        if heading.level:
            above.append(heading)


def _body(lines: list[str], first: int, last: int) -> tuple[str, int, int]:
    """The text of these lines without what is blank around it, and the lines it then has."""
    while last >= first and _TRAILING.match(lines[last - 1]):
        last -= 1
    while first < last and not lines[first - 1].strip():
        first += 1
    return "\n".join(lines[first - 1 : last]), first, last
