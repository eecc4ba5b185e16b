"""Repositories that are uploaded: parts, then the manifest that makes a snapshot of them."""

from collections.abc import AsyncIterable
from typing import Annotated, Any, Final, Protocol, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.requests import HTTPConnection

from codestory.contracts.snapshots import PART_TYPE, Manifest, Sha256, SnapshotView
from codestory_orchestrator.api.problems import documented

router = APIRouter(prefix="/v1/ingest/snapshots", tags=["snapshots"])


def _manifest() -> dict[str, Any]:
    """The schema in one piece: no other operation names what it is made of."""
    schema = Manifest.model_json_schema()
    schema["properties"]["left_out"]["items"] = schema.pop("$defs")["LeftOut"]
    return schema


_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            PART_TYPE: {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": _manifest()},
        },
    }
}


class Snapshots(Protocol):
    """The verbs. Each raises an IngestionError for what it refuses."""

    async def show(self, sha256: str) -> SnapshotView: ...

    async def put_part(self, sha256: str, blocks: AsyncIterable[bytes]) -> tuple[SnapshotView, bool]:
        """What is stored, and whether it is new."""
        ...

    async def put_manifest(self, sha256: str, body: bytes) -> tuple[SnapshotView, bool]: ...


def _of_app(connection: HTTPConnection) -> Snapshots:
    return cast("Snapshots", connection.app.state.snapshots)


Uploads = Annotated[Snapshots, Depends(_of_app)]


@router.put(
    "/{sha256}",
    status_code=201,
    responses={
        200: {"model": SnapshotView, "description": "It was there already"},
        **documented(409, 413, 415, 422, 503, 507),
    },
    openapi_extra=_BODY,
)
async def put_snapshot(sha256: Sha256, request: Request, response: Response, snapshots: Uploads) -> SnapshotView:
    """Store a part (`application/octet-stream`) or, once all parts are there, the manifest (`application/json`), under
    the sha256 of what is sent. A job then names the snapshot: `"repository": "snapshot:<sha256 of the manifest>"`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == PART_TYPE:
        stored, new = await snapshots.put_part(sha256, request.stream())
    else:
        stored, new = await snapshots.put_manifest(sha256, await request.body())
    response.status_code = 201 if new else 200
    return stored


@router.get("/{sha256}", responses=documented(404, 422, 503))
async def show_snapshot(sha256: Sha256, snapshots: Uploads) -> SnapshotView:
    """Whether a part or a snapshot is there, so that it need not be sent again."""
    return await snapshots.show(sha256)


@router.head("/{sha256}", response_class=Response, responses=documented(404, 422, 503))
async def look_for_snapshot(sha256: Sha256, snapshots: Uploads) -> Response:
    """As GET, without a body."""
    await snapshots.show(sha256)
    return Response()
