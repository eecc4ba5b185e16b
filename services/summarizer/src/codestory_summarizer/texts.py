"""The text of a repository's files, redacted before anything else sees it, and which lines of it are a thing's own."""

import codecs
import hashlib
import textwrap
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codestory.files.repository import RepositoryFiles, Unreadable
from codestory_summarizer import openings
from codestory_summarizer.reading import Thing

#: Characters of text that are kept for the next who asks: most repositories fit, and are read once.
KEPT_CHARS = 24_000_000
#: As git does, to tell binary from text.
_SNIFFED_BYTES = 8_000

Redact = Callable[[str], str]


class Changed(Exception):
    """A file is not what it was when its keys were made."""


@dataclass(frozen=True, slots=True)
class Text:
    """`sha256`: of the bytes that were read."""

    lines: Sequence[str]
    sha256: str
    chars: int

    @property
    def head(self) -> str:
        """Its first lines."""
        return "\n".join(self.lines[: openings.MAX_LINES])

    def part(self, start: int, end: int) -> list[str]:
        """Lines count from 1; the last is included."""
        return list(self.lines[max(start, 1) - 1 : end])


class Texts:
    """Reads each file as seldom as the room for texts allows. One that changes in between is not taken for itself."""

    def __init__(self, files: RepositoryFiles, redact: Redact, kept_chars: int = KEPT_CHARS) -> None:
        self._files, self._redact, self._room = files, redact, kept_chars
        self._kept: OrderedDict[str, Text] = OrderedDict()
        self._hashes: dict[str, str] = {}

    def of(self, path: str) -> Text:
        """Unreadable if there is no text to read, Changed if it is another than the first time."""
        if kept := self._kept.get(path):
            self._kept.move_to_end(path)
            return kept
        data = self._files.read(path)
        sha256 = hashlib.sha256(data).hexdigest()
        if self._hashes.setdefault(path, sha256) != sha256:
            raise Changed
        lines = self._redact(_decoded(path, data)).split("\n")
        text = Text([line.removesuffix("\r") for line in lines], sha256, sum(map(len, lines)))
        self._keep(path, text)
        return text

    def _keep(self, path: str, text: Text) -> None:
        self._kept[path] = text
        self._room -= text.chars
        while self._room < 0:
            _, dropped = self._kept.popitem(last=False)
            self._room += dropped.chars


def own_code(thing: Thing, held: Sequence[Thing], text: Text) -> str:
    """The lines of a symbol or file. What it holds stands there by its signature alone: that has a summary of its own.

    Functions are given whole, with what they hold: it says little without them."""
    if thing.is_symbol and thing.kind != "class":
        return _dedented(text.part(thing.start_line, thing.end_line))
    first, last = (thing.start_line, thing.end_line) if thing.is_symbol else (1, len(text.lines))
    lines: list[str] = []
    for inner in sorted((inner for inner in held if inner.is_symbol), key=lambda inner: inner.start_line):
        if not first <= inner.start_line <= last:  # two on one line, or none of its own any more
            continue
        lines += text.part(first, inner.start_line - 1)
        lines += [_stand_in(inner, text)]
        first = inner.end_line + 1
    lines += text.part(first, last)
    return _dedented(lines)


def _stand_in(inner: Thing, text: Text) -> str:
    [line] = text.part(inner.start_line, inner.start_line) or [""]
    indent = line[: len(line) - len(line.lstrip())]
    return f"{indent}{inner.signature or f'{inner.kind} {inner.name}'} …"


def _dedented(lines: Sequence[str]) -> str:
    return textwrap.dedent("\n".join(lines)).strip("\n")


def _decoded(path: str, data: bytes) -> str:
    """UTF-8, or UTF-16 and UTF-32 where a mark says so; what is no character is replaced."""
    for mark, encoding in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:_SNIFFED_BYTES]:
        raise Unreadable(path, "not text")
    return data.decode("utf-8-sig", "replace")
