"""What a list of jobs shows, and how its pages follow each other."""

import base64
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from codestory.contracts.jobs import Job, Repository
from codestory.contracts.listing import JobFilter, ListJobs, Sort
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import JobState, Priority
from codestory_orchestrator import listing, pipeline
from codestory_orchestrator.errors import CursorInvalid
from codestory_orchestrator.sketches import Sketch, sketch

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def known(name: str, minutes: float = 0, **changes: Any) -> Sketch:
    """A job made so many minutes after noon."""
    plan = (StepPlan(name="scan"), StepPlan(name="link"))
    repository = Repository(id="r1", name="shop", path="/srv/shop")
    job: Job = pipeline.make(name, repository, plan, at=AT + timedelta(minutes=minutes), priority=Priority.DEFAULT)
    return sketch(job.model_copy(update=changes), 1)


def ids(jobs: list[Sketch], **query: Any) -> list[str]:
    """Through all pages."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = listing.page(jobs, ListJobs(cursor=cursor, **query))
        found += page.ids
        cursor = page.next
        if cursor is None:
            return found


ONE = known("one")
OTHER = known(
    "other",
    10,
    repository=Repository(id="r2", name="till", path="/srv/till"),
    plan=(StepPlan(name="summarise"),),
    state=JobState.FAILED,
    ended_at=AT,
    priority=Priority.HIGH,
    schedule="s1",
    owner="team",
)


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({}, ["one", "other"]),
        ({"status": ("PENDING",)}, ["one"]),
        ({"status": ("PENDING", "FAILED")}, ["one", "other"]),
        ({"repository": "shop"}, ["one"]),
        ({"repository": "r2"}, ["other"]),
        ({"repository": "sho"}, []),
        ({"step": "link"}, ["one"]),
        ({"priority": "high"}, ["other"]),
        ({"since": AT + timedelta(minutes=10)}, ["other"]),
        ({"until": AT + timedelta(minutes=10)}, ["one"]),
        ({"schedule": "s1"}, ["other"]),
        ({"schedule": "s1", "repository": "shop"}, []),
    ],
)
def test_a_job_is_shown_that_fits_every_filter(filters: dict[str, Any], shown: list[str]) -> None:
    assert [job.id for job in listing.matching([ONE, OTHER], JobFilter(**filters))] == shown


def test_others_see_their_own_only() -> None:
    assert listing.page([ONE, OTHER], ListJobs(), "team").ids == ("other",)
    assert listing.page([ONE, OTHER], ListJobs(), "").ids == ("one",)
    assert listing.page([ONE, OTHER], ListJobs(), None).ids == ("other", "one")


@pytest.mark.parametrize(
    ("sort", "shown"),
    [
        (Sort.NEWEST, ["d", "c", "b", "a"]),
        (Sort.OLDEST, ["a", "b", "c", "d"]),
        (Sort.LAST_ENDED, ["a", "c"]),
        (Sort.FIRST_ENDED, ["c", "a"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 200])
def test_every_order_holds_over_the_pages(sort: Sort, shown: list[str], limit: int) -> None:
    jobs = [
        known("b", 1),
        known("c", 1, state=JobState.FAILED, ended_at=AT + timedelta(hours=1)),
        known("a", 0, state=JobState.COMPLETED, ended_at=AT + timedelta(hours=2)),
        known("d", 2),
    ]

    assert ids(jobs, sort=sort, limit=limit) == shown


def test_jobs_that_come_and_go_between_two_pages_hide_and_repeat_none() -> None:
    chance = random.Random(1)
    old = [known(f"old{number:03}", chance.randrange(50)) for number in range(200)]
    jobs, gone, shown, cursor = list(old), set[str](), list[str](), None

    while True:
        page = listing.page(jobs, ListJobs(limit=7, cursor=cursor))
        shown += page.ids
        if (cursor := page.next) is None:
            break
        jobs += [known(f"new{len(jobs)}", 60 + len(jobs)) for _ in range(20)]
        jobs.remove(forgotten := chance.choice(jobs))
        gone.add(forgotten.id)
        chance.shuffle(jobs)

    assert len(shown) == len(set(shown))
    assert {job.id for job in old} - gone <= set(shown)
    assert not any(name.startswith("new") for name in shown)


@pytest.mark.parametrize(
    "changed", [{"sort": "created"}, {"status": ("FAILED",)}, {"repository": "shop"}, {"sort": "-ended"}]
)
def test_a_cursor_leads_on_in_its_own_list_only(changed: dict[str, Any]) -> None:
    jobs = [ONE, OTHER]
    cursor = listing.page(jobs, ListJobs(limit=1)).next

    assert listing.page(jobs, ListJobs(limit=2, cursor=cursor)).ids == ("one",)
    with pytest.raises(CursorInvalid):
        listing.page(jobs, ListJobs(limit=1, cursor=cursor, **changed))


def _encoded(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "!!!!",
        "AAAA",
        _encoded({}),
        _encoded(["", "2026-01-01T00:00:00Z", "a"]),
        _encoded([1, 2, 3]),
        _encoded(None),
        "Ww" * 200,
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        listing.page([ONE], ListJobs(cursor=cursor))


def test_a_cursor_without_a_zone_is_refused() -> None:
    cursor = listing.page([ONE, OTHER], ListJobs(limit=1)).next
    listed, _, job_id = json.loads(base64.urlsafe_b64decode(f"{cursor}==="))

    with pytest.raises(CursorInvalid):
        listing.page([ONE], ListJobs(cursor=_encoded([listed, "2026-01-01T00:00:00", job_id])))
