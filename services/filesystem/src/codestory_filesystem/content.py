"""What a file holds, told from its bytes as they are read: hash, size, lines, whether it is text. Pure."""

import codecs
import hashlib
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from codestory_filesystem.languages import extension_of, language_of

#: Where git looks for a NUL, too, to tell binary from text.
SNIFFED_BYTES = 8_000

OCTETS = "application/octet-stream"
PLAIN = "text/plain"

#: What Python's table lacks in one of its versions, or has otherwise: a graph must not depend on who made it.
_CONTENT_TYPES = {
    "7z": "application/x-7z-compressed",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "cjs": "text/javascript",
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "flac": "audio/flac",
    "gz": "application/gzip",
    "ico": "image/vnd.microsoft.icon",
    "ipynb": "application/x-ipynb+json",
    "jar": "application/java-archive",
    "js": "text/javascript",
    "jsx": "text/jsx",
    "m4a": "audio/mp4",
    "markdown": "text/markdown",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "ogg": "audio/ogg",
    "otf": "font/otf",
    "parquet": "application/vnd.apache.parquet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "rar": "application/vnd.rar",
    "rst": "text/x-rst",
    "rtf": "application/rtf",
    "sql": "application/sql",
    "toml": "application/toml",
    "ts": "text/typescript",
    "tsx": "text/tsx",
    "ttf": "font/ttf",
    "wasm": "application/wasm",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
    "whl": "application/zip",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
}
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/x-brotli",
}
#: Python's own table alone: the machine's /etc/mime.types would make the graph depend on the machine.
_MIME_TYPES = mimetypes.MimeTypes()

_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, slots=True)
class Content:
    """`lines` and `language` are None for what is not text."""

    size: int
    sha256: str
    content_type: str
    lines: int | None = None
    language: str | None = None


def measure(name: str, blocks: Iterable[bytes]) -> Content:
    """Read it all, once."""
    digest, size, start = hashlib.sha256(), 0, b""
    counter: _LineCounter | None = _Lines()
    for block in blocks:
        if not size:
            start = block[:SNIFFED_BYTES]
            counter = _counter(start)
        size += len(block)
        digest.update(block)
        if counter:
            counter.feed(block)
    return Content(
        size,
        digest.hexdigest(),
        content_type(name, text=counter is not None),
        counter.total if counter else None,
        language_of(name, start) if counter else None,
    )


def content_type(name: str, *, text: bool | None = None) -> str:
    """By the name, if the content (`text`: None if nobody looked) does not speak against it."""
    guess = _by_name(name)
    if text and (guess is None or guess.startswith(("video/", "audio/", "font/")) or guess == OCTETS):
        return PLAIN
    if text is False and (guess is None or guess.startswith("text/")):
        return OCTETS
    return guess or OCTETS


def _by_name(name: str) -> str | None:
    if known := _CONTENT_TYPES.get(extension_of(name)):
        return known
    guess, encoding = _MIME_TYPES.guess_type(name)
    return _COMPRESSED.get(encoding, OCTETS) if encoding else guess


class _LineCounter(Protocol):
    def feed(self, block: bytes) -> None: ...

    @property
    def total(self) -> int: ...


class _Lines:
    """Counts line ends, and one more for a last line without."""

    def __init__(self) -> None:
        self._ends, self._last = 0, b"\n"

    def feed(self, block: bytes) -> None:
        self._ends += block.count(b"\n")
        self._last = block[-1:]

    @property
    def total(self) -> int:
        return self._ends + (self._last != b"\n")


class _WideLines(_Lines):
    """In UTF-16 and UTF-32 a byte 10 need not be a line end."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")

    def feed(self, block: bytes) -> None:
        if text := self._decoder.decode(block):
            super().feed(text.encode("utf-8", "replace"))


def _counter(start: bytes) -> _LineCounter | None:
    """None for what is not text."""
    for mark, encoding in _WIDE.items():
        if start.startswith(mark):
            return _WideLines(encoding)
    return None if b"\0" in start else _Lines()
