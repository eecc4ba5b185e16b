"""Every error as application/problem+json (RFC 9457), whoever raised it."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from codestory.contracts.api import Problem
from codestory.repository_identity import RepositoryError
from codestory_orchestrator.errors import IngestionError, RepositoryRefused

MEDIA_TYPE: Final = "application/problem+json"
#: A body can be wrong in thousands of places.
MAX_ERRORS: Final = 20
MAX_TEXT: Final = 500

Responses = dict[int | str, dict[str, Any]]


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def respond(
    scope: Scope,
    status: int,
    *,
    code: str,
    detail: str,
    errors: Sequence[dict[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> ProblemResponse:
    """The answer to the request of `scope`. `members`: what else the problem states (RFC 9457, 3.2)."""
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=utf8(detail),
        instance=quote(utf8(scope["path"][:MAX_TEXT])),
        errors=tuple(errors),
    )
    return ProblemResponse(problem.model_dump() | members, status, dict(headers or {}))


def documented(*statuses: int) -> Responses:
    """Error responses, for OpenAPI: these, and any other."""
    known: Responses = {status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses}
    return {**known, "default": {"model": Problem, "description": "Any other error"}}


def install(app: FastAPI) -> None:
    app.add_exception_handler(IngestionError, _refused)
    app.add_exception_handler(RepositoryError, _repository_refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


async def _refused(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, IngestionError)
    return refusal(request.scope, error)


def refusal(scope: Scope, error: IngestionError) -> ProblemResponse:
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    return respond(scope, error.status, code=error.code, detail=str(error), headers=headers | error.headers)


async def _repository_refused(request: Request, error: Exception) -> ProblemResponse:
    return await _refused(request, RepositoryRefused(f"The repository {error}."))


async def _malformed(request: Request, error: Exception) -> ProblemResponse:
    """The input itself is not repeated: it may be large, or a secret."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    errors = [located(each["loc"], each["msg"], each["type"]) for each in found[:MAX_ERRORS]]
    first = errors[0]
    place = ".".join(map(str, first["loc"]))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    detail = f"{place}: {first['msg']}{more}"
    return respond(request.scope, 422, code="invalid_request", detail=detail, errors=errors)


async def _http(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = error.detail if error.detail != status.phrase else _DETAILS.get(status, "")
    code = _CODES.get(status, status.name.lower())
    return respond(request.scope, status, code=code, detail=detail, headers=error.headers)


async def _bug(request: Request, _: Exception) -> ProblemResponse:
    """The server logs the traceback when this has been sent; none of it belongs to the one who asked."""
    detail = "Something went wrong in the service. Its log has the details."
    return respond(request.scope, 500, code="internal_error", detail=detail)


#: Python has renamed this status; a code stays.
_CODES: Final = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "content_too_large"}

_DETAILS: Final = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address. /openapi.json lists what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take that method; the header Allow lists those that it does.",
}


def located(location: Sequence[str | int], message: str, kind: str) -> dict[str, Any]:
    places = [part if isinstance(part, int) else utf8(part[:MAX_TEXT]) for part in location[:MAX_ERRORS]]
    return {"loc": places, "msg": utf8(message[:MAX_TEXT]), "type": kind}


def utf8(text: str) -> str:
    """JSON from outside may hold half a character, which could not be sent back."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
