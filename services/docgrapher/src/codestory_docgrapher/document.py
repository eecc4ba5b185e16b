"""What a parser finds in one document: its headings and mentions, and the sections made of them. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """How a document names something. What it names is for the linker to find out."""

    #: A URL or a path relative to the document.
    LINK = "link"
    IMAGE = "image"
    INCLUDE = "include"
    #: A document of the same Sphinx project, without its suffix.
    DOC = "doc"
    TOCTREE = "toctree"
    #: A label of the same Sphinx project.
    REF = "ref"
    #: Inline code.
    CODE = "code_span"
    #: A name that the markup says is a symbol's (`:func:`, `.. class::`).
    SYMBOL = "symbol"
    #: A whole import path, or nothing (`:mod:`, `.. automodule::`, `::: package.module`).
    MODULE = "module"
    #: What a block of code imports.
    IMPORT = "import"
    #: What a code cell of a notebook imports.
    CELL_IMPORT = "notebook_code"
    #: A word of the prose that looks like a path.
    PATH = "path"
    #: The same in a block of code.
    BLOCK = "code_block"


@dataclass(frozen=True, slots=True)
class Mention:
    """`line` counts from 1; in a notebook it is the number of the cell.

    `scopes`: import paths that the name may stand below, the likeliest first, as the markup around it says.
    `label`: of the symbol, where the markup says so. `alias`: the name that an import gives to what it imports.
    """

    kind: Kind
    target: str
    line: int
    scopes: tuple[str, ...] = ()
    label: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """`line` is where the heading starts, `body` the line after it, `aliases` other anchors that lead here."""

    text: str
    level: int
    anchor: str
    line: int
    body: int
    aliases: tuple[str, ...] = ()


@dataclass
class Outline:
    """What a parser hands over, in the order of the document.

    `anchors`: name of an anchor and its line. `labels`: name of a project-wide label and its line.
    `preamble`: something readable stands before the first heading. `start`: the first line of the text proper.
    """

    headings: list[Heading] = field(default_factory=list[Heading])
    mentions: list[Mention] = field(default_factory=list[Mention])
    anchors: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    labels: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    title: str = ""
    preamble: bool = False
    start: int = 1


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the text up to the next one, whatever that one's level: no line is in two sections.

    The text before the first heading is a section of level 0 with an empty heading and anchor. `parent` is the
    anchor of the section above, None for the document itself. `cell`: where a section of a notebook starts; its lines
    are those of all text cells, one after the other, and mean nothing to a reader.
    """

    anchor: str
    heading: str
    level: int
    ordinal: int
    parent: str | None
    start_line: int
    end_line: int
    text: str
    truncated: bool = False
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """`mentions` go with the anchor of the section they stand in (None: the document). `anchors` and `labels` lead to
    a section's anchor, or None where the document as a whole is meant. `lossy`: some bytes were not text. `sha256` is
    that of the bytes.
    """

    path: str
    title: str
    format: str
    lossy: bool = False
    sha256: str = ""
    sections: tuple[Section, ...] = ()
    mentions: tuple[tuple[str | None, Mention], ...] = ()
    anchors: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    labels: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
