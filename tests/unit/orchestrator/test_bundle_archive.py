"""The archive of a support bundle: bounded, clean, and it says what it has and what it has not."""

import io
import json
import zipfile
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from codestory.redaction import Cleaner
from codestory_orchestrator.bundles import contents
from codestory_orchestrator.bundles.archive import Archive
from codestory_orchestrator.bundles.lines import Kept, read

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECRET = "correct horse battery"


def unpacked(archive: Archive) -> dict[str, str]:
    packed = archive.close("job1", AT, "1.0", "an admin")
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        return {name: file.read(name).decode() for name in file.namelist()}


def test_it_says_what_each_file_is_and_what_is_missing() -> None:
    archive = Archive(10_000, Cleaner())
    archive.add(contents.JOB, {"id": "job1"})
    archive.miss(contents.GRAPH, "the graph is away")

    files = unpacked(archive)

    about = json.loads(files[contents.MANIFEST])
    assert json.loads(files[contents.JOB]) == {"id": "job1"}
    assert [entry["name"] for entry in about["files"]] == [contents.JOB]
    assert about["missing"] == [
        {"name": contents.GRAPH, "about": contents.FILES[contents.GRAPH], "why": "the graph is away"}
    ]
    assert f"`{contents.JOB}`: {contents.FILES[contents.JOB]}" in files[contents.README]
    assert f"`{contents.GRAPH}`: the graph is away" in files[contents.README]


def test_nothing_known_to_be_secret_is_in_any_part_of_it() -> None:
    archive = Archive(10_000, Cleaner([SECRET]))
    archive.add(contents.JOB, {"options": {"note": f"it is {SECRET}", "password": "swordfish"}})
    archive.add_lines(contents.LOGS, [archive.line({"line": f"said {SECRET}"})])
    archive.add_text(contents.METRICS, f'x{{l="{SECRET}"}} 1')
    archive.miss(contents.GRAPH, f"bolt://neo4j:swordfish@graph: {SECRET}")

    whole = "".join(unpacked(archive).values())

    assert SECRET not in whole
    assert "swordfish" not in whole


def test_a_file_of_lines_says_what_is_missing_of_it() -> None:
    archive = Archive(1000, Cleaner())

    archive.add_lines(contents.LOGS, [archive.line({"n": number}) for number in range(3)], "one left out")

    files = unpacked(archive)
    [entry] = json.loads(files[contents.MANIFEST])["files"]
    assert [json.loads(line)["n"] for line in files[contents.LOGS].splitlines()] == [0, 1, 2]
    assert entry["cut"] == "one left out"
    assert "**Cut: one left out.**" in files[contents.README]


def test_a_file_for_which_there_is_no_room_is_missing_and_named() -> None:
    archive = Archive(100, Cleaner())

    archive.add(contents.JOB, {"text": "x" * 200})
    archive.add(contents.WHY, {"text": "y"})

    files = unpacked(archive)
    assert contents.JOB not in files
    assert contents.WHY in files
    [missing] = json.loads(files[contents.MANIFEST])["missing"]
    assert missing["why"].startswith("too large: ")


class Line(BaseModel):
    n: int


class Page(BaseModel):
    lines: list[Line]
    next_seq: int
    more: bool


def items(page: Page) -> list[Line]:
    return page.lines


def written(line: Line) -> bytes:
    return f"{line.n}\n".encode()


async def test_of_a_history_that_is_too_long_the_first_and_the_last_are_kept() -> None:
    async def page(start: int) -> Page:
        return Page(lines=[Line(n=n) for n in range(start, start + 10)], next_seq=start + 10, more=start < 990)

    kept = Kept(200)
    await read(kept, page, items, written)

    numbers = [int(line) for line in kept.lines()]
    assert sum(map(len, kept.lines())) <= 200
    assert (numbers[0], numbers[1], numbers[-1]) == (0, 1, 999)
    assert kept.cut() == f"{1000 - len(numbers)} lines left out of its middle"


async def test_a_history_that_fits_is_whole() -> None:
    async def page(start: int) -> Page:
        return Page(lines=[Line(n=start)], next_seq=start + 1, more=start < 5)

    kept = Kept(1000)
    await read(kept, page, items, written)

    assert [int(line) for line in kept.lines()] == [0, 1, 2, 3, 4, 5]
    assert kept.cut() == ""


async def test_a_line_for_which_there_is_no_room_at_all_is_left_out() -> None:
    kept = Kept(10)

    for line in (b"x" * 20, b"y" * 4, b"z" * 30):
        kept.add(line)

    assert kept.lines() == []


async def test_a_history_that_breaks_off_keeps_what_was_read() -> None:
    async def page(start: int) -> Page:
        if start:
            raise ConnectionError
        return Page(lines=[Line(n=1)], next_seq=2, more=True)

    kept = Kept(1000)
    with pytest.raises(ConnectionError):
        await read(kept, page, items, written)

    assert kept.lines() == [b"1\n"]
    assert kept.cut() == "not all of it could be read"
