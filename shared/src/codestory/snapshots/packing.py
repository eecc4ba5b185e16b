"""Packs a repository's files into parts that are named by their content: the same files, the same parts.

Where one part ends and the next begins is told from the files themselves. So an upload that was interrupted goes on
where it was, and one of a repository that has changed a little sends little."""

import hashlib
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from codestory.contracts.jobs import Repository
from codestory.contracts.snapshots import LeftOut, Manifest
from codestory.files import paths
from codestory.files.confined import names_of, reason_of
from codestory.files.head import Head, head
from codestory.files.repository import Entry, FileSettings, Kind, RepositoryFiles, Unreadable
from codestory.files.walk import LINK_OUT
from codestory.repository_identity import upload_origin
from codestory.snapshots import tape
from codestory.snapshots.tape import Member

#: Bytes before compression. A part ends behind a file, after at least LEAST and as a rule after about three times as
#: many; one that reaches MOST ends in any case.
LEAST, MOST = 1024 * 1024, 8 * 1024 * 1024
#: A file that changes while it is read is read again so often.
TRIES = 3
#: As much of a file is held in memory; a larger one is copied to disk first, so that its size is known.
IN_MEMORY = 8 * 1024 * 1024
#: No limit of ours: how much the service keeps is its own setting, and each step has its own limit of a file's size.
MAX_FILE_BYTES = 2**40
_IGNORE_FILES = (".codestoryignore", ".gitignore")
_EXCLUDE = ".git/info/exclude"
#: Of git's own files.
_MAX_RULE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Part:
    sha256: str
    data: bytes


class Packing:
    """One repository, once: take the `parts`, then the `manifest`. Blocking. Use it in a `with`."""

    def __init__(self, repository: Repository, root: Path | None = None) -> None:
        """`root`: where the files are, unless the repository's path says so."""
        self._repository = repository
        self._root = root or Path(repository.path)
        self._files = RepositoryFiles(self._root, FileSettings(max_file_bytes=MAX_FILE_BYTES))
        self._entries = list(self._files.walk())
        self._head = head(self._files)
        self._cutter = _Cutter()
        self._parts: list[str] = []
        self._left_out: list[LeftOut] = []
        self._left_out_count = 0
        self._packed = 0
        #: Bytes of files that have been read, and that there were when they were counted: for people.
        self.done, self.total = 0, sum(entry.size for entry in self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def parts(self) -> Iterator[Part]:
        """All of them, the same in the same order for the same files."""
        for pieces in self._members():
            for piece in pieces:
                yield from self._noted(self._cutter.take(piece))
            yield from self._noted(self._cutter.after_member())
        yield from self._noted(self._cutter.take(tape.END))
        yield from self._noted(self._cutter.cut())

    def manifest(self) -> bytes:
        """What stands for the whole, once all parts have been taken."""
        known = self._repository
        return (
            Manifest(
                name=known.name,
                url=known.url,
                origin="" if known.url else known.origin or upload_origin(self._root),
                branch=self._head.branch[:1000],
                commit=self._head.commit,
                files=self._packed,
                bytes=self.done,
                parts=tuple(self._parts),
                left_out=tuple(self._left_out),
                left_out_count=self._left_out_count,
            )
            .model_dump_json(exclude_defaults=True)
            .encode()
        )

    def _noted(self, parts: Iterator[Part]) -> Iterator[Part]:
        for part in parts:
            self._parts.append(part.sha256)
            yield part

    def _members(self) -> Iterator[Iterator[bytes]]:
        """Each as the pieces that it is written in."""
        yield from (_whole(Member(path, size=len(text)), text) for path, text in self._git(self._head))
        yield from self._ignore_files(paths.ROOT)
        for entry in self._entries:
            names = names_of(entry.path)
            path = b"/".join(names)
            if entry.kind is Kind.DIRECTORY:
                if entry.reason:
                    self._leave_out(entry.path, entry.reason)
                    continue
                yield iter([tape.header(Member(path, tape.DIRECTORY))])
                yield from self._ignore_files(entry.path)
            elif entry.kind is Kind.SYMLINK:
                yield from self._link(entry, names, path)
            elif entry.kind is Kind.FILE:
                yield self._file(entry, path)
            else:
                self._leave_out(entry.path, entry.reason)

    def _file(self, entry: Entry, path: bytes) -> Iterator[bytes]:
        """Read whole before a word of it is written: a file may change, or be refused, in the middle."""
        for left in reversed(range(TRIES)):
            with tempfile.SpooledTemporaryFile(IN_MEMORY) as copy:
                try:
                    for block in self._files.blocks(entry):
                        copy.write(block)
                except Unreadable as error:
                    if not left:
                        self._leave_out(entry.path, error.reason)
                    continue
                size = copy.tell()
                copy.seek(0)
                yield tape.header(Member(path, size=size))
                while block := copy.read(tape.BLOCK * 512):
                    yield block
                yield tape.padding(size)
            self._packed += 1
            self.done += size
            return

    def _link(self, entry: Entry, names: tuple[bytes, ...], path: bytes) -> Iterator[Iterator[bytes]]:
        try:
            target = tape.OUTSIDE if entry.reason == LINK_OUT else self._files.link(names)
        except OSError as error:
            self._leave_out(entry.path, reason_of(error))
            return
        yield iter([tape.header(Member(path, tape.LINK, link=target))])

    def _ignore_files(self, directory: str) -> Iterator[Iterator[bytes]]:
        """Also those that are themselves ignored: their rules hold all the same, where the files are unpacked too."""
        for name in _IGNORE_FILES:
            path = paths.join(directory, name)
            if path not in self._listed and (text := self._text(path)):
                yield _whole(Member(b"/".join(names_of(path)), size=len(text)), text)

    @cached_property
    def _listed(self) -> frozenset[str]:
        return frozenset(entry.path for entry in self._entries if entry.name in _IGNORE_FILES)

    def _git(self, found: Head) -> Iterator[tuple[bytes, bytes]]:
        """As much of `.git` as says what is checked out and what is ignored; nothing that git would run."""
        branch = paths.unescape(found.branch) if found.branch else b""
        ref = b"refs/heads/" + branch
        if branch and {b"", b".", b".."}.isdisjoint(ref.split(b"/")):
            yield b".git/HEAD", b"ref: " + ref + b"\n"
            if found.commit:
                yield b".git/" + ref, found.commit.encode() + b"\n"
        elif found.commit:
            yield b".git/HEAD", found.commit.encode() + b"\n"
        if text := self._text(_EXCLUDE):
            yield _EXCLUDE.encode(), text

    def _text(self, path: str) -> bytes:
        try:
            return self._files.read(path, max_bytes=_MAX_RULE_BYTES)
        except Unreadable:
            return b""

    def _leave_out(self, path: str, reason: str) -> None:
        self._left_out_count += 1
        if len(self._left_out) < 100:
            self._left_out.append(LeftOut(path=path[-4096:], reason=reason[:300]))


class _Cutter:
    """Compresses what it is given, and cuts it into parts."""

    def __init__(self) -> None:
        self._begin()
        self._member = hashlib.sha256()
        self._member_size = 0

    def _begin(self) -> None:
        self._size = 0
        self._packed = bytearray()
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: as gzip, with no time in it

    def take(self, data: bytes) -> Iterator[Part]:
        self._size += len(data)
        self._member_size += len(data)
        self._member.update(data)
        self._packed += self._compressor.compress(data)
        if self._size >= MOST:
            yield from self.cut()

    def after_member(self) -> Iterator[Part]:
        """A good place to cut, the better the larger this member was: its content alone decides."""
        chance = int.from_bytes(self._member.digest()[:4], "big") / 2**32
        wanted = self._size >= LEAST and chance * 2 * LEAST < self._member_size
        self._member, self._member_size = hashlib.sha256(), 0
        if wanted:
            yield from self.cut()

    def cut(self) -> Iterator[Part]:
        if self._size:
            data = bytes(self._packed + self._compressor.flush())
            yield Part(hashlib.sha256(data).hexdigest(), data)
            self._begin()


def _whole(member: Member, content: bytes) -> Iterator[bytes]:
    return iter([tape.header(member) + content + tape.padding(member.size)])
