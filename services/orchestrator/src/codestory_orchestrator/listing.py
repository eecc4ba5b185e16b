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
    keys = _keys(matching(jobs, query.filter, owner), by_end=sort.by_end)
    if after:
        keys = [key for key in keys if (key < after if sort.descending else key > after)]
    first = (heapq.nlargest if sort.descending else heapq.nsmallest)(query.limit + 1, keys)
    shown = first[: query.limit]
    more = len(first) > len(shown)
    return Page(tuple(job_id for _, job_id in shown), _encoded(query, shown[-1]) if more else None)


def matching(jobs: Iterable[Sketch], wanted: JobFilter, owner: str | None = None) -> list[Sketch]:
    """One pass for each thing that is wanted: most lists want one or two, of ten thousand jobs."""
    found = list(jobs) if owner is None else [job for job in jobs if job.owner == owner]
    if states := frozenset(wanted.status):
        found = [job for job in found if job.state in states]
    if (place := wanted.repository) is not None:
        found = [job for job in found if place in (job.repository_name, job.repository)]
    if (step := wanted.step) is not None:
        found = [job for job in found if step in job.steps]
    if (priority := wanted.priority) is not None:
        found = [job for job in found if job.priority is priority]
    if (since := wanted.since) is not None:
        found = [job for job in found if job.created_at >= since]
    if (until := wanted.until) is not None:
        found = [job for job in found if job.created_at < until]
    if (schedule := wanted.schedule) is not None:
        found = [job for job in found if job.schedule == schedule]
    return found


def _keys(jobs: list[Sketch], *, by_end: bool) -> list[Key]:
    if by_end:
        return [(job.ended_at, job.id) for job in jobs if job.ended_at]
    return [(job.created_at, job.id) for job in jobs]


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
