"""ETags, and requests on condition that something is still as the client knows it (RFC 9110, 13).

The ETag of a job, or of a schedule, is its record's revision and a hash of the answer. The whole of it says whether an
answer is still the same; the revision alone says whether somebody has changed the record, whatever a job's progress."""

import hashlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, Protocol

from fastapi import Depends, Header, Response

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


class Revised(Protocol):
    """What is shown with the revision of its record."""

    @property
    def revision(self) -> int: ...

    def model_dump_json(self) -> str: ...


def tagged(shown: Revised, status: int = 200, **headers: str) -> Response:
    """It, with its ETag."""
    body = shown.model_dump_json().encode()
    return Response(body, status, {"ETag": _etag(shown, body), **headers}, "application/json")


def unless_same(shown: Revised, if_none_match: str | None) -> Response:
    """304 where the client has this very answer already."""
    response = tagged(shown)
    if if_none_match is not None and _same(response.headers["ETag"], if_none_match):
        return Response(status_code=304, headers={"ETag": response.headers["ETag"]})
    return response


def _same(etag: str, if_none_match: str) -> bool:
    known = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return if_none_match.strip() == "*" or etag in known


def _etag(shown: Revised, body: bytes) -> str:
    return f'"{shown.revision}-{hashlib.sha256(body).hexdigest()[:16]}"'


def _revisions(
    if_match: Annotated[
        str | None,
        Header(max_length=MAX_HEADER, description="The ETag of it as you know it: 412 if it has changed since."),
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
async def telling_the_present(show: Callable[[], Awaitable[Revised]]) -> AsyncGenerator[None]:
    """Who is refused because of If-Match is told the ETag that would have matched."""
    try:
        yield
    except ChangedMeanwhile as error:
        error.headers["ETag"] = tagged(await show()).headers["ETag"]
        raise
