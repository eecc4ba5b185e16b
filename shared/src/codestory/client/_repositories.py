"""The requests about repositories. As `_calls`."""

from typing import Any
from urllib.parse import quote

from codestory.client._calls import Call
from codestory.contracts.repositories import RepositoryList, RepositoryView

REPOSITORIES = "v1/repositories"
#: Between two looks at a deletion.
LOOK_SECONDS = 0.5
#: Repositories of one page.
PAGE = 200


def page(name: str, cursor: str | None) -> Call[RepositoryList]:
    query: dict[str, Any] = {"limit": PAGE} | ({"name": name} if name else {}) | ({"cursor": cursor} if cursor else {})
    return Call("GET", REPOSITORIES, RepositoryList, query=query, again=True)


def show(repository: str) -> Call[RepositoryView]:
    return Call("GET", _path(repository), RepositoryView, again=True)


def delete(repository: str) -> Call[RepositoryView]:
    """Not sent again: by then it may be gone, or another may have come in its place."""
    return Call("DELETE", _path(repository), RepositoryView)


def _path(repository: str) -> str:
    """A name may have slashes."""
    return f"{REPOSITORIES}/{quote(repository, safe='')}"
