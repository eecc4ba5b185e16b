"""A request's bytes in, an answer's bytes out. Whatever comes, there is an answer; nothing that is asked ends more than
itself."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from codestory import telemetry
from codestory.bus import LOST
from codestory.contracts.api import Problem
from codestory.repository_identity import RepositoryError
from codestory_orchestrator.api.problems import located, utf8
from codestory_orchestrator.errors import (
    ContentTooLarge,
    IngestionError,
    InvalidRequest,
    RepositoryRefused,
    ServiceUnavailable,
)
from codestory_orchestrator.operators.requests import fields_of
from codestory_orchestrator.operators.verbs import Desk, Verb

log = telemetry.logger(__name__)

#: A body can be wrong in thousands of places.
MAX_ERRORS: Final = 20
#: Of a problem, in the header that the `nats` program shows.
MAX_HEADER: Final = 300
_json: Final = TypeAdapter[Any](Any)


@dataclass(frozen=True)
class Answer:
    data: bytes
    #: 200, or what the REST API's status would be.
    status: int = 200
    #: Of what was refused: one line of plain text.
    error: str = ""


async def answer(desk: Desk, verb: Verb, subject: str, data: bytes, max_bytes: int) -> Answer:
    if len(data) > max_bytes:
        return refused(ContentTooLarge(max_bytes), subject)
    try:
        asked = verb.takes.model_validate_json(data.strip() or b"{}")
        return Answer(_json.dump_json(await verb.do(desk, asked)))
    except ValidationError as error:
        return _malformed(error, verb, subject)
    except RepositoryError as error:
        return refused(RepositoryRefused(f"The repository {error}."), subject)
    except IngestionError as error:
        return refused(error, subject)
    except LOST:
        return refused(ServiceUnavailable(), subject)
    except Exception as error:  # the outer edge: one request ends nothing but itself
        log.error("operators.bug", subject=subject, exc_info=error)  # noqa: TRY400  # ours has no `exception`
        return refused(IngestionError("Something went wrong in the service. Its log has the details."), subject)


def refused(error: IngestionError, subject: str) -> Answer:
    return _problem(error, subject, ())


def _malformed(error: ValidationError, verb: Verb, subject: str) -> Answer:
    """The input itself is not repeated: it may be large, or a secret."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    errors = tuple(located(each["loc"], each["msg"], each["type"]) for each in found[:MAX_ERRORS])
    place = ".".join(map(str, errors[0]["loc"]))
    said = f"{place}: {errors[0]['msg']}" if place else errors[0]["msg"]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    takes = fields_of(verb.takes) or "nothing"
    return _problem(InvalidRequest(f"{said}{more}. The request is a JSON object of: {takes}"), subject, errors)


def _problem(error: IngestionError, subject: str, errors: tuple[dict[str, Any], ...]) -> Answer:
    title = HTTPStatus(error.status).phrase
    detail = utf8(str(error))
    problem = Problem(
        title=title, status=error.status, code=error.code, detail=detail, instance=utf8(subject), errors=errors
    )
    return Answer(problem.model_dump_json().encode(), error.status, _line(f"{error.code}: {detail}"))


def _line(text: str) -> str:
    """As a header may hold it."""
    return " ".join(text.split()).encode("ascii", "backslashreplace").decode()[:MAX_HEADER]
