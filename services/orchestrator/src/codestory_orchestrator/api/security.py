"""What the OpenAPI document says of who may do what."""

from typing import Any, Final

from codestory_orchestrator.api.problems import MEDIA_TYPE
from codestory_orchestrator.api.roles import EXTENSION, METRICS, role_of

SCHEMES: Final[dict[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`csk_…`, made by `codestory auth keys create`), or a token of the issuer.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}
_EITHER: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"apiKey": []}]
_REFUSALS: Final[dict[str, str]] = {
    "401": "Nobody, or nobody who is known here",
    "403": "Who asks may not do this",
    "429": "Too many requests; Retry-After says when to ask again",
}


def state(document: dict[str, Any]) -> None:
    """Put the role, how to say who one is, and the refusals into each operation."""
    document.setdefault("components", {})["securitySchemes"] = SCHEMES
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            role = role_of(path, method.upper(), operation.get(EXTENSION))
            if role is None:
                operation["security"] = []
                continue
            operation[EXTENSION] = role.value
            operation["security"] = [{}, *_EITHER] if path == METRICS else _EITHER
            for status, description in _REFUSALS.items():
                operation["responses"].setdefault(status, _problem(description))


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}
