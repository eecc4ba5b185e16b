"""What a container says of a folder, where an engine cannot be brought to say it."""

from pathlib import Path, PurePosixPath
from typing import Any, cast

from docker.models.containers import Container, ExecResult

from codestory.containers.project import Reader, Sight


class Answering:
    """A container whose programs end well and whose engine passes this on."""

    def __init__(self, out: bytes | None) -> None:
        self.out = out

    def exec_run(self, *_: Any, **__: Any) -> ExecResult:
        return ExecResult(0, cast("Any", (self.out, None)))  # with demux, which the stubs do not know


def sees(out: bytes | None, path: Path) -> Sight:
    return Reader(cast("Container", Answering(out)), "filesystem", ()).sees(PurePosixPath("/repositories/x"), path)


def test_an_answer_that_the_engine_has_lost_is_no_folder_and_is_asked_for_again(tmp_path: Path) -> None:
    there = tmp_path.stat()

    assert sees(None, tmp_path) is Sight.NONE
    assert sees(b"", tmp_path) is Sight.NONE
    assert sees(f"{there.st_dev}\0{there.st_ino}".encode(), tmp_path) is Sight.SAME
