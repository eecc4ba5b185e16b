"""The times that cron names, what an occurrence makes of a schedule, and the routes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestory.contracts.api import SubmitJob
from codestory.contracts.schedules import ChangeSchedule, CreateSchedule, Schedule
from codestory_orchestrator import errors
from codestory_orchestrator.api import ApiSettings, create_app
from codestory_orchestrator.scheduling import occurrences
from codestory_orchestrator.scheduling.cron import following
from codestory_orchestrator.testing_api import REVISION, ScriptedIngestion

REQUEST = SubmitJob(repository="/srv/shop")
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def times(cron: str, zone: str, after: datetime, count: int) -> list[str]:
    """The next ones, as the clocks of the zone show them."""
    found: list[str] = []
    for _ in range(count):
        coming = following(cron, zone, after)
        assert coming is not None
        assert coming > after
        after = coming
        found.append(f"{coming.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %z}")
    return found


def made(cron: str = "0 * * * *", **more: Any) -> Schedule:
    return occurrences.made(CreateSchedule(job=REQUEST, cron=cron, **more), "s1", NOON)


# times


def test_a_time_that_the_clocks_skip_comes_right_after_the_gap() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    assert times("30 2 * * *", "Europe/Berlin", before, 2) == ["2026-03-29 03:00 +0200", "2026-03-30 02:30 +0200"]


def test_a_time_that_the_clocks_repeat_comes_once() -> None:
    before = datetime(2026, 10, 24, 12, tzinfo=BERLIN)
    assert times("30 2 * * *", "Europe/Berlin", before, 2) == ["2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"]


@pytest.mark.parametrize("minute", [0, 15, 30, 45, 59])
def test_in_the_repeated_hour_the_first_pass_is_not_named_again(minute: int) -> None:
    second_pass = datetime(2026, 10, 25, 1, minute, tzinfo=UTC)
    assert times("30 2 * * *", "Europe/Berlin", second_pass, 1) == ["2026-10-26 02:30 +0100"]


def test_what_comes_every_half_hour_goes_on_when_the_clocks_change() -> None:
    spring = datetime(2026, 3, 29, 0, tzinfo=UTC)
    autumn = datetime(2026, 10, 25, 0, tzinfo=UTC)
    for start in (spring, autumn):
        after, distances = start, set[timedelta]()
        for _ in range(8):
            coming = following("*/30 * * * *", "Europe/Berlin", after)
            assert coming
            distances.add(coming - after)
            after = coming
        assert distances == {timedelta(minutes=30)}


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 0 31 * *", ["2026-12-31", "2027-01-31", "2027-03-31"]),
        ("0 0 L * *", ["2026-11-30", "2026-12-31", "2027-01-31"]),
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29"]),
        ("0 0 * * MON#1", ["2026-12-07", "2027-01-04", "2027-02-01"]),
        ("0 0 1,15 * MON", ["2026-11-30", "2026-12-01", "2026-12-07"]),
    ],
)
def test_months_end_where_they_end(cron: str, expected: list[str]) -> None:
    assert [time[:10] for time in times(cron, "UTC", NOON, 3)] == expected


def test_the_next_time_is_strictly_later() -> None:
    assert following("0 12 * * *", "UTC", NOON) == NOON + timedelta(days=1)
    assert following("0 12 * * *", "UTC", NOON - timedelta(microseconds=1)) == NOON


@given(
    st.sampled_from(["30 2 * * *", "*/7 1-3 * * *", "0 0 L * *", "0 * * * SUN", "15 1,2,3 * * *"]),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # given one here
)
def test_times_go_forward_everywhere(cron: str, zone: str, after: datetime) -> None:
    first = following(cron, zone, after)
    second = following(cron, zone, first or after)
    assert first
    assert second
    assert after < first < second


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("@daily", "has 1 fields"),
        ("* * * * * *", "has 6 fields"),
        ("61 * * * *", "bad minute"),
        ("* * * * MUN", "bad day-of-week"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("é ² * * *", "bad minute"),
        ("*/0 * * * *", "bad minute"),
    ],
)
def test_a_cron_expression_with_a_mistake_is_refused_with_the_mistake(cron: str, says: str) -> None:
    with pytest.raises(errors.ScheduleInvalid, match=says) as refused:
        made(cron)
    assert "minute, hour, day of the month, month, day of the week" in str(refused.value)


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Berlin", "Did you mean 'Europe/Berlin'"),
        ("europe/berlin", "Did you mean 'Europe/Berlin'"),
        ("localtime", "IANA"),
        ("../../etc/passwd", "IANA"),
        ("Europe", "Did you mean"),
        ("a\0b", "IANA"),
    ],
)
def test_an_unknown_time_zone_is_refused_with_one_that_may_be_meant(zone: str, hint: str) -> None:
    with pytest.raises(errors.ScheduleInvalid, match=hint):
        made(time_zone=zone)


@given(st.text(min_size=1, max_size=40))
def test_whatever_stands_for_cron_is_read_or_refused(cron: str) -> None:
    try:
        coming = following(cron, "Europe/Berlin", NOON)
    except errors.ScheduleInvalid:
        return
    assert coming is None or coming > NOON


# occurrences


def test_an_occurrence_moves_on_to_the_first_time_that_is_not_past() -> None:
    schedule = made()
    due = NOON + timedelta(hours=1)
    assert schedule.next_at == due
    moved = occurrences.passed(schedule, due, due + timedelta(hours=5, minutes=1), job="j1")
    assert (moved.last_at, moved.last_job, moved.made, moved.left_out, moved.problem) == (due, "j1", 1, 0, "")
    assert moved.next_at == due + timedelta(hours=6)


def test_an_occurrence_counts_once() -> None:
    due = NOON + timedelta(hours=1)
    moved = occurrences.passed(made(), due, due, job="j1")
    for again in ({"job": "j1"}, {}, {"problem": "x"}):
        assert occurrences.passed(moved, due, due + timedelta(hours=9), **again) == moved


def test_a_clock_that_is_behind_does_not_name_an_occurrence_again() -> None:
    due = NOON + timedelta(hours=1)
    early = due - timedelta(milliseconds=3)
    moved = occurrences.passed(made(), due, early, job="j1")
    assert moved.next_at == due + timedelta(hours=1)
    paused = occurrences.changed(moved, ChangeSchedule(paused=True), early)
    assert occurrences.changed(paused, ChangeSchedule(paused=False), early).next_at == due + timedelta(hours=1)


def test_one_that_was_left_out_says_for_which_job() -> None:
    due = NOON + timedelta(hours=1)
    first = occurrences.passed(made(), due, due, job="j1")
    second = occurrences.passed(first, due + timedelta(hours=1), due + timedelta(hours=1))
    assert (second.made, second.left_out, second.last_job) == (1, 1, "j1")
    assert "j1" in second.problem
    third = occurrences.passed(second, due + timedelta(hours=2), due + timedelta(hours=2), job="j2")
    assert (third.made, third.left_out, third.last_job, third.problem) == (2, 1, "j2", "")


def test_a_zone_that_is_gone_ends_the_schedule_and_says_so() -> None:
    schedule = made().model_copy(update={"time_zone": "Europe/Gone"})
    assert schedule.next_at
    ended = occurrences.passed(schedule, schedule.next_at, schedule.next_at, job="j1")
    assert ended.next_at is None
    assert "Europe/Gone" in ended.problem


def test_a_change_of_nothing_changes_nothing_and_other_times_count_from_now() -> None:
    schedule = made()
    later = NOON + timedelta(days=3, minutes=10)
    assert occurrences.changed(schedule, ChangeSchedule(cron="0 * * * *", paused=False), later) == schedule
    assert occurrences.changed(schedule, ChangeSchedule(cron="30 * * * *"), later).next_at == later + timedelta(
        minutes=20
    )


@pytest.mark.parametrize("more", [{"eta": NOON}, {"countdown": 3}])
def test_a_job_of_a_schedule_bears_no_time_of_its_own(more: dict[str, Any]) -> None:
    request = CreateSchedule(job=REQUEST.model_copy(update=more), cron="0 * * * *")
    with pytest.raises(errors.ScheduleInvalid, match="neither eta nor countdown"):
        occurrences.made(request, "s1", NOON)


def test_ids_of_jobs_grow_with_their_times_and_differ_between_schedules() -> None:
    one, other = made(), made().model_copy(update={"id": "s2"})
    ids = [occurrences.job_id(one, NOON + timedelta(minutes=i)) for i in range(5)]
    assert ids == sorted(ids)
    assert occurrences.job_id(one, NOON) == ids[0] != occurrences.job_id(other, NOON)


# routes


class Scripted:
    """Answers with one schedule."""

    def __init__(self) -> None:
        self.schedule = made()
        self.asked: list[Any] = []

    async def create(
        self, request: CreateSchedule, *, schedule_id: str = "", owner: str = "", key: str = ""
    ) -> Schedule:
        del key
        self.asked.append(request)
        return occurrences.made(request, schedule_id or "s1", NOON, owner)

    async def list_schedules(self) -> list[Schedule]:
        return [self.schedule]

    async def show(self, schedule_id: str) -> Schedule:
        if schedule_id != "s1":
            raise errors.ScheduleNotFound(schedule_id)
        return self.schedule.model_copy(update={"revision": REVISION})

    async def change(
        self, schedule_id: str, request: ChangeSchedule, revisions: frozenset[int] | None = None
    ) -> Schedule:
        return occurrences.changed(await self._on_condition(schedule_id, revisions), request, NOON)

    async def delete(self, schedule_id: str, revisions: frozenset[int] | None = None) -> None:
        await self._on_condition(schedule_id, revisions)

    async def _on_condition(self, schedule_id: str, revisions: frozenset[int] | None) -> Schedule:
        shown = await self.show(schedule_id)
        if revisions is not None and shown.revision not in revisions:
            raise errors.ChangedMeanwhile(f"schedule {schedule_id}")
        return shown


async def call(method: str, path: str, **more: Any) -> httpx.Response:
    app = create_app(ScriptedIngestion(), ApiSettings(), schedules=Scripted())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8420") as asking:
        return await asking.request(method, f"/v1/ingest/schedules{path}", **more)


async def test_a_schedule_is_made_and_says_where_it_is() -> None:
    body = {"job": {"repository": "/srv/shop"}, "cron": "30 2 * * MON-FRI", "time_zone": "Europe/Berlin"}
    answer = await call("POST", "", json=body)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/ingest/schedules/s1"
    assert answer.json()["next_at"] == "2026-11-30T01:30:00Z"


async def test_schedules_are_listed_shown_changed_and_deleted() -> None:
    assert [one["id"] for one in (await call("GET", "")).json()["schedules"]] == ["s1"]
    assert (await call("GET", "/s1")).json()["cron"] == "0 * * * *"
    paused = await call("PATCH", "/s1", json={"paused": True})
    assert (paused.status_code, paused.json()["paused"], paused.json()["next_at"]) == (200, True, None)
    gone = await call("DELETE", "/s1")
    assert (gone.status_code, gone.content) == (204, b"")


async def test_a_schedule_is_changed_only_as_it_is_known() -> None:
    etag = (await call("GET", "/s1")).headers["etag"]
    old = etag.replace(f"{REVISION}-", f"{REVISION - 1}-")

    for method, body in (("PATCH", {"paused": True}), ("DELETE", None)):
        refused = await call(method, "/s1", json=body, headers={"If-Match": old})
        malformed = await call(method, "/s1", json=body, headers={"If-Match": "7"})
        done = await call(method, "/s1", json=body, headers={"If-Match": f"{old}, {etag}"})

        assert (refused.status_code, refused.json()["code"]) == (412, "changed_meanwhile")
        assert refused.headers["etag"] == etag
        assert (malformed.status_code, malformed.json()["code"]) == (400, "condition_malformed")
        assert done.is_success
    same = await call("GET", "/s1", headers={"If-None-Match": etag})
    assert (same.status_code, same.content) == (304, b"")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "", {"job": {"repository": "/srv/shop"}, "cron": "every day"}, 422, "schedule_invalid"),
        ("POST", "", {"job": {"repository": "/srv/shop"}, "cron": ""}, 422, "invalid_request"),
        ("POST", "", {"cron": "0 * * * *"}, 422, "invalid_request"),
        ("PATCH", "/s1", {"time_zone": "Berlin"}, 422, "schedule_invalid"),
        ("PATCH", "/s1", {"jobs": 1}, 422, "invalid_request"),
        ("GET", "/s2", None, 404, "schedule_not_found"),
        ("PATCH", "/s2", {"paused": True}, 404, "schedule_not_found"),
        ("DELETE", "/s2", None, 404, "schedule_not_found"),
    ],
)
async def test_what_cannot_be_done_is_a_problem(method: str, path: str, body: Any, status: int, code: str) -> None:
    answer = await call(method, path, json=body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)
