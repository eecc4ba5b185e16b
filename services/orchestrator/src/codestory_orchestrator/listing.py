"""Which jobs a list shows, in which order, and where its next page begins. Pure.

A page begins behind a key that no other job has: when the job was made, or ended, and its id. So jobs that come or go
between two pages neither hide an older one nor show it twice."""

import base64
import hashlib
import heapq
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from codestory.contracts.listing import JobFilter, ListJobs
from codestory_orchestrator.errors import CursorInvalid
from codestory_orchestrator.sketches import Sketch

Key = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Page:
    ids: tuple[str, ...]
    next: str | None


def page(jobs: Iterable[Sketch], query: ListJobs, owner: str | None = None) -> Page:
    """`owner`: theirs only. None: whoever's. Raises CursorInvalid."""
    sort = query.sort
    after = _decoded(query) if query.cursor else None
    keys = [key for job in matching(jobs, query.filter, owner) if (key := _key(job, by_end=sort.by_end))]
    if after:
        keys = [key for key in keys if (key < after if sort.descending else key > after)]
    first = (heapq.nlargest if sort.descending else heapq.nsmallest)(query.limit + 1, keys)
    shown = first[: query.limit]
    more = len(first) > len(shown)
    return Page(tuple(job_id for _, job_id in shown), _encoded(query, shown[-1]) if more else None)


def matching(jobs: Iterable[Sketch], wanted: JobFilter, owner: str | None = None) -> list[Sketch]:
    states, place = frozenset(wanted.status), wanted.repository
    return [
        job
        for job in jobs
        if (owner is None or job.owner == owner)
        and (not states or job.state in states)
        and (place is None or place in {job.repository_name, job.repository})
        and (wanted.step is None or wanted.step in job.steps)
        and (wanted.priority is None or job.priority is wanted.priority)
        and (wanted.since is None or job.created_at >= wanted.since)
        and (wanted.until is None or job.created_at < wanted.until)
        and (wanted.schedule is None or job.schedule == wanted.schedule)
    ]


def _key(job: Sketch, *, by_end: bool) -> Key | None:
    at = job.ended_at if by_end else job.created_at
    return (at, job.id) if at else None


def _encoded(query: ListJobs, key: Key) -> str:
    content = json.dumps([_list(query), key[0].isoformat(), key[1]], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _decoded(query: ListJobs) -> Key:
    text = query.cursor or ""
    try:
        content = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        listed, at, job_id = content
        key = datetime.fromisoformat(at), str(job_id)
    except (ValueError, TypeError, RecursionError) as error:
        raise CursorInvalid from error
    if listed != _list(query) or key[0].tzinfo is None:
        raise CursorInvalid
    return key


def _list(query: ListJobs) -> str:
    """What all pages of one list share."""
    shared = query.model_dump_json(exclude={"limit", "cursor"}, exclude_defaults=True)
    return hashlib.sha256(shared.encode()).hexdigest()[:16]
