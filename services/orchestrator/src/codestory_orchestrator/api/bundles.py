"""A support bundle: one archive of all that is known of a job and of the service around it."""

from typing import Annotated, Any, Final, Protocol, cast

from fastapi import APIRouter, Depends, Response
from fastapi.requests import HTTPConnection

from codestory.contracts.access import Principal
from codestory_orchestrator.api.access import Caller
from codestory_orchestrator.api.ingestion import PathJobId
from codestory_orchestrator.api.problems import documented

router = APIRouter(prefix="/v1/ingest", tags=["history"])

MEDIA_TYPE: Final = "application/zip"
_ARCHIVE: Final[dict[str, Any]] = {
    "description": "A zip file; README.md in it says what each file is.",
    "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
}


class Bundles(Protocol):
    async def make(self, job_id: str, caller: Principal) -> bytes:
        """The archive. JobNotFound, ServiceUnavailable, Busy."""
        ...


def _of_app(connection: HTTPConnection) -> Bundles:
    return cast("Bundles", connection.app.state.bundles)


@router.get("/{job_id}/bundle", response_class=Response, responses={200: _ARCHIVE, **documented(404, 503)})
async def job_bundle(job_id: PathJobId, bundles: Annotated[Bundles, Depends(_of_app)], caller: Caller) -> Response:
    """All that is known of a job, for whoever helps with it, secrets left out: its record, events, spans and log lines,
    and how the service is. For admins also how the deployment is set up: settings, versions, streams."""
    packed = await bundles.make(job_id, caller)
    named = f'attachment; filename="codestory-{job_id}.zip"'
    return Response(packed, media_type=MEDIA_TYPE, headers={"Content-Disposition": named, "Cache-Control": "no-store"})
