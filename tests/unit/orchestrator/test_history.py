"""What is told of a message of the streams, and when a history no longer goes back far enough. No server."""

from datetime import UTC, datetime, timedelta

import pytest

from codestory.bus import Stored
from codestory.contracts.jobs import Attempt, Job, Repository
from codestory.contracts.plans import StepPlan
from codestory_orchestrator import pipeline
from codestory_orchestrator.api import sse
from codestory_orchestrator.history import messages
from codestory_orchestrator.history.history import begun, reaches
from codestory_orchestrator.history.reading import Kept

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
EVENT = "codestory.evt.job1.scan.started"


def stored(subject: str, data: bytes) -> Stored:
    return Stored(subject, 7, data, at=AT)


def test_an_event_says_where_it_belongs_and_what_it_says() -> None:
    told = messages.event(stored(EVENT, b'{"attempt": 2, "worker": "w"}'))

    assert told
    assert (told.seq, told.at, told.job, told.step, told.kind, told.attempt) == (7, AT, "job1", "scan", "started", 2)
    assert told.data == {"attempt": 2, "worker": "w"}


def test_an_event_of_the_job_itself_has_no_step() -> None:
    told = messages.event(stored("two.words.evt.job1.job.ended", b'{"run": 1}'))

    assert told
    assert (told.job, told.step, told.kind, told.attempt) == ("job1", "", "ended", 0)


def test_a_kind_that_is_only_known_to_newer_services_is_told_and_what_can_be_none_is_not() -> None:
    assert messages.event(stored("codestory.evt.job1.scan.paused", b"{}"))
    assert messages.event(stored("codestory.evt.job1.scan.PAUSED", b"{}")) is None
    assert messages.event(stored("codestory.evt.job1.scan.x\x1b[31m", b"{}")) is None


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"[]", b"null", b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", b'{"attempt": "two"}'],
)
def test_what_cannot_be_read_is_told_without_it(data: bytes) -> None:
    told = messages.event(stored(EVENT, data))
    line = messages.log_line(stored("codestory.log.job1.scan", data))

    assert told
    assert told.attempt == line.attempt == 0
    assert told.model_dump_json()
    assert line.model_dump_json()


def test_half_a_character_is_replaced_and_the_rest_is_kept() -> None:
    line = messages.log_line(stored("codestory.log.job1.scan", b'{"event": "read", "path": "a\\udcff.py"}'))

    assert line.event == "read"
    assert line.fields == {"path": "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.py"}
    assert line.model_dump_json()


def test_a_log_line_has_its_own_fields_beside_those_that_all_have() -> None:
    said = b'{"event": "step.output", "level": "warning", "attempt": 3, "step": "scan", "job_id": "job1", "line": "hi"}'

    line = messages.log_line(stored("codestory.log.job1.scan", said))

    assert (line.step, line.level, line.event, line.attempt, line.fields) == (
        "scan",
        "warning",
        "step.output",
        3,
        {"line": "hi"},
    )


KEPT = Kept(epoch=1, first=100, last=200, since=AT)
LATER, EARLIER = AT + timedelta(minutes=1), AT - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("start", "job_began", "reached"),
    [
        (0, EARLIER, True),  # whatever is there
        (1, LATER, True),  # it began when the oldest message was there
        (1, AT, True),  # the oldest message is its own first
        (1, None, True),  # nothing has happened to it
        (1, EARLIER, False),
        (99, EARLIER, False),
        (100, EARLIER, True),
        (201, EARLIER, True),  # the next
        (202, LATER, False),  # of another life of the stream
    ],
)
def test_a_history_reaches_back_unless_something_of_the_job_was_dropped(
    *, start: int, job_began: datetime | None, reached: bool
) -> None:
    assert reaches(KEPT, start, job_began) is reached


def test_of_a_stream_that_holds_nothing_nothing_is_left_of_a_job_that_had_begun() -> None:
    empty = Kept(epoch=1, first=101, last=100, since=None)

    assert reaches(empty, 0, AT)
    assert reaches(empty, 101, AT)
    assert not reaches(empty, 50, AT)
    assert reaches(empty, 50, None)


def test_a_job_began_with_its_first_attempt() -> None:
    assert begun(job()) is None
    assert begun(job(scan=AT + timedelta(1), read=AT)) == AT


def job(**began: datetime) -> Job:
    plan = tuple(StepPlan(name=name) for name in ("scan", "read"))
    made = pipeline.make("job1", Repository(id="r", name="shop", path="/srv/shop"), plan, at=AT)
    for name, at in began.items():
        made = made.having(name, attempts=(Attempt(number=1, started_at=at), Attempt(number=2)))
    return made


@pytest.mark.parametrize(
    ("accept", "stream"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("application/json, text/event-stream;q=0.5", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=0.000", False),
    ],
)
def test_a_stream_is_for_who_asks_for_one(*, accept: str, stream: bool) -> None:
    assert sse.wanted(accept) is stream
