"""ETags, and requests on condition that something is still as the client knows it (RFC 9110, 13).

The ETag of a job is its record's revision and a hash of the answer. The whole of it says whether an answer is still the
same; the revision alone says whether somebody has changed the job, whatever its progress."""

import hashlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Response

from codestory.contracts.api import JobView
from codestory_orchestrator.errors import ChangedMeanwhile, ConditionMalformed

_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
_TAGS: Final = re.compile(rf"\s*{_TAG.pattern}\s*(?:,\s*{_TAG.pattern}\s*)*")
#: A weak one, which only a proxy makes, matches nothing here.
_OURS: Final = re.compile(r'"([0-9]{1,18})-[0-9a-f]+"')
MAX_HEADER: Final = 2000

IfNoneMatch = Annotated[
    str | None,
    Header(max_length=MAX_HEADER, description="The ETag of an earlier answer: 304 if this one would be the same."),
]
#: What answers with an ETag says so.
ETAG: Final[dict[str, Any]] = {"ETag": {"description": "Of this answer.", "schema": {"type": "string"}}}
NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "As it was at that ETag"}}


def tagged(job: JobView, status: int = 200, **headers: str) -> Response:
    """The job, with its ETag."""
    body = job.model_dump_json().encode()
    return Response(body, status, {"ETag": _etag(job, body), **headers}, "application/json")


def unless_same(job: JobView, if_none_match: str | None) -> Response:
    """304 where the client has this very answer already."""
    response = tagged(job)
    if if_none_match is not None and _same(response.headers["ETag"], if_none_match):
        return Response(status_code=304, headers={"ETag": response.headers["ETag"]})
    return response


def _same(etag: str, if_none_match: str) -> bool:
    known = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return if_none_match.strip() == "*" or etag in known


def _etag(job: JobView, body: bytes) -> str:
    return f'"{job.revision}-{hashlib.sha256(body).hexdigest()[:16]}"'


def _revisions(
    if_match: Annotated[
        str | None,
        Header(max_length=MAX_HEADER, description="The ETag of the job as you know it: 412 if it has changed since."),
    ] = None,
) -> frozenset[int] | None:
    """Those that the client knows; None: any."""
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAGS.fullmatch(if_match):
        raise ConditionMalformed
    ours = map(_OURS.fullmatch, _TAG.findall(if_match))
    return frozenset(int(tag[1]) for tag in ours if tag)


#: How a route asks for the revisions that If-Match names.
IfMatch = Annotated[frozenset[int] | None, Depends(_revisions)]


@asynccontextmanager
async def telling_the_present(show: Callable[[], Awaitable[JobView]]) -> AsyncGenerator[None]:
    """Who is refused because of If-Match is told the ETag that would have matched."""
    try:
        yield
    except ChangedMeanwhile as error:
        error.headers["ETag"] = tagged(await show()).headers["ETag"]
        raise
