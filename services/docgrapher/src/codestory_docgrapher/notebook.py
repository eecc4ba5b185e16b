"""Jupyter notebooks (nbformat 3 and 4): the text cells as one document; outputs and attachments are never looked at.

All cells together make one text, each text cell its own lines, each code cell one empty line. What the parsers of
single cells find gets the lines of that text; in the finished document these become numbers of cells, from 1.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from codestory_docgrapher import imports, markdown, words
from codestory_docgrapher.document import Document, Heading, Kind, Mention, Outline
from codestory_docgrapher.outline import Slugs


class NotANotebook(Exception):
    """The file is no notebook that can be read."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """`kind`: markdown, raw or code. `line`: where it starts in the text of all cells."""

    kind: str
    source: str
    line: int


def read(content: str, redact: Callable[[str], str]) -> tuple[str, Outline, list[int]]:
    """The text of all cells, what is in it, and the line that each cell starts on. Raises NotANotebook."""
    notebook = _loaded(content)
    cells = list(_placed(_cells(notebook), redact))
    text = "\n".join("" if cell.kind == "code" else f"{cell.source}\n" for cell in cells)
    outline, slugs = Outline(title=_title(notebook)), Slugs()
    for cell in cells:
        _add(outline, cell, slugs)
    if outline.headings:
        top = min(heading.level for heading in outline.headings)
        outline.title = next(heading.text for heading in outline.headings if heading.level == top)
    return text, outline, [cell.line for cell in cells]


def with_cells(document: Document, starts: list[int]) -> Document:
    """The same document with numbers of cells for its mentions' lines, and for its sections."""

    def cell_of(line: int) -> int:
        return max(bisect_right(starts, line), 1)

    sections = tuple(replace(section, cell=cell_of(section.start_line)) for section in document.sections)
    mentions = tuple((anchor, replace(mention, line=cell_of(mention.line))) for anchor, mention in document.mentions)
    return replace(document, sections=sections, mentions=mentions)


def _loaded(content: str) -> dict[str, Any]:
    try:
        notebook = json.loads(content)
    except RecursionError as error:
        raise NotANotebook("nested too deeply") from error
    except ValueError as error:
        raise NotANotebook(f"not JSON: {error}") from error
    if not isinstance(notebook, dict):
        raise NotANotebook("not a notebook: no object at the top")
    return cast("dict[str, Any]", notebook)


def _cells(notebook: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and source of each. nbformat 3 has them in worksheets, and headings as cells of their own."""
    holders = [notebook, *_objects(notebook.get("worksheets"))]
    if not any(isinstance(holder.get("cells"), list) for holder in holders):
        raise NotANotebook("not a notebook: it has no cells")
    for holder in holders:
        for cell in _objects(holder.get("cells")):
            yield _cell(cell)


def _cell(cell: dict[str, Any]) -> tuple[str, str]:
    kind = cell.get("cell_type")
    source = _text(cell.get("source", cell.get("input", "")))
    match kind:
        case "markdown" | "raw":
            return kind, source
        case "heading":
            level = cell.get("level")
            marks = "#" * (level if isinstance(level, int) and level in range(1, 7) else 1)
            return "markdown", f"{marks} {' '.join(source.split())}"
        case "html":
            return "markdown", source
        case _:
            return "code", source


def _placed(cells: Iterator[tuple[str, str]], redact: Callable[[str], str]) -> Iterator[_Cell]:
    line = 1
    for kind, written in cells:
        source = written.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\N{REPLACEMENT CHARACTER}")
        cell = _Cell(kind, source if kind == "code" else redact(source), line)
        line += 1 if kind == "code" else cell.source.count("\n") + 2
        yield cell


def _add(outline: Outline, cell: _Cell, slugs: Slugs) -> None:
    match cell.kind:
        case "markdown":
            _add_markdown(outline, markdown.read(cell.source, slugs), cell.line - 1)
        case "raw":
            outline.mentions += [Mention(Kind.PATH, word, line) for word, line in words.paths(cell.source, cell.line)]
            outline.preamble |= not outline.headings and bool(cell.source.strip())
        case _:
            found = imports.mentions(cell.source, kind=Kind.CELL_IMPORT)
            outline.mentions += [replace(mention, line=cell.line) for mention in found]


def _add_markdown(outline: Outline, part: Outline, above: int) -> None:
    outline.preamble |= not outline.headings and part.preamble
    outline.headings += [_lower(heading, above) for heading in part.headings]
    outline.mentions += [
        replace(mention, line=mention.line + above)
        for mention in part.mentions
        if not mention.target.startswith("attachment:")
    ]
    outline.anchors += [(name, line + above) for name, line in part.anchors]


def _lower(heading: Heading, lines: int) -> Heading:
    return replace(heading, line=heading.line + lines, body=heading.body + lines)


def _title(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    title = cast("dict[str, Any]", metadata).get("title") if isinstance(metadata, dict) else None
    return title if isinstance(title, str) else ""


def _objects(values: object) -> Iterator[dict[str, Any]]:
    for value in cast("list[object]", values) if isinstance(values, list) else ():
        if isinstance(value, dict):
            yield cast("dict[str, Any]", value)


def _text(source: object) -> str:
    """A string, or a list of them."""
    if isinstance(source, list):
        return "".join(part for part in cast("list[object]", source) if isinstance(part, str))
    return source if isinstance(source, str) else ""
