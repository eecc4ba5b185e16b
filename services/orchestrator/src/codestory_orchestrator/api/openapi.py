"""What the OpenAPI document says beyond what each route says of itself: the refusals that any route shares."""

from http import HTTPStatus
from typing import Any, Final

from codestory_orchestrator.api.problems import MEDIA_TYPE

#: A foreign web page, or a name that is not this service's.
_ANY: Final = (421,)
_CHANGING: Final = (403, 413, 415)
_WITH_BODY: Final = (400, 422)
_WITH_PARAMETERS: Final = (422,)
_SAFE: Final = frozenset({"get", "head", "options"})


def complete(document: dict[str, Any]) -> None:
    """State every refusal where it can happen, each as a problem."""
    for path in document["paths"].values():
        for method, operation in path.items():
            responses = operation["responses"]
            for status in _shared(method, operation):
                responses.setdefault(str(status), _problem(status))
            for status, response in responses.items():
                if status >= "4" and "application/json" in response.get("content", {}):
                    response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
            operation["responses"] = {status: responses[status] for status in sorted(responses)}


def _shared(method: str, operation: dict[str, Any]) -> set[int]:
    found: set[int] = {*_ANY}
    if method not in _SAFE:
        found.update(_CHANGING)
    if "requestBody" in operation:
        found.update(_WITH_BODY)
    if any(parameter["in"] != "path" for parameter in operation.get("parameters", ())):
        found.update(_WITH_PARAMETERS)
    return found


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
