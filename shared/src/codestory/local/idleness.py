"""Whether a stack may be ended now: what its jobs are at, asked over REST as any version of it answers."""

from typing import Any

import httpx

from codestory.contracts.values import JobState
from codestory.local.readiness import rest

#: As many as any version gives at once.
PAGE = 200
#: Jobs that nothing is done for now: a scheduled one is as well due later, from what is stored.
AT_REST = frozenset(state.value for state in JobState if state.ended) | {JobState.SCHEDULED.value}


def unfinished(url: str) -> int | None:
    """How many jobs are not at rest; None when the service does not tell."""
    count, cursor, seen = 0, "", set[str]()
    try:
        with rest(url) as client:
            while cursor not in seen:
                seen.add(cursor)
                query: dict[str, str | int] = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
                page: dict[str, Any] = client.get("/v1/ingest", params=query).raise_for_status().json()
                count += sum(job["state"] not in AT_REST for job in page["jobs"])
                cursor = str(page.get("next") or "")
                if not cursor:
                    break
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return count
