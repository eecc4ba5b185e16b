"""Archives of strangers: what they try, and that nothing comes of it."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestory.snapshots import tape
from codestory.snapshots.tape import Damaged, Member
from codestory.snapshots.unpacking import Limits, TooMuch, unpack

SMALL = Limits(bytes=10_000, entries=20, depth=5)


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def archive(*members: tuple[Member, bytes]) -> bytes:
    body = b"".join(tape.header(member) + content + tape.padding(len(content)) for member, content in members)
    return packed(body + tape.END)


def file(path: bytes, content: bytes = b"x") -> tuple[Member, bytes]:
    return Member(path, size=len(content)), content


def link(path: bytes, target: bytes) -> tuple[Member, bytes]:
    return Member(path, tape.LINK, link=target), b""


def everything_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "target"
    target.mkdir()
    return target


@pytest.mark.parametrize(
    "members",
    [
        [file(b"../x")],
        [file(b"/x")],
        [file(b"a/../../x")],
        [file(b"a//x")],
        [file(b"./x")],
        [link(b"a", b"/etc/passwd")],
        [link(b"a", b"../x")],
        [link(b"a/b", b"../../x")],
        [link(b"a", b"")],
        [link(b"a", b".."), file(b"a/x")],
        [link(b"a", b"b"), file(b"a/x")],
        [file(b"a"), file(b"a")],
        [file(b"a"), file(b"a/b")],
        [link(b"a", b"b"), link(b"a", b"c")],
        [(Member(b"device", tarfile.CHRTYPE), b"")],
        [(Member(b"pipe", tarfile.FIFOTYPE), b"")],
        [(Member(b"hard", tarfile.LNKTYPE, link=b"/etc/passwd"), b"")],
        [(Member(b"sparse", tarfile.GNUTYPE_SPARSE), b"")],
        [(Member(b"pax", tarfile.XHDTYPE, size=3), b"abc")],
    ],
)
def test_what_leads_out_or_is_something_else_is_refused(
    members: list[tuple[Member, bytes]], target: Path, tmp_path: Path
) -> None:
    with pytest.raises(Damaged):
        unpack([archive(*members)], target, SMALL)

    assert {path.name for path in tmp_path.iterdir()} == {"target"}


@pytest.mark.parametrize(
    "members",
    [
        [file(b"a", bytes(10_001))],
        [file(b"a", bytes(6000)), file(b"b", bytes(6000))],
        [file(f"{n}".encode()) for n in range(21)],
        [(Member(f"{n}".encode(), tape.DIRECTORY), b"") for n in range(21)],
        [file(b"1/2/3/4/5/6/7")],
    ],
)
def test_more_than_it_may_be_is_refused(members: list[tuple[Member, bytes]], target: Path) -> None:
    with pytest.raises(TooMuch):
        unpack([archive(*members)], target, SMALL)


def test_a_small_part_that_grows_without_end_is_left_when_it_is_too_much(target: Path) -> None:
    bomb = archive((Member(b"zeros", size=500_000_000), bytes(50_000_000)))

    with pytest.raises(TooMuch):
        unpack([bomb], target, SMALL)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        packed(b""),
        packed(bytes(100)),
        packed(b"x" * 5000),
        archive(file(b"a", b"content"))[:-20],
        archive(file(b"a")) + b"more",
        packed(tape.header(Member(b"a", size=50)) + b"too little"),
        packed(tape.END + b"more"),
    ],
    ids=range(9),
)
def test_what_is_no_archive_of_ours_is_refused(data: bytes, target: Path) -> None:
    with pytest.raises(Damaged):
        unpack([data], target, SMALL)


@given(st.binary(max_size=3000))
def test_any_bytes_are_unpacked_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    target = tmp_path_factory.mktemp("any")
    try:
        unpack([packed(data)], target, SMALL)
    except (Damaged, TooMuch):
        return
    assert len(everything_below(target)) <= SMALL.entries


def test_it_ends_when_it_is_told_to(target: Path) -> None:
    with pytest.raises(InterruptedError):
        unpack([archive(file(b"a"))], target, SMALL, ending=lambda: True)


def test_a_link_that_stays_inside_and_one_that_is_marked_as_leading_out_are_made(target: Path) -> None:
    unpack([archive(link(b"a/b", b"../c"), link(b"out", tape.OUTSIDE), file(b"c"))], target, SMALL)

    assert everything_below(target) == {"a", "a/b", "c", "out"}


def test_the_parts_together_are_what_tar_reads() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive(file(b"a" * 300, b"content")))) as read:
        [member] = read.getmembers()
        content = read.extractfile(member)

        assert (member.name, content and content.read()) == ("a" * 300, b"content")
