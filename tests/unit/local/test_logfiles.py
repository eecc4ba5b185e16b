"""Logs: bounded, readable over their rotations."""

from itertools import islice
from pathlib import Path

import pytest

from codestory.local import NoSuchLog, logs
from codestory.local.logfiles import RotatingLog, tail
from codestory.local.paths import StatePaths, state_paths


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    paths = state_paths(tmp_path)
    paths.make()
    return paths


def test_a_log_never_outgrows_its_bounds(paths: StatePaths) -> None:
    log = RotatingLog(paths.log("nats"), max_bytes=1000, files=3)
    for number in range(500):
        log.write(f"line {number}\n".encode())
    log.write(b"x" * 5000)
    log.close()

    sizes = [file.stat().st_size for file in paths.logs.iterdir()]
    assert len(sizes) == 3
    assert max(sizes) <= 1000


def test_one_file_is_enough(paths: StatePaths) -> None:
    log = RotatingLog(paths.log("nats"), max_bytes=10, files=1)
    for _ in range(5):
        log.write(b"12345678")
    log.close()

    assert [file.read_bytes() for file in paths.logs.iterdir()] == [b"12345678"]


def test_a_log_goes_on_after_a_restart(paths: StatePaths) -> None:
    for word in (b"one\n", b"two\n"):
        log = RotatingLog(paths.log("nats"), max_bytes=1000, files=2)
        log.write(word)
        log.close()

    assert tail(paths.log("nats"), 10) == ["one", "two"]


def test_the_tail_reaches_over_a_rotation(paths: StatePaths) -> None:
    log = RotatingLog(paths.log("nats"), max_bytes=20, files=2)
    for number in range(10):
        log.write(f"line {number}\n".encode())
    log.close()

    assert tail(paths.log("nats"), 3) == ["line 7", "line 8", "line 9"]


def test_a_log_is_found_by_process_and_by_step(paths: StatePaths) -> None:
    paths.log("step-filesystem").write_text("hello\n")

    assert list(logs("filesystem", state_dir=paths.root)) == [("step-filesystem", "hello")]
    assert list(logs("step-filesystem", state_dir=paths.root)) == [("step-filesystem", "hello")]


def test_without_a_name_the_end_of_each_log_is_given(paths: StatePaths) -> None:
    for name in ("graph", "nats"):
        paths.log(name).write_text("1\n2\n3\n")

    assert list(logs(lines=1, state_dir=paths.root)) == [("graph", "3"), ("nats", "3")]


def test_a_name_that_is_none_says_which_there_are(paths: StatePaths) -> None:
    paths.log("nats").write_text("")

    with pytest.raises(NoSuchLog, match="nats"):
        list(logs("../secrets/nats", state_dir=paths.root))


def test_following_goes_on_over_rotations_and_gives_whole_lines(paths: StatePaths) -> None:
    log = RotatingLog(paths.log("nats"), max_bytes=24, files=2)
    log.write(b"old\n")
    followed = logs("nats", lines=10, follow=True, state_dir=paths.root, poll=0.01)

    seen = [next(followed)]
    log.write(b"ha")
    log.write(b"lf\n")
    seen += islice(followed, 1)
    log.write(b"y" * 20 + b"\n")
    seen += islice(followed, 1)
    log.close()
    followed.close()

    assert [line for _, line in seen] == ["old", "half", "y" * 20]
