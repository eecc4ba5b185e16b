"""The form of a snapshot's archive, read and written alike: GNU tar of directories, regular files and symbolic links,
compressed. All that differs between two machines with the same files is left out: times, owners, rights."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

#: Where a link leads that led out of the repository. The graph tells such a link from others, not where it leads.
OUTSIDE = b"/outside/the/repository"
BLOCK = tarfile.BLOCKSIZE
#: The end of an archive.
END = bytes(2 * BLOCK)
#: Of one member's path, or of what a link says: far beyond what a file system allows.
MAX_NAME_BYTES = 64 * 1024

DIRECTORY, FILE, LINK = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE
LONG_NAME, LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
_ENCODING, _ERRORS = "utf-8", "surrogateescape"


class Damaged(Exception):
    """This is not an archive that we have packed. The message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Member:
    """What stands before a member's content. Names as the file system has them."""

    path: bytes
    kind: bytes = FILE
    size: int = 0
    link: bytes = b""


def header(member: Member) -> bytes:
    """One block, and more where a name is long."""
    info = tarfile.TarInfo(member.path.decode(_ENCODING, _ERRORS))
    info.type, info.size = member.kind, member.size
    info.linkname = member.link.decode(_ENCODING, _ERRORS)
    info.mode = 0o755 if member.kind == DIRECTORY else 0o644
    return info.tobuf(tarfile.GNU_FORMAT, _ENCODING, _ERRORS)


def padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


class Reader:
    """Takes an archive apart as it comes. `blocks`: its bytes, in pieces of any length."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._held = b""

    def members(self) -> Iterator[Member]:
        """Each one's `content` is to be taken before the next. Raises Damaged."""
        path = link = b""
        while (raw := self._exactly(BLOCK)) != bytes(BLOCK):
            info = _parsed(raw)
            if info.type in {LONG_NAME, LONG_LINK}:
                text = self._long_name(info.size)
                path, link = (text, link) if info.type == LONG_NAME else (path, text)
                continue
            if info.type not in {DIRECTORY, FILE, LINK} or info.size < 0 or (info.size and info.type != FILE):
                raise Damaged("it holds something else than directories, files and links")
            name, target = (text.encode(_ENCODING, _ERRORS) for text in (info.name, info.linkname))
            yield Member(path or name, info.type, info.size, link or target)
            path = link = b""
        if self._exactly(BLOCK) != bytes(BLOCK) or self._held or any(self._blocks):
            raise Damaged("it goes on behind its end")

    def content(self, member: Member) -> Iterator[bytes]:
        left = member.size
        while left:
            block = self._some(left)
            left -= len(block)
            yield block
        self._exactly(-member.size % BLOCK)

    def _long_name(self, size: int) -> bytes:
        if not 0 < size <= MAX_NAME_BYTES:
            raise Damaged("it holds a name that no file system takes")
        text = self._exactly(size)
        self._exactly(-size % BLOCK)
        return text.rstrip(b"\0")

    def _some(self, most: int) -> bytes:
        while not self._held:
            self._held = next(self._blocks, None) or _cut_off()
        block, self._held = self._held[:most], self._held[most:]
        return block

    def _exactly(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            got += self._some(size - len(got))
        return bytes(got)


def _cut_off() -> bytes:
    raise Damaged("it ends too early")


def _parsed(raw: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(raw, _ENCODING, _ERRORS)
    except tarfile.HeaderError as error:
        raise Damaged(f"it cannot be read: {error}") from error
