"""The sanitized copy of a repository's sources, which outside programs read instead of the repository itself.

In it are regular files in languages that Blarify parses, as UTF-8 with plain line ends, under names that every program
can open, and nothing else: no links, no devices, no configuration."""

import re
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from codestory.contracts.results import Gap
from codestory.files import paths
from codestory.files.repository import Entry, Kind, RepositoryFiles, Unreadable
from codestory_blarify.languages import known_name, language_of

#: Here lie the files whose names programs might stumble over, under numbers.
_RENAMED = "_renamed"
#: Of a path in the copy, its folder included: what programs can open by name, with room for that folder.
_PATH_BYTES = 3_500
_NAME_BYTES = 255
#: As much of a path as a gap may name. Its end says more than its beginning.
_GAP_PATH = 1024
BINARY = "binary content"

_BYTE_ORDER_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_LINE_ENDS = re.compile(r"\r\n?")


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the repository that was copied."""

    path: str  # as in the graph
    language: str


@dataclass
class Shadow:
    """What the copy holds. `files` by their path in the copy, in the order of the walk."""

    tree: Path
    files: dict[str, Source] = field(default_factory=dict[str, Source])
    skipped: list[Gap] = field(default_factory=list[Gap])
    failed: list[Gap] = field(default_factory=list[Gap])
    #: Copied, but not as they were written: in another encoding than UTF-8.
    transcoded: int = 0

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(source.language for source in self.files.values())

    def gap(self, path: str, reason: str, *, failed: bool) -> None:
        name = path if len(path) <= _GAP_PATH else f"…{path[1 - _GAP_PATH :]}"
        (self.failed if failed else self.skipped).append(Gap(path=name, reason=reason))


def copy(
    files: RepositoryFiles,
    entries: Sequence[Entry],
    tree: Path,
    *,
    max_bytes: int,
    progress: Callable[[int, int, str], None],
) -> Shadow:
    """Copy the sources among the entries into `tree`, an empty folder. What cannot be copied is named as a gap."""
    shadow = Shadow(tree)
    wanted = [entry for entry in entries if is_wanted(entry)]
    for done, entry in enumerate(wanted):
        progress(done, len(wanted), entry.path)
        _copy_one(files, entry, shadow, max_bytes)
    return shadow


def is_wanted(entry: Entry) -> bool:
    """A source, or what hides some: a directory that could not be entered."""
    if entry.kind is Kind.DIRECTORY:
        return bool(entry.reason)
    return language_of(entry.name) is not None


def _copy_one(files: RepositoryFiles, entry: Entry, shadow: Shadow, max_bytes: int) -> None:
    if entry.reason:
        shadow.gap(entry.path, entry.reason, failed=entry.failed)
        return
    try:
        data = files.read(entry, max_bytes=max_bytes)
    except Unreadable as error:
        shadow.gap(entry.path, error.reason, failed=True)
        return
    text, transcoded = text_of(data)
    if text is None:
        shadow.gap(entry.path, BINARY, failed=False)
        return
    place = _write(shadow, entry, text.encode("utf-8", "replace"))
    shadow.files[place] = Source(entry.path, language_of(entry.name) or "")
    shadow.transcoded += transcoded


def text_of(data: bytes) -> tuple[str | None, bool]:
    """The text, with plain line ends, and whether it was not UTF-8. None if it is none."""
    text, transcoded = _decoded(data)
    if "\0" in text:
        return None, False
    return _LINE_ENDS.sub("\n", text.removeprefix("\ufeff")), transcoded


def _decoded(data: bytes) -> tuple[str, bool]:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, "replace"), True
    try:
        return data.decode("utf-8"), False
    except UnicodeDecodeError:
        return _in_its_own_encoding(data), True


def _in_its_own_encoding(data: bytes) -> str:
    """As its coding cookie says, if that keeps the lines; otherwise as Latin-1, in which every byte is a character."""
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, LookupError, ValueError):
        return data.decode("latin-1")
    return text if text.count("\n") == data.count(b"\n") else data.decode("latin-1")


def _write(shadow: Shadow, entry: Entry, data: bytes) -> str:
    """Returns its path in the copy: its own, unless that is odd, or taken where names differ in more than case."""
    place = paths.join(paths.parent(entry.path), known_name(entry.name))
    if not _is_odd(place):
        try:
            _put(shadow.tree / place, data)
        except (FileExistsError, NotADirectoryError):
            pass
        else:
            return place
    place = known_name(f"{_RENAMED}/f{len(shadow.files)}.{entry.name.rpartition('.')[2]}")
    _put(shadow.tree / place, data)
    return place


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)


def _is_odd(place: str) -> bool:
    names = place.split("/")
    return (
        names[0] == _RENAMED
        or "\\" in place  # how the graph writes what is no text, or acts on a terminal
        or len(place.encode()) > _PATH_BYTES
        or any(len(name.encode()) > _NAME_BYTES for name in names)
    )
